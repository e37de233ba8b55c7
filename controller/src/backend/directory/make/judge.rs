//! What the server's answer to the steps of a create says. Nothing is asked or changed here.

use nfs_client::{Attributes, Error, NfsStatus, ObjectState, OpCode};

use super::doubt::Doubt;
use super::observe::{Draft, Stage};
use super::wanted::Wanted;
use crate::backend::directory::step::Step;
use crate::backend::directory::steps::{Answers, Failure};
use crate::backend::directory::store::{Site, refuses_mode};
use crate::error::{Occupied, OperationError};

/// How the steps ended.
pub(super) enum Verdict {
    /// The volume is made, as it was asked for.
    Made,
    /// The state is not what it was taken for; the error is for the case that it never is.
    Look {
        error: OperationError,
        /// Handles of the driver's folders may lead nowhere any more.
        forget: bool,
    },
    /// It failed, and this has to be taken back.
    Failed(OperationError, Option<TakeBack>),
}

/// What an attempt has made that no repetition goes on from.
pub(super) struct TakeBack {
    /// The steps that have been done.
    pub(super) done: Vec<Step>,
    /// The state in which the attempt has left the directory, if that is known to be its own.
    pub(super) left: Option<ObjectState>,
}

/// Judges the answer to the steps from `draft`; `looked` is whether somebody had looked that this is how far the volume is.
/// `doubt` learns what may be left of them.
pub(super) fn judge(
    site: &Site,
    (wanted, draft): (&Wanted, &Draft),
    sent: Result<Answers, Failure>,
    looked: bool,
    doubt: &mut Doubt,
) -> Verdict {
    match sent {
        Ok(answers) => answered(site, (wanted, draft), &answers, doubt),
        Err(failure) => failed(site, (wanted, draft), failure, looked, doubt),
    }
}

fn answered(site: &Site, (wanted, draft): (&Wanted, &Draft), answers: &Answers, doubt: &mut Doubt) -> Verdict {
    if has_lost_its_place(draft, answers) {
        doubt.raise(true);
        return Verdict::Look { error: contended(site, wanted), forget: false };
    }
    let Err(error) = verify(site, wanted, draft, answers) else { return Verdict::Made };
    doubt.raise(true);
    if completes(draft) {
        doubt.own();
    }
    // Any other complete directory may have been answered for, and be in use.
    let take_back = doubt.is_ours().then(|| TakeBack {
        done: vec![Step::Hold, Step::Place, Step::Record],
        left: answers.attributes(Step::Mode).and_then(Attributes::state),
    });
    Verdict::Failed(error, take_back)
}

fn failed(
    site: &Site,
    (wanted, draft): (&Wanted, &Draft),
    failure: Failure,
    looked: bool,
    doubt: &mut Doubt,
) -> Verdict {
    doubt.note(&failure, completes(draft), looked);
    if look_again(&failure) || (!looked && is_mode_refused(&failure)) {
        let status = failure.error.status();
        let forget = status.is_some_and(|status| status.is_lost_handle() || status == NfsStatus::NoEnt);
        let error = match status {
            Some(NfsStatus::Exist | NfsStatus::NotSame) => contended(site, wanted),
            _ => explain(site, wanted, failure),
        };
        return Verdict::Look { error, forget };
    }
    let (done, made) = (failure.done.clone(), failure.made);
    let error = explain(site, wanted, failure);
    let take_back = (!error.is_retried()).then(|| TakeBack {
        done,
        left: draft.place.as_ref().filter(|_| doubt.is_ours()).and_then(|made| made.state).or(made),
    });
    Verdict::Failed(error, take_back)
}

/// Whether the steps make a complete directory of nothing, or of one that was begun.
fn completes(draft: &Draft) -> bool {
    matches!(draft.stage(), None | Some(Stage::Begun))
}

/// Whether another volume has come to hold the place while the request went on. Nobody changes a hold that is whole: one in
/// another state is another one.
fn has_lost_its_place(draft: &Draft, answers: &Answers) -> bool {
    let made = answers.attributes(Step::HoldText).or_else(|| answers.attributes(Step::Hold));
    let before = made.map_or(draft.hold, Attributes::state);
    draft.key.is_some() && answers.attributes(Step::Created).and_then(Attributes::state) != before
}

/// Whether the server has made what it was asked for, where the share is.
fn verify(site: &Site, wanted: &Wanted, draft: &Draft, answers: &Answers) -> Result<(), OperationError> {
    let Some(attributes) = answers.attributes(Step::Mode) else { return Ok(()) };
    if let (Some(here), Some(root)) = (attributes.fsid, draft.fsid)
        && here != root
    {
        return Err(OperationError::OtherFileSystem { location: site.at(wanted.record.path.as_str()) });
    }
    wanted.verify(site, attributes)
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

/// Whether the server does not let the mode be set. It may have given the directory the one that was asked for all the same.
fn is_mode_refused(failure: &Failure) -> bool {
    failure.step == Some(Step::Mode)
        && matches!(failure.error.failed_op(), Some((_, OpCode::SetAttr)))
        && failure.error.status().is_some_and(refuses_mode)
}

fn explain(site: &Site, wanted: &Wanted, failure: Failure) -> OperationError {
    let path = wanted.record.path.as_str();
    if is_mode_refused(&failure) {
        let (location, wanted) = (site.at(path), wanted.mode);
        return OperationError::ModeRefused { location, wanted, source: failure.error };
    }
    match (failure.step, failure.error.status()) {
        (Some(Step::Owner), Some(NfsStatus::Perm | NfsStatus::Access)) => {
            OperationError::OwnerRefused { location: site.at(path), wanted: wanted.owner_text(), source: failure.error }
        }
        (Some(Step::Parents | Step::Place), Some(NfsStatus::Symlink)) => {
            OperationError::Occupied { location: site.at(path), by: Occupied::Symlink }
        }
        (step, _) => site.failed(step.map_or("make the directory", Step::doing), path, failure.error),
    }
}

/// The error for a state that others change again and again.
pub(super) fn contended(site: &Site, wanted: &Wanted) -> OperationError {
    OperationError::Contended(site.at(wanted.record.path.as_str()))
}
