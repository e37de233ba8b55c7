//! The loop that owns the state and the queues, and hands out the work.
//!
//! One task owns everything that is known; work runs in tasks of its own and reports back. So there are no locks, and
//! one item is never worked on by two at once.

use std::sync::Arc;
use std::time::Duration;

use csi_runtime::panics;
use futures::{Stream, StreamExt};
use kube::runtime::watcher;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::queue::{Backoff, Queue, Verdict};
use super::state::{ClaimStep, Key, State, VolumeStep};
use crate::kubernetes::api::errors::explain_watch;
use crate::kubernetes::api::watch::Change;
use crate::kubernetes::context::Context;
use crate::kubernetes::provision::attempt::{self, Attempt, ClaimOutcome, Finality, source_kind};
use crate::kubernetes::provision::claim::ClaimError;
use crate::kubernetes::release::delete::{self, Step, VolumeOutcome};
use crate::operations::Volumes;

/// How often jobs that go on are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a piece of work was on, and what came of it.
enum Done {
    Claim(String, ClaimOutcome),
    Volume {
        name: String,
        uid: String,
        outcome: VolumeOutcome,
    },
    /// It has panicked, which is logged.
    Lost(Item),
}

/// What a task is working on.
enum Item {
    Claim(String, Attempt),
    Volume(String),
}

impl Item {
    /// What its work is called where a panic is told.
    fn task(&self) -> &'static str {
        match self {
            Self::Claim(..) => "work on a claim",
            Self::Volume(_) => "work on a volume",
        }
    }
}

/// The owner of it all.
pub(crate) struct Worker<V> {
    context: Arc<Context<V>>,
    state: State,
    claims: Queue<String>,
    volumes: Queue<String>,
    jobs: JoinSet<Done>,
}

impl<V: Volumes> Worker<V> {
    pub(crate) fn new(context: Arc<Context<V>>) -> Self {
        let config = &context.config;
        let backoff = Backoff { start: config.retry_interval_start, max: config.retry_interval_max };
        Self {
            state: State::new(config.clone()),
            claims: Queue::new(config.worker_threads, backoff),
            volumes: Queue::new(config.worker_threads, backoff),
            jobs: JoinSet::new(),
            context,
        }
    }

    /// Works until `shutdown`, then lets the work under way end within the configured time and ends the rest. `true`
    /// when nothing of it is going on any more.
    pub(crate) async fn run(
        mut self,
        changes: impl Stream<Item = Result<Change, watcher::Error>>,
        shutdown: CancellationToken,
    ) -> bool {
        let mut changes = std::pin::pin!(changes);
        while !shutdown.is_cancelled() {
            self.start_ready();
            // Before everything is known, nobody knows whether there is work.
            let idle = self.state.is_complete() && !self.claims.has_work() && !self.volumes.has_work();
            self.context.answers.working(!idle);
            let due = self.next_due();
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(change) = changes.next() => self.note(change),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.finish(done),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        self.drain().await
    }

    fn note(&mut self, change: Result<Change, watcher::Error>) {
        match change {
            Ok(change) => {
                let was_complete = self.state.is_complete();
                for key in self.state.apply(change) {
                    let lane = self.state.lane(&key);
                    match key {
                        Key::Claim(uid) => self.claims.add(uid, lane),
                        Key::Volume(name) => self.volumes.add(name, lane),
                    }
                }
                if !was_complete && self.state.is_complete() {
                    info!("claims, classes and volumes are known");
                }
                for (server, share) in self.state.take_new_shares() {
                    self.context.volumes.resume(&server, &share);
                }
            }
            Err(error) => warn!(error = explain_watch(&error), "a watch failed and is tried again"),
        }
    }

    /// When something that waits is due; `None` before the state is complete, because nothing may start then.
    fn next_due(&self) -> Option<Instant> {
        let due = [self.claims.next_due(), self.volumes.next_due()];
        due.into_iter().flatten().min().filter(|_| self.state.is_complete())
    }

    fn start_ready(&mut self) {
        if !self.state.is_complete() {
            return;
        }
        let now = Instant::now();
        while let Some(uid) = self.claims.next(now) {
            self.start_claim(uid, now);
        }
        while let Some(name) = self.volumes.next(now) {
            self.start_volume(name, now);
        }
        self.context.counts.claims.set(i64::try_from(self.claims.depth()).unwrap_or(i64::MAX));
        self.context.counts.volumes.set(i64::try_from(self.volumes.depth()).unwrap_or(i64::MAX));
    }

    /// Works in a task of its own. A panic is a failure like any other: of this item, which is repeated after its pause.
    fn spawn(&mut self, item: Item, work: impl Future<Output = Done> + Send + 'static) {
        self.jobs.spawn(async move {
            let done = panics::contained(item.task(), work).await;
            done.unwrap_or(Done::Lost(item))
        });
    }

    fn start_claim(&mut self, uid: String, now: Instant) {
        let context = Arc::clone(&self.context);
        let id = uid.clone();
        match self.state.claim_step(&uid, now) {
            ClaimStep::Nothing => self.claims.finish(&uid, Verdict::Done, now),
            ClaimStep::Wait(until) => self.claims.finish(&uid, Verdict::At(until), now),
            ClaimStep::Refuse(error) => {
                self.refuse(&uid, &error);
                self.claims.finish(&uid, Verdict::Retry, now);
            }
            ClaimStep::Provision(attempt) => self.spawn(Item::Claim(uid, attempt.clone()), async move {
                Done::Claim(id, attempt::provision(context, attempt).await)
            }),
            ClaimStep::Save(unsaved) => self.spawn(Item::Claim(uid, unsaved.attempt.clone()), async move {
                Done::Claim(id, attempt::save(context, unsaved).await)
            }),
        }
    }

    fn refuse(&self, uid: &str, error: &ClaimError) {
        let ClaimError::ClassMissing(class) = error;
        let source = self.state.claim(uid).map(source_kind).unwrap_or_default();
        self.context.counts.provision_failed(class, source);
        warn!(claim_uid = uid, %error, "a claim is retried");
    }

    fn start_volume(&mut self, name: String, now: Instant) {
        let Some(VolumeStep { step, uid, deleted, kept_by }) = self.state.volume_step(&name) else {
            return self.volumes.finish(&name, Verdict::Done, now);
        };
        let context = Arc::clone(&self.context);
        let id = name.clone();
        self.spawn(Item::Volume(name), async move {
            let outcome = match step {
                Step::Delete => delete::delete(context, &id, &uid, deleted, kept_by.as_deref()).await,
                step => delete::patch_finalizer(context, &id, &uid, step).await,
            };
            Done::Volume { name: id, uid, outcome }
        });
    }

    fn finish(&mut self, done: Result<Done, JoinError>) {
        let now = Instant::now();
        match done {
            Ok(Done::Claim(uid, outcome)) => {
                let verdict = self.state.claim_done(&uid, outcome, now);
                self.claims.finish(&uid, verdict, now);
            }
            Ok(Done::Volume { name, uid, outcome }) => {
                let verdict = self.state.volume_done(&name, &uid, &outcome);
                self.volumes.finish(&name, verdict, now);
            }
            // Nobody knows how far it came, be it that the claim is gone by now.
            Ok(Done::Lost(Item::Claim(uid, attempt))) => {
                let lost = ClaimOutcome::Failed(attempt, Finality::InBackground);
                let verdict = self.state.claim_done(&uid, lost, now);
                self.claims.finish(&uid, verdict, now);
            }
            Ok(Done::Lost(Item::Volume(name))) => self.volumes.finish(&name, Verdict::Retry, now),
            // Panics are contained, and nobody aborts one of them while this runs.
            Err(failure) => error!(%failure, "work ended without an outcome"),
        }
    }

    /// Starts nothing new, waits for what runs, and ends what takes too long. A job of the operations goes on when the
    /// work that asked for it is ended: `false` when one still does.
    async fn drain(mut self) -> bool {
        let deadline = Instant::now() + self.context.config.drain;
        info!(jobs = self.jobs.len(), "shutting down");
        let ended = timeout_at(deadline, async { while self.jobs.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            warn!(jobs = self.jobs.len(), "work is cut off; whoever leads next repeats it");
        }
        self.jobs.shutdown().await;
        idle_by(&*self.context.volumes, deadline).await
    }
}

/// Waits for jobs of the operations, whoever asked for them; `true` when none is left at `deadline`.
pub(crate) async fn idle_by(volumes: &impl Volumes, deadline: Instant) -> bool {
    let idle = async {
        while volumes.running() > 0 {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout_at(deadline, idle).await.is_ok()
}
