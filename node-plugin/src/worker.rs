//! Threads that may be lost.
//!
//! A system call that waits for a dead server cannot be interrupted, only abandoned. So whatever may hang runs on a thread that belongs to one
//! share: at most one thread per share can be stuck, other shares do not notice, and whoever asks for the stuck share is told so at once.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use csi_runtime::panics;
use tokio::sync::oneshot;

/// Jobs that may wait for one share. A node has at most a few hundred pods.
const QUEUE: usize = 512;

/// Enough for glibc's resolver, which is the hungriest thing that runs here.
const STACK: usize = 256 * 1024;

/// Tells jobs apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Which thread a job runs on: one for each key and purpose, whatever the label.
#[derive(Debug, Clone)]
pub struct Lane {
    /// What hangs together: one superblock, or one to be.
    pub key: String,
    /// What a share's ordinary thread does, or what has to happen although that one is stuck.
    pub purpose: Purpose,
    /// What people call it: `host:/share`.
    pub label: String,
}

impl PartialEq for Lane {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, self.purpose) == (&other.key, other.purpose)
    }
}

impl Eq for Lane {}

impl Hash for Lane {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.key, self.purpose).hash(state);
    }
}

/// Three threads per share at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Mounting, cloning, statfs, plain unmounts.
    Work,
    /// `MNT_DETACH`, which hangs only where it gives up the last use of a superblock.
    Detach,
    /// Whether the server of a share whose thread is stuck is somewhere else by now. It waits for the resolver at most, and for what the server answers
    /// to a question.
    Ask,
}

/// Why a job brought no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// An earlier job has not come back from the server.
    #[error(
        "{share} does not answer: an earlier {what} is still waiting for the server; this is tried again once the server is back"
    )]
    Stuck {
        /// The share.
        share: String,
        /// What is waiting.
        what: &'static str,
    },
    /// Too many jobs wait.
    #[error("{share} is overloaded: {QUEUE} requests are waiting for it")]
    Full {
        /// The share.
        share: String,
    },
    /// This job did not end in time. It goes on, and what it does is found by the next request.
    #[error("{share} did not answer within {} s: {what} goes on in the background", .allowed.as_secs())]
    Late {
        /// The share.
        share: String,
        /// The job.
        what: &'static str,
        /// How long it was waited for.
        allowed: Duration,
    },
    /// The job ended without a result, which is a defect of this program.
    #[error("{what} of {share} ended without a result")]
    Lost {
        /// The share.
        share: String,
        /// The job.
        what: &'static str,
    },
    /// The node has no thread left.
    #[error("cannot start a thread")]
    Spawn(#[source] std::io::Error),
}

/// How many threads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// In all.
    pub threads: usize,
    /// Of them, those that wait longer than they should.
    pub stuck: usize,
}

/// All threads of this kind. Clones share them.
#[derive(Clone)]
pub struct Workers {
    lanes: Arc<Mutex<HashMap<Lane, Handle>>>,
    idle: Duration,
}

struct Handle {
    jobs: SyncSender<Job>,
    running: Arc<Running>,
}

/// What a thread is doing.
#[derive(Default)]
struct Running(Mutex<Option<Now>>);

#[derive(Clone, Copy)]
struct Now {
    number: u64,
    what: &'static str,
    since: Instant,
    allowed: Duration,
    /// Its caller has stopped waiting.
    late: bool,
}

struct Job {
    number: u64,
    what: &'static str,
    allowed: Duration,
    run: Box<dyn FnOnce() + Send>,
}

impl Workers {
    /// No thread yet. Each is started when it is needed and ends after `idle` without work.
    pub fn new(idle: Duration) -> Self {
        Self { lanes: Arc::default(), idle }
    }

    /// Runs `job` on the lane's thread and waits for it, at most `allowed`.
    ///
    /// What the job owns is dropped when it ends, not when its caller stops waiting. A job whose caller has stopped waiting before it began is not
    /// begun.
    pub async fn run<T, F>(&self, lane: &Lane, what: &'static str, allowed: Duration, job: F) -> Result<T, WorkError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_until(lane, what, allowed, Instant::now() + allowed, job).await
    }

    /// The same for a caller who stops waiting at a moment of its own, before the job has had all that it is allowed.
    pub(crate) async fn run_until<T, F>(
        &self,
        lane: &Lane,
        what: &'static str,
        allowed: Duration,
        until: Instant,
        job: F,
    ) -> Result<T, WorkError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move || {
            if !answer.is_closed() {
                // The caller may have gone meanwhile; what was done stays done and is found by the next request.
                let _ = answer.send(job());
            }
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let running = self.submit(lane, Job { number, what, allowed, run })?;
        match tokio::time::timeout_at(until.into(), answered).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(WorkError::Lost { share: lane.label.clone(), what }),
            Err(_) => {
                running.mark_late(number);
                Err(WorkError::Late { share: lane.label.clone(), what, allowed })
            }
        }
    }

    /// Runs `job` on the lane's thread, for nobody who waits. `allowed` is how long it may take before the thread counts as stuck.
    pub fn start_job(
        &self,
        lane: &Lane,
        what: &'static str,
        allowed: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), WorkError> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.submit(lane, Job { number, what, allowed, run: Box::new(job) }).map(|_| ())
    }

    /// Why nothing can be done in a lane, if its thread has been waiting for longer than it may.
    pub fn stuck(&self, lane: &Lane) -> Option<WorkError> {
        let what = lock(&self.lanes).get(lane)?.running.overdue()?;
        Some(WorkError::Stuck { share: lane.label.clone(), what })
    }

    /// How many stuck threads there are that do a share's ordinary work and whose lanes' keys fit.
    pub(crate) fn count_stuck(&self, fits: impl Fn(&str) -> bool) -> usize {
        let lanes = lock(&self.lanes);
        let is_such = |lane: &Lane| lane.purpose == Purpose::Work && fits(&lane.key);
        lanes.iter().filter(|(lane, handle)| is_such(lane) && handle.running.overdue().is_some()).count()
    }

    /// How many threads there are now.
    pub fn census(&self) -> Census {
        let lanes = lock(&self.lanes);
        Census { threads: lanes.len(), stuck: lanes.values().filter(|lane| lane.running.overdue().is_some()).count() }
    }

    fn submit(&self, lane: &Lane, job: Job) -> Result<Arc<Running>, WorkError> {
        let mut lanes = lock(&self.lanes);
        let handle = match lanes.get(lane) {
            Some(handle) => handle,
            None => lanes.entry(lane.clone()).or_insert(self.start(lane)?),
        };
        if let Some(what) = handle.running.overdue() {
            return Err(WorkError::Stuck { share: lane.label.clone(), what });
        }
        handle.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => WorkError::Full { share: lane.label.clone() },
            TrySendError::Disconnected(job) => WorkError::Lost { share: lane.label.clone(), what: job.what },
        })?;
        Ok(Arc::clone(&handle.running))
    }

    fn start(&self, lane: &Lane) -> Result<Handle, WorkError> {
        let (jobs, receiver) = sync_channel(QUEUE);
        let running = Arc::new(Running::default());
        let thread = Thread {
            lanes: Arc::clone(&self.lanes),
            lane: lane.clone(),
            running: Arc::clone(&running),
            idle: self.idle,
        };
        thread::Builder::new()
            .name(lane.purpose.to_string())
            .stack_size(STACK)
            .spawn(move || thread.work(&receiver))
            .map_err(WorkError::Spawn)?;
        Ok(Handle { jobs, running })
    }
}

impl Running {
    /// What the thread has been waiting for longer than it may, if so.
    fn overdue(&self) -> Option<&'static str> {
        lock(&self.0).filter(|now| now.late || now.since.elapsed() > now.allowed).map(|now| now.what)
    }

    fn mark_late(&self, number: u64) {
        if let Some(now) = lock(&self.0).as_mut().filter(|now| now.number == number) {
            now.late = true;
        }
    }
}

/// A lane's thread, from the inside. Dropped, also after a panic, it takes the lane off the list.
struct Thread {
    lanes: Arc<Mutex<HashMap<Lane, Handle>>>,
    lane: Lane,
    running: Arc<Running>,
    idle: Duration,
}

impl Thread {
    fn work(self, jobs: &Receiver<Job>) {
        loop {
            let job = match jobs.recv_timeout(self.idle) {
                Ok(job) => job,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => match self.last_chance(jobs) {
                    Some(job) => job,
                    None => return,
                },
            };
            *lock(&self.running.0) = Some(Now {
                number: job.number,
                what: job.what,
                since: Instant::now(),
                allowed: job.allowed,
                late: false,
            });
            // Its caller is told by the channel that is dropped with the job, and the next job gets a new thread.
            if panics::contained_call(job.what, job.run).is_err() {
                return;
            }
            *lock(&self.running.0) = None;
        }
    }

    /// Jobs are sent under the lock, so none can come between this look and the end of the lane.
    fn last_chance(&self, jobs: &Receiver<Job>) -> Option<Job> {
        let mut lanes = lock(&self.lanes);
        let job = jobs.try_recv().ok();
        if job.is_none() {
            lanes.remove(&self.lane);
        }
        job
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut lanes = lock(&self.lanes);
        if lanes.get(&self.lane).is_some_and(|handle| Arc::ptr_eq(&handle.running, &self.running)) {
            lanes.remove(&self.lane);
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work => "share",
            Self::Detach => "detach",
            Self::Ask => "ask",
        })
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("census", &self.census()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
