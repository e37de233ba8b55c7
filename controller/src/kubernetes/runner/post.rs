//! A controller at work: its queue, its work under way, and what of its interests was not listed yet.

use std::sync::Arc;
use std::task::{self, Poll, ready};

use csi_runtime::metrics::Metrics;
use csi_runtime::panics;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info};

use super::queue::{Queue, Verdict};
use super::{Controller, Decision};
use crate::kubernetes::api::watch::{Change, Kind};

/// See the module.
pub(super) struct Post<C: Controller<X>, X> {
    controller: C,
    context: Arc<X>,
    queue: Queue<String>,
    jobs: JoinSet<(String, C::Outcome)>,
    unlisted: Vec<Kind>,
    /// Items that are ready or worked on.
    depth: Gauge,
}

/// A [`Post`], whosever it is.
pub(super) trait Working: Send {
    fn interests(&self) -> &'static [Kind];
    fn note(&mut self, change: &Change);
    /// Starts what is ready and has a place.
    fn start_ready(&mut self, now: Instant);
    /// Settles one piece of work that has ended.
    fn poll_ended(&mut self, context: &mut task::Context<'_>) -> Poll<()>;
    /// When something that waits is due.
    fn next_due(&self) -> Option<Instant>;
    /// Whether there is work, or nobody knows.
    fn has_work(&self) -> bool;
    fn running(&self) -> usize;
    /// Cuts off what runs; it has ended when it was polled.
    fn cut(&mut self);
}

impl<C: Controller<X>, X: Send + Sync + 'static> Post<C, X> {
    pub(super) fn new(controller: C, context: Arc<X>, queue: Queue<String>, metrics: &Metrics) -> Self {
        let depth = Gauge::default();
        metrics.register(|registry| {
            let (name, help) = (format!("workqueue_depth_{}", C::ITEMS), format!("{} ready or worked on", C::ITEMS));
            registry.register(name, help, depth.clone());
        });
        let unlisted = C::INTERESTS.iter().copied().filter(|kind| kind.is_watched()).collect();
        Self { controller, context, queue, jobs: JoinSet::new(), unlisted, depth }
    }

    /// Takes an item back. What was learned may have changed which server it needs.
    fn finish(&mut self, key: &String, verdict: Verdict, now: Instant) {
        let lane = self.controller.lane(key);
        self.queue.finish(key, verdict, lane, now);
    }

    fn start(&mut self, key: String, now: Instant) {
        let step = match self.controller.decide(&key, now) {
            Decision::Rest(verdict) => return self.finish(&key, verdict, now),
            Decision::Act(step) => step,
        };
        let panicked = C::panicked(&step);
        let work = C::act(Arc::clone(&self.context), step);
        self.jobs.spawn(async move {
            let outcome = panics::contained(C::WORK, work).await;
            (key, outcome.unwrap_or(panicked))
        });
    }
}

impl<C: Controller<X>, X: Send + Sync + 'static> Working for Post<C, X> {
    fn interests(&self) -> &'static [Kind] {
        C::INTERESTS
    }

    fn note(&mut self, change: &Change) {
        let kind = change.kind();
        if !C::INTERESTS.contains(&kind) {
            return;
        }
        for key in self.controller.note(change) {
            let lane = self.controller.lane(&key);
            self.queue.add(key, &lane);
        }
        if change.completes_a_list() && self.unlisted.contains(&kind) {
            self.unlisted.retain(|other| *other != kind);
            if self.unlisted.is_empty() {
                info!(items = C::ITEMS, "everything that has to be known is");
            }
        }
    }

    fn start_ready(&mut self, now: Instant) {
        if self.unlisted.is_empty() {
            while let Some(key) = self.queue.next(now) {
                self.start(key, now);
            }
            self.depth.set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        }
    }

    fn poll_ended(&mut self, context: &mut task::Context<'_>) -> Poll<()> {
        match ready!(self.jobs.poll_join_next(context)) {
            Some(Ok((key, outcome))) => {
                let now = Instant::now();
                let verdict = self.controller.settle(&key, outcome, now);
                self.finish(&key, verdict, now);
            }
            Some(Err(failure)) if failure.is_cancelled() => {}
            // Panics are contained.
            Some(Err(failure)) => error!(%failure, "work ended without an outcome"),
            None => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.next_due().filter(|_| self.unlisted.is_empty())
    }

    fn has_work(&self) -> bool {
        if self.unlisted.is_empty() { self.queue.has_work() } else { C::ESSENTIAL }
    }

    fn running(&self) -> usize {
        self.jobs.len()
    }

    fn cut(&mut self) {
        self.jobs.abort_all();
    }
}
