//! Runs controllers: what they have in common, so that a new one says only what is its own.
//!
//! A [`Controller`] says which kinds of objects interest it, what follows from a change of one, what is to be done about an
//! item (which is decided from what it knows, at once), and how (which may take as long as it likes, in a task of its own).
//! The [`Runner`] owns the rest: watches shared by all, a queue for each with places, turns of servers, pauses after failures
//! ([`queue`], [`lanes`]), panics, metrics, and the end.
//!
//! # Adding a controller
//! 1. A folder or file beside `provision` and `release`, with a type that implements [`Controller`]; [`super::shares`] is the
//!    smallest one. Objects that nobody watched so far get a slim type in `api::objects` and a [`Kind`](super::api::watch::Kind).
//! 2. A line in `run_with`, which adds it to the runner; its rights in the chart.
//!
//! A controller that is to have a Lease of its own gets a runner of its own, beneath a `Leadership` of its own.
//!
//! # Guarantees
//! - One task owns everything that is known, so there are no locks; one item is never worked on twice at once.
//! - Nothing is decided before every kind that the controller is interested in was listed once. A kind that cannot be listed
//!   keeps only those waiting that are interested in it.
//! - A panic costs the work on one item, which is repeated after its pause.

mod controller;
mod lanes;
mod post;
mod queue;
mod store;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use csi_runtime::metrics::Metrics;
use futures::{Stream, StreamExt};
use kube::runtime::watcher;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::controller::{Controller, Decision};
pub(crate) use self::lanes::Lane;
use self::post::{Post, Working};
pub(crate) use self::queue::Verdict;
use self::queue::{Backoff, Queue};
pub(crate) use self::store::{News, Store};
use super::api::answers::Answers;
use super::api::errors::explain_watch;
use super::api::watch::{Change, Kind};
use super::config::Config;
use super::lead::pulse::{BEAT, Pulse};

/// See the module.
pub(crate) struct Runner {
    places: usize,
    backoff: Backoff,
    metrics: Metrics,
    /// Told whether there is work.
    answers: Answers,
    /// Told that the work moves.
    pulse: Pulse,
    posts: Vec<Box<dyn Working>>,
}

impl Runner {
    /// A runner without controllers.
    pub(crate) fn new(config: &Config, answers: Answers, pulse: Pulse) -> Self {
        Self {
            places: config.worker_threads,
            backoff: Backoff { start: config.retry_interval_start, max: config.retry_interval_max },
            metrics: config.metrics.clone(),
            answers,
            pulse,
            posts: Vec::new(),
        }
    }

    /// Adds a controller, whose work gets `context`.
    pub(crate) fn with<X: Send + Sync + 'static, C: Controller<X>>(mut self, controller: C, context: &Arc<X>) -> Self {
        let queue = Queue::new(self.places, self.backoff);
        self.posts.push(Box::new(Post::new(controller, Arc::clone(context), queue, &self.metrics)));
        self
    }

    /// The kinds that any of the controllers is interested in.
    pub(crate) fn interests(&self) -> Vec<Kind> {
        let mut all: Vec<Kind> = self.posts.iter().flat_map(|post| post.interests()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Works until `shutdown`. `changes` are those of [`Runner::interests`].
    pub(crate) async fn run(
        &mut self,
        changes: impl Stream<Item = Result<Change, watcher::Error>>,
        shutdown: &CancellationToken,
    ) {
        let mut changes = std::pin::pin!(changes);
        while !shutdown.is_cancelled() {
            self.pulse.beat();
            let now = Instant::now();
            self.posts.iter_mut().for_each(|post| post.start_ready(now));
            self.answers.working(self.posts.iter().any(|post| post.has_work()));
            let due = self.posts.iter().filter_map(|post| post.next_due()).min();
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(change) = changes.next() => self.note(change),
                () = self.some_ended() => {}
                () = sleep_until(due.map_or(now + BEAT, |due| due.min(now + BEAT))) => {}
            }
        }
    }

    fn note(&mut self, change: Result<Change, watcher::Error>) {
        match change {
            Ok(change) => self.posts.iter_mut().for_each(|post| post.note(&change)),
            Err(error) => warn!(error = explain_watch(&error), "a watch failed and is tried again"),
        }
    }

    /// Waits until some work has ended, and settles it.
    async fn some_ended(&mut self) {
        poll_fn(|context| {
            let ended = self.posts.iter_mut().map(|post| post.poll_ended(context)).filter(Poll::is_ready).count();
            if ended > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How many items are worked on.
    fn running(&self) -> usize {
        self.posts.iter().map(|post| post.running()).sum()
    }

    async fn all_ended(&mut self) {
        while self.running() > 0 {
            self.some_ended().await;
        }
    }

    /// Starts nothing new, lets what runs end until `deadline`, and then cuts it off.
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        self.pulse.rest();
        info!(jobs = self.running(), "shutting down");
        if timeout_at(deadline, self.all_ended()).await.is_err() {
            warn!(jobs = self.running(), "work is cut off; whoever leads next repeats it");
        }
        self.cut().await;
    }

    /// Cuts off what runs; nothing of it goes on any more when this returns. A job of the operations does, though the work
    /// that asked for it is cut off.
    pub(crate) async fn cut(&mut self) {
        self.pulse.rest();
        self.posts.iter_mut().for_each(|post| post.cut());
        self.all_ended().await;
    }
}

#[cfg(test)]
mod tests;
