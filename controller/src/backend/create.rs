//! Making a volume's directory and record so that a crash at any moment leaves a state that can be read.
//!
//! The steps, in this order, each of them exclusive or repeatable; all in one request where the server takes so many
//! operations (`docs/layout.md`):
//!
//! 1. a custom place is claimed: a link `.berth/places/HASH` to the volume's key;
//! 2. missing parents of a custom place are made;
//! 3. the directory is made in its place, with no permission for anybody: that is the mark of one that was begun;
//! 4. the record is written: from now on the volume exists;
//! 5. the directory gets its owner, then its mode: from now on it is complete;
//! 6. a custom place is still claimed for it, or the attempt has lost.
//!
//! A record is only written after *we* made the directory, and CREATE fails where something is already, so a record
//! never names a directory that somebody else made.

use std::time::Duration;

use nfs_client::{Attributes, Compound, Error, FileHandle, NfsStatus, SetAttributes};
use volume::Record;

use super::ancestors;
use super::doubt::Doubt;
use super::faults::Step;
use super::folders::Folders;
use super::layout::{BEGUN_MODE, PARENT_MODE};
use super::observe::{Made, Seen, Site, Stage, observe, outset};
use super::share::Share;
use super::steps::{Answers, At, Failure, Steps};
use super::undo;
use super::wanted::Wanted;
use crate::error::{Occupied, OperationError};

/// How often a state that others change is looked at anew.
const ATTEMPTS: u32 = 8;
/// Pause after the second look; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(20);

/// How one attempt ended.
enum Attempt {
    Done(Record),
    /// The state is not what it was taken for; the error is for the case that it never is.
    Look(OperationError),
    Failed(OperationError),
}

/// Makes the volume, or finds it as it was made before. Returns its record.
///
/// One round trip where nothing exists yet and the volume lies in its default place; one more where it does not. On servers
/// that take 16 operations in a compound there may be one more, on those that take 8 a few.
///
/// `doubt` is what earlier attempts may have left on the share; after a failure, what they and this one may have left.
pub(crate) async fn create(share: &Share, wanted: &Wanted, doubt: &mut Doubt) -> Result<Record, OperationError> {
    let _waiting = share.wait();
    let _busy = share.occupy(&wanted.record.path)?;
    let made = attempts(share, wanted, doubt).await;
    if made.as_ref().is_err_and(|error| !error.is_retried()) {
        doubt.settle(share, wanted).await;
    }
    made
}

async fn attempts(share: &Share, wanted: &Wanted, doubt: &mut Doubt) -> Result<Record, OperationError> {
    let mut last = None;
    for round in 0..ATTEMPTS {
        if round > 1 {
            tokio::time::sleep(PAUSE * 2u32.pow(round - 2)).await;
        }
        match attempt(share, wanted, round == 0, doubt).await? {
            Attempt::Done(record) => return Ok(record),
            Attempt::Failed(error) => return Err(error),
            Attempt::Look(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| contended(share, wanted)))
}

async fn attempt(share: &Share, wanted: &Wanted, first: bool, doubt: &mut Doubt) -> Result<Attempt, OperationError> {
    let folders = share.folders().await?;
    let expects_nothing = first && !doubt.is_raised();
    let seen =
        if expects_nothing { outset(share, &folders, wanted).await } else { observe(share, &folders, wanted).await };
    let seen = match seen {
        Ok(Seen::Site(site)) => {
            doubt.raise(site.holds_something());
            ancestors::check(share, &folders, wanted, &site).await.map(|()| Seen::Site(site))
        }
        other => other,
    };
    let site = match seen {
        Ok(Seen::Complete(record)) => return Ok(Attempt::Done(record)),
        Ok(Seen::Unclear) => return Ok(Attempt::Look(contended(share, wanted))),
        Ok(Seen::Site(site)) => site,
        Err(error) if error.is_lost_handle() => {
            share.forget(&folders).await;
            return Ok(Attempt::Look(error));
        }
        Err(error) => {
            if !error.is_retried() {
                undo::release(share, &folders, wanted).await;
            }
            return Err(error);
        }
    };
    let failure = match steps(&folders, wanted, &site).send(share).await {
        Ok(answers) => {
            if has_lost_its_place(wanted, &site, &answers) {
                doubt.raise(true);
                return Ok(Attempt::Look(contended(share, wanted)));
            }
            let Err(error) = finish(share, wanted, &site, &answers) else {
                return Ok(Attempt::Done(wanted.record.clone()));
            };
            doubt.raise(true);
            if completes(&site) {
                doubt.claim();
            }
            // Any other complete directory may have been answered for, and be in use.
            if doubt.is_ours() {
                let left = answers.attributes(Step::Mode).and_then(Attributes::state);
                let made = [Step::Claim, Step::Place, Step::Record];
                undo::undo(share, &folders, wanted, &site, &made, left).await;
            }
            return Ok(Attempt::Failed(error));
        }
        Err(failure) => failure,
    };
    doubt.note(&failure, completes(&site), !expects_nothing);
    if look_again(&failure) {
        if failure.error.status().is_some_and(|status| status.is_lost_handle() || status == NfsStatus::NoEnt) {
            share.forget(&folders).await;
        }
        return Ok(Attempt::Look(match failure.error.status() {
            Some(NfsStatus::Exist | NfsStatus::NotSame) => contended(share, wanted),
            _ => explain(share, wanted, failure),
        }));
    }
    let done = failure.done.clone();
    let error = explain(share, wanted, failure);
    if !error.is_retried() {
        let left = site.place.as_ref().filter(|_| doubt.is_ours()).and_then(|made| made.state);
        undo::undo(share, &folders, wanted, &site, &done, left).await;
    }
    Ok(Attempt::Failed(error))
}

/// Whether the attempt makes a complete directory of nothing, or of one that was begun.
fn completes(site: &Site) -> bool {
    matches!(site.stage(), None | Some(Stage::Begun))
}

fn contended(share: &Share, wanted: &Wanted) -> OperationError {
    OperationError::Contended(share.at(wanted.record.path.as_str()))
}

/// What is still to be done at a site.
fn steps(folders: &Folders, wanted: &Wanted, site: &Site) -> Steps {
    let (key, path) = (wanted.id.key().as_str(), &wanted.record.path);
    let at = |handle: &FileHandle| At::Handle(handle.clone());
    let mut steps = Steps::default().alone_until(Step::Mode);
    if let Some(Made { handle, state: Some(seen), .. }) = &site.place {
        // Another controller may have completed it meanwhile, and somebody may use it.
        steps = steps.only_if(Compound::new().put_handle(handle).verify(*seen), Some(Step::Mode));
    }
    if let Some(claim) = wanted.claim().filter(|_| !site.claimed) {
        let compound = Compound::new().create_symlink(claim.as_str(), key).get_attr();
        steps = steps.then(Step::Claim, at(&folders.places), compound);
    }
    if site.place.is_none() {
        let mut parent = at(&site.parent);
        for name in &site.missing {
            let compound = Compound::new().create_dir(name, SetAttributes::mode(PARENT_MODE));
            steps = steps.make(Step::Parents, std::mem::replace(&mut parent, At::Made), compound);
        }
        // Its state is of use where a later request goes on: the server may end this one at any step.
        let compound = Compound::new().create_dir(path.leaf(), SetAttributes::mode(BEGUN_MODE)).get_attr();
        steps = steps.make(Step::Place, parent, compound);
    }
    if !site.recorded {
        let compound = Compound::new().create_symlink(key, wanted.text.as_bytes());
        steps = steps.then(Step::Record, at(&folders.records), compound);
    }
    if site.stage() != Some(Stage::Complete) {
        let place = || site.place.as_ref().map_or(At::Made, |place| at(&place.handle));
        let owner = wanted.owner();
        if let Some(owner) = owner {
            steps = steps.then(Step::Owner, place(), Compound::new().set_attr(owner));
        }
        steps = steps.then(Step::Mode, place(), Compound::new().set_attr(SetAttributes::mode(wanted.mode)).get_attr());
        if owner.is_some() {
            // A directory whose owner was changed is not as it was made any more.
            steps = steps.together();
        }
    }
    // Last of all, whose claim it is by now: another controller may have taken it for abandoned.
    match wanted.claim() {
        Some(claim) => {
            steps.then(Step::Created, at(&folders.places), Compound::new().lookup(claim.as_str()).get_attr())
        }
        None => steps.finally(Step::Created),
    }
}

/// Whether the place was claimed for another volume while the request went on. A claim is a link, which nobody changes: one
/// in another state is another one.
fn has_lost_its_place(wanted: &Wanted, site: &Site, answers: &Answers) -> bool {
    let before = answers.attributes(Step::Claim).map_or(site.claim, Attributes::state);
    wanted.claim().is_some() && answers.attributes(Step::Created).and_then(Attributes::state) != before
}

/// Checks what the server has made, and remembers what is of use later.
fn finish(share: &Share, wanted: &Wanted, site: &Site, answers: &Answers) -> Result<(), OperationError> {
    for parent in answers.made(Step::Parents) {
        share.remember_plain(parent.clone());
    }
    match answers.attributes(Step::Mode) {
        Some(attributes) => {
            if let (Some(here), Some(root)) = (attributes.fsid, site.fsid)
                && here != root
            {
                let location = share.at(wanted.record.path.as_str());
                return Err(OperationError::OtherFileSystem { location });
            }
            wanted.verify(share, attributes)
        }
        None => Ok(()),
    }
}

/// Whether the failure only says that the state is another one than was taken for granted.
fn look_again(failure: &Failure) -> bool {
    match &failure.error {
        Error::OutcomeUnknown { may_still_happen, .. } => !may_still_happen,
        Error::Status { status, .. } => {
            matches!(status, NfsStatus::Exist | NfsStatus::NoEnt | NfsStatus::NotSame)
                || status.is_lost_handle()
                || status.asks_to_wait()
        }
        _ => false,
    }
}

fn explain(share: &Share, wanted: &Wanted, failure: Failure) -> OperationError {
    let path = wanted.record.path.as_str();
    match (failure.step, failure.error.status()) {
        (Some(Step::Owner), Some(NfsStatus::Perm | NfsStatus::Access)) => OperationError::OwnerRefused {
            location: share.at(path),
            wanted: wanted.owner_text(),
            source: failure.error,
        },
        (Some(Step::Parents | Step::Place), Some(NfsStatus::Symlink)) => {
            OperationError::Occupied { location: share.at(path), by: Occupied::Symlink }
        }
        (step, _) => share.failed(step.map_or("make the directory", Step::doing), path, failure.error),
    }
}
