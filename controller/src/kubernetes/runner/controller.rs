//! What a controller has to say.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Lane, Verdict};
use crate::kubernetes::api::watch::{Change, Kind};

/// One concern of ours, with what it knows. `X` is what its work needs: clients, recorder and so on.
///
/// An item is known by a key of the controller's choice, such as the UID of a claim.
pub(crate) trait Controller<X>: Send + 'static {
    /// What its items are called in the metric `berth_workqueue_depth_ITEMS`.
    const ITEMS: &'static str;
    /// What its work is called where a panic is told.
    const WORK: &'static str;
    /// The kinds of objects whose changes it is shown.
    const INTERESTS: &'static [Kind];
    /// Whether there may be work for a leader as long as one of them cannot be listed, which another replica might do better.
    const ESSENTIAL: bool = true;

    /// What is to be done about an item.
    type Step: Send + 'static;
    /// What came of it.
    type Outcome: Send + 'static;

    /// Notes a change; returns the items that need a look because of it.
    fn note(&mut self, change: &Change) -> Vec<String>;

    /// The server that the work on an item needs; empty where it needs none.
    fn lane(&self, _key: &str) -> Lane {
        Lane::default()
    }

    /// Decides what is to be done about an item, from what is known.
    fn decide(&mut self, key: &str, now: Instant) -> Decision<Self::Step>;

    /// Does it, in a task of its own.
    fn act(context: Arc<X>, step: Self::Step) -> impl Future<Output = Self::Outcome> + Send;

    /// What comes of a step that panics: nobody knows how far it got.
    fn panicked(step: &Self::Step) -> Self::Outcome;

    /// Notes what came of a step; returns when the item needs the next look.
    fn settle(&mut self, key: &str, outcome: Self::Outcome, now: Instant) -> Verdict;
}

/// What follows from a look at an item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision<S> {
    /// Nothing is to be done now.
    Rest(Verdict),
    /// This is.
    Act(S),
}
