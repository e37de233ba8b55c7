//! Making a volume's directory and record so that a crash at any moment leaves a state that can be read.
//!
//! A request goes one way: what there is (`observe`), what is to be done about it (`plan`), the requests (`steps`), what the
//! answer says (`judge`); what failed for good is taken back (`undo`), and what may be left nevertheless is remembered
//! (`doubt`).
//!
//! The steps, in this order, each of them exclusive or repeatable; all in one request where the server takes so many
//! operations (`docs/layout.md`):
//!
//! 1. a custom place is held: an entry `.berth/places/HASH`, with the volume's key;
//! 2. missing parents of a custom place are made;
//! 3. the directory is made in its place, with no permission for anybody: that is the mark of one that was begun;
//! 4. the record is written: from now on the volume exists;
//! 5. the directory gets its owner, then its mode: from now on it is complete;
//! 6. a custom place is still held for it, or the attempt has lost.
//!
//! A record is only written after *we* made the directory, and CREATE fails where something is already, so a record
//! never names a directory that somebody else made.

mod doubt;
mod doubts;
mod judge;
mod observe;
mod plan;
mod request;
mod undo;
mod wanted;

use std::time::Duration;

use volume::{Record, ShareIdentity};

pub(crate) use self::doubt::Doubt;
pub(crate) use self::doubts::Doubts;
use self::judge::{TakeBack, Verdict, contended, judge};
use self::observe::{Seen, observe, outset};
pub(crate) use self::request::Plan;
pub(crate) use self::wanted::Wanted;
use super::place;
use super::step::Step;
use super::store::{Share, Store};
use crate::error::OperationError;

/// How often a state that others change is looked at anew.
const ATTEMPTS: u32 = 8;
/// Pause after the second look; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(20);

/// A volume that is made.
pub(crate) struct Made {
    pub(crate) record: Record,
    /// The share on which it is.
    pub(crate) identity: Option<ShareIdentity>,
}

/// Makes the volume, or finds it as it was made before.
///
/// One round trip where nothing exists yet and the volume lies in its default place; one more where it does not. On servers
/// that take 16 operations in a compound there may be one more, on those that take 8 a few.
///
/// `doubt` is what earlier attempts may have left on the share; after a failure, what they and this one may have left.
pub(crate) async fn create(share: &Share, wanted: &Wanted, doubt: &mut Doubt) -> Result<Made, OperationError> {
    let _waiting = share.traffic().wait();
    let _busy = share.occupy(&wanted.record.path)?;
    let made = attempts(share, wanted, doubt).await;
    // What another share holds says nothing of what attempts may have left on this one.
    if made.as_ref().is_err_and(|error| !error.is_retried() && !error.is_another_share()) {
        doubt.settle(share, wanted).await;
    }
    made
}

async fn attempts(share: &Share, wanted: &Wanted, doubt: &mut Doubt) -> Result<Made, OperationError> {
    let mut last = None;
    for round in 0..ATTEMPTS {
        if round > 1 {
            tokio::time::sleep(PAUSE * 2u32.pow(round - 2)).await;
        }
        match attempt(share, wanted, round == 0, doubt).await? {
            Attempt::Made(made) => return Ok(made),
            Attempt::Look(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| contended(share.site(), wanted)))
}

/// How one attempt ended that did not fail.
enum Attempt {
    Made(Made),
    /// The state is not what it was taken for; the error is for the case that it never is.
    Look(OperationError),
}

async fn attempt(share: &Share, wanted: &Wanted, first: bool, doubt: &mut Doubt) -> Result<Attempt, OperationError> {
    let store = share.store().await?;
    let looks = !first || doubt.is_raised();
    let seen = match look(share, &store, wanted, looks, doubt).await {
        Err(error) if error.is_lost_handle() => {
            share.forget(&store).await;
            return Ok(Attempt::Look(error));
        }
        Err(error) => {
            if !error.is_retried() {
                undo::release(&store, wanted, doubt.made()).await;
            }
            return Err(error);
        }
        Ok(seen) => seen,
    };
    let made = |record| Ok(Attempt::Made(Made { record, identity: store.identity }));
    let draft = match seen {
        Seen::Complete(record) => return made(record),
        Seen::Unclear => return Ok(Attempt::Look(contended(&store.site, wanted))),
        Seen::Draft(draft) => draft,
    };
    let mut sent = plan::steps(&store, wanted, &draft).send(&store.site).await;
    for parent in sent.iter().flat_map(|answers| answers.made(Step::Parents)) {
        share.plain().insert(parent.clone());
    }
    match &mut sent {
        // Nobody else can tell whose it is, nor can the next attempt.
        Err(failure) if failure.step == Some(Step::HoldText) => undo::give_up_begun(&store, wanted).await,
        Err(failure) if failure.step == Some(Step::RecordText) => {
            undo::give_up_begun_record(&store, wanted, failure).await;
        }
        _ => {}
    }
    match judge(&store.site, (wanted, &draft), sent, looks, doubt) {
        Verdict::Made => made(wanted.record.clone()),
        Verdict::Look { error, forget } => {
            if forget {
                share.forget(&store).await;
            }
            Ok(Attempt::Look(error))
        }
        Verdict::Failed(error, take_back) => {
            if let Some(TakeBack { done, left }) = take_back {
                undo::undo(&store, wanted, &draft, &done, left).await;
            }
            Err(error)
        }
    }
}

/// What there is of the volume, and whether it may be made there. The first time nothing is expected, and nothing is looked at
/// but the way to a custom place.
async fn look(
    share: &Share,
    store: &Store,
    wanted: &Wanted,
    looks: bool,
    doubt: &mut Doubt,
) -> Result<Seen, OperationError> {
    let seen = if looks { observe(store, wanted, doubt.made()).await } else { outset(store, wanted).await }?;
    if let Seen::Draft(draft) = &seen {
        doubt.raise(draft.holds_something());
        place::check(share, store, (&wanted.record.path, wanted.id.key()), &draft.ancestors).await?;
    }
    Ok(seen)
}
