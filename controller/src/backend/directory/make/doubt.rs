//! What failed attempts to make a volume may have left on a share.
//!
//! Whoever asks for a volume stops asking after a final answer. So none may be given while anything of the volume is
//! there that only a repetition would go on from or take back.

use std::time::Duration;

use nfs_client::{Error, NfsStatus, ObjectState};
use tokio::time::Instant;

use super::observe::{is_empty, remove_closed};
use super::wanted::Wanted;
use crate::backend::directory::place::{Leaf, is_begun, walk};
use crate::backend::directory::step::Step;
use crate::backend::directory::steps::Failure;
use crate::backend::directory::store::{Hold, Share};
use crate::error::OperationError;

/// A request that the client has given up may be executed for so long.
const LATE: Duration = Duration::from_mins(2);

/// What may be left of the attempts so far. Nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doubt {
    left: bool,
    /// The directory is one that an attempt made or completed without anybody hearing of it.
    ours: bool,
    /// It may be one.
    perhaps_ours: bool,
    /// The state in which an attempt has made the directory: as long as it is in that state, it is ours whatever its mode.
    made: Option<ObjectState>,
    /// A request may be executed until then, so no look before can prove anything.
    late: Option<Instant>,
}

impl Doubt {
    pub(crate) fn is_raised(&self) -> bool {
        self.left || self.late.is_some_and(|until| Instant::now() < until)
    }

    /// Whether a complete directory is one that no call was answered for. Any other one may be in use.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours
    }

    /// The state in which an attempt has left the directory that it made.
    pub(crate) fn made(&self) -> Option<ObjectState> {
        self.made
    }

    /// Something was seen.
    pub(crate) fn raise(&mut self, left: bool) {
        self.left |= left;
    }

    /// The directory was made or completed by an attempt that was not answered for.
    pub(crate) fn own(&mut self) {
        (self.left, self.ours) = (true, true);
    }

    /// What a request that failed may have done, and may still do. `completes` is whether it was to complete the directory,
    /// `looked` whether somebody had looked that it was not complete.
    pub(crate) fn note(&mut self, failure: &Failure, completes: bool, looked: bool) {
        let unknown = failure.is_outcome_unknown();
        // What has been changed between two requests somebody else has completed.
        let changed = failure.error.is_status(NfsStatus::NotSame);
        let made = [Step::Place, Step::Mode].iter().any(|step| failure.done.contains(step)) && !changed;
        self.left |= unknown || failure.is_half_done() || !failure.done.is_empty();
        self.ours |= completes && (made || (unknown && looked));
        self.perhaps_ours |= completes && unknown;
        self.made = failure.made.or(self.made);
        if matches!(failure.error, Error::OutcomeUnknown { may_still_happen: true, .. }) {
            self.late = Some(Instant::now() + LATE);
        }
    }

    /// Looks whether anything is left after an attempt that failed for good. Without a result the doubt stays as it is.
    pub(crate) async fn settle(&mut self, share: &Share, wanted: &Wanted) {
        match is_anything_left(share, wanted, self.ours || self.perhaps_ours, self.made).await {
            Ok(left) => {
                self.left = left;
                if !self.is_raised() {
                    *self = Self::default();
                }
            }
            Err(error) => {
                let (directory, error) = (share.site().at(wanted.record.path.as_str()), error.message());
                tracing::debug!(directory, error, "cannot see what is left of a volume that was not made");
            }
        }
    }
}

/// Whether there is a record, a hold, or a directory that was begun. A volume that exists is not: if the attempts did not
/// make it, no repetition makes it the one that is asked for.
async fn is_anything_left(
    share: &Share,
    wanted: &Wanted,
    ours: bool,
    made: Option<ObjectState>,
) -> Result<bool, OperationError> {
    let Some(store) = share.store_of(None).await? else { return Ok(false) };
    let (key, path) = (wanted.id.key(), &wanted.record.path);
    let record = store.own_record(key).await?;
    if record.as_ref().is_some_and(|record| record.path == *path && wanted.accept(&store.site, record).is_err()) {
        return Ok(false);
    }
    let recorded = record.is_some_and(|record| record.path == *path);
    if wanted.is_custom() && !recorded {
        return match store.hold(path, key).await {
            Err(OperationError::NotBelieved { .. }) => Ok(false),
            hold => hold.map(|(_, hold)| matches!(hold, Hold::Us(_))),
        };
    }
    let walk = walk(&store, path).await?;
    match walk.leaf {
        Leaf::Directory(place, attributes) if is_begun(&attributes) && !recorded => {
            match is_empty(&store, wanted, &place).await? {
                Some(empty) => Ok(empty),
                // It was ours if it can be removed.
                None => remove_closed(&store, wanted, &walk.parent, &attributes).await.map(|_| false),
            }
        }
        Leaf::Directory(_, attributes) if is_begun(&attributes) => Ok(true),
        Leaf::Directory(_, attributes) if !recorded => Ok(made.is_some() && attributes.state() == made),
        Leaf::Directory(..) => Ok(ours),
        Leaf::Free | Leaf::Other(_) => Ok(recorded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(may_still_happen: bool) -> Failure {
        let error = Error::OutcomeUnknown { server: "nfs".into(), detail: "no reply".to_owned(), may_still_happen };
        Failure { step: None, done: Vec::new(), made: None, error }
    }

    #[tokio::test(start_paused = true)]
    async fn no_look_proves_anything_while_a_request_may_be_executed_late() {
        let mut doubt = Doubt::default();
        doubt.note(&failure(false), true, true);
        assert!(doubt.is_raised());
        doubt.left = false;
        assert!(!doubt.is_raised(), "it was looked at");
        doubt.note(&failure(true), true, true);
        doubt.left = false;
        tokio::time::advance(LATE / 2).await;
        assert!(doubt.is_raised());
        tokio::time::advance(LATE / 2).await;
        assert!(!doubt.is_raised());
    }
}
