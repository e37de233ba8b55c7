//! What the health endpoint says of a replica's part in the election.
//!
//! # Guarantees
//! - A replica that waits is alive, whatever becomes of the API server: a new process would not reach it either. It is not
//!   *ready* when it has not seen the Lease for [`UNSEEN`], so that it shows where people look, and a rollout whose new
//!   pods cannot reach the API server stops.
//! - A leader that could not renew the Lease ends by itself. One that has not, although others may lead, is broken: that is
//!   what `/healthz` is for, as with client-go's leader election.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csi_runtime::identity::Readiness;
use csi_runtime::metrics::Metrics;
use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

/// How long a replica may go without a look at the Lease and count as ready.
const UNSEEN: Duration = Duration::from_mins(1);

/// How a replica stands with the Lease. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    state: Arc<Mutex<State>>,
    seen: Gauge,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// It is no candidate.
    #[default]
    Out,
    /// It waits, and has seen the Lease last, or begun to wait, at this time.
    Waiting(Instant),
    /// It leads; from this time on another may.
    Leading(Instant),
}

impl Standing {
    /// What to answer now.
    pub fn readiness(&self) -> Readiness {
        let now = Instant::now();
        match *self.lock() {
            State::Waiting(seen) if now.duration_since(seen) > UNSEEN => Readiness::Starting,
            State::Leading(expiry) if now > expiry => Readiness::Broken(format!(
                "the Lease could not be renewed and has expired {} s ago, and the process has not ended",
                now.duration_since(expiry).as_secs()
            )),
            State::Out | State::Waiting(_) | State::Leading(_) => Readiness::Ready,
        }
    }

    /// Registers `berth_leader_election_last_seen_timestamp_seconds`.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let help = "When the Lease was last read or written, in Unix time; 0: never";
        metrics.register(|registry| {
            registry.register("leader_election_last_seen_timestamp_seconds", help, self.seen.clone());
        });
    }

    /// It begins to wait.
    pub(crate) fn begin(&self) {
        *self.lock() = State::Waiting(Instant::now());
    }

    /// It has read the Lease, which is another's.
    pub(crate) fn saw(&self) {
        self.seen.set(Timestamp::now().as_second());
        *self.lock() = State::Waiting(Instant::now());
    }

    /// It has written the Lease, which nobody else can take before `expiry`.
    pub(crate) fn lead_until(&self, expiry: Instant) {
        self.seen.set(Timestamp::now().as_second());
        *self.lock() = State::Leading(expiry);
    }

    /// It is no candidate any more.
    pub(crate) fn end(&self) {
        *self.lock() = State::Out;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_not_ready_after_a_minute_without_a_look_and_never_broken() {
        let standing = Standing::default();
        assert_eq!(standing.readiness(), Readiness::Ready, "nobody is a candidate: no provisioner was asked for");
        standing.begin();
        advance(UNSEEN).await;
        assert_eq!(standing.readiness(), Readiness::Ready);
        advance(SECOND).await;
        assert_eq!(standing.readiness(), Readiness::Starting);
        standing.saw();
        assert_eq!(standing.readiness(), Readiness::Ready);
        advance(60 * UNSEEN).await;
        assert_eq!(standing.readiness(), Readiness::Starting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_lease_has_expired_is_broken_unless_it_has_stopped() {
        let standing = Standing::default();
        standing.begin();
        standing.lead_until(Instant::now() + 15 * SECOND);
        advance(15 * SECOND).await;
        assert_eq!(standing.readiness(), Readiness::Ready);
        advance(3 * SECOND).await;
        let Readiness::Broken(reason) = standing.readiness() else { panic!("{:?}", standing.readiness()) };
        assert!(reason.contains("expired 3 s ago"), "{reason}");
        standing.end();
        assert_eq!(standing.readiness(), Readiness::Ready);
    }

    #[tokio::test]
    async fn when_the_lease_was_seen_is_told_in_unix_time() {
        let (standing, metrics) = (Standing::default(), Metrics::new());
        standing.register(&metrics);
        let line = |text: &str| {
            let name = "berth_leader_election_last_seen_timestamp_seconds ";
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<i64>().unwrap()
        };
        assert_eq!(line(&metrics.encode().unwrap()), 0);
        let before = Timestamp::now().as_second();
        standing.saw();
        assert!(line(&metrics.encode().unwrap()) >= before);
    }
}
