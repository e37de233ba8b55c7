//! A compound made of steps, so that a failed operation can be traced to what it was for.

use nfs_client::{Compound, Error, Replies};

use super::faults::{Faults, Step};
use super::share::Share;

/// Steps of one operation that go to the server in one request.
pub(super) struct Steps<'a> {
    compound: Compound,
    /// Each step with the number of operations before its end.
    ends: Vec<(Step, usize)>,
    faults: &'a Faults,
    stopped: bool,
}

/// A request that failed.
pub(super) struct Failure {
    /// The step that failed; none: the server saw nothing of it, or nobody knows what it did.
    pub(super) step: Option<Step>,
    /// The steps that have been done before it.
    pub(super) done: Vec<Step>,
    pub(super) error: Error,
}

impl Failure {
    /// Whether nobody knows what the server did.
    pub(super) fn is_outcome_unknown(&self) -> bool {
        matches!(self.error, Error::OutcomeUnknown { .. } | Error::Protocol { .. })
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(share: &'a Share) -> Self {
        Self { compound: Compound::new(), ends: Vec::new(), faults: share.faults(), stopped: false }
    }

    /// Adds what has to succeed before any step is taken.
    pub(super) fn only_if(mut self, add: impl FnOnce(Compound) -> Compound) -> Self {
        self.compound = add(self.compound);
        self
    }

    /// Adds what `add` adds for `step`, unless a fault is to strike before it.
    pub(super) fn then(mut self, step: Step, add: impl FnOnce(Compound) -> Compound) -> Self {
        self.stopped |= self.faults.is_before(step);
        if !self.stopped {
            self.compound = add(self.compound);
            self.ends.push((step, self.compound.len()));
        }
        self
    }

    /// Sends the request.
    pub(super) async fn send(self, share: &Share) -> Result<Replies, Failure> {
        let called =
            if self.ends.is_empty() { Ok(Replies::default()) } else { share.client().call(self.compound).await };
        if self.stopped {
            self.faults.die().await;
        }
        called.map_err(|error| {
            let failed = error.failed_op().map(|(index, _)| index);
            let done = self.ends.iter().filter(|(_, end)| failed.is_some_and(|index| *end <= index));
            let done: Vec<Step> = done.map(|(step, _)| *step).collect();
            let step = failed.and_then(|_| self.ends.get(done.len())).map(|(step, _)| *step);
            Failure { step, done, error }
        })
    }
}
