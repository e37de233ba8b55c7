//! Whether the API server answers our calls, and when a leader that it does not answer gives the Lease up.
//!
//! # Guarantees
//! - A leader that has work, and none of whose calls is answered for [`PATIENCE`], is hopeless: another replica may reach
//!   the server in another way, and this one keeps it from trying. The Lease's own calls say nothing of it: they go over
//!   a connection of their own.
//! - One that has no work keeps the Lease, whatever fails: nothing is gained by another leader.
//! - A refusal (4xx) is an answer. An error of the server (5xx) is none, nor is a missed deadline or a lost connection.
//! - Nothing is concluded from time that passes, only from calls that fail in it or wait for long, one after the other: two with nothing
//!   between them for [`GAP`] are two accidents.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csi_runtime::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a leader with work goes on although nothing is answered. Longer than any single call may take, so that one
/// lost connection is not enough.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The longest time without a call between two failures that count as one. Watches that fail are begun anew more often.
const GAP: Duration = Duration::from_mins(1);

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server has done it, or has said why it does not.
    Answered,
    /// The server says that it has failed itself.
    ServerError,
    /// It was not answered in time.
    Late,
    /// It did not get there, or its answer did not come back.
    Failed,
}

/// Why a leader is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hopeless {
    /// How long no call has been answered.
    pub(crate) silence: Duration,
    /// What was wrong with the last one.
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// Told of the fate of every call and of the work there is. Clones share what they are told.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    judge: Arc<Mutex<Judge>>,
    hopeless: watch::Sender<Option<Hopeless>>,
    calls: Family<Labels, Counter>,
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self { judge: Arc::default(), hopeless: watch::Sender::new(None), calls: Family::default() }
    }

    /// Registers `berth_apiserver_calls_total{outcome}`.
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register(
                "apiserver_calls",
                "Calls to the API server, those about the Lease excepted",
                self.calls.clone(),
            );
        });
    }

    /// Notes what came of a call that began at `begun`.
    pub(crate) fn note(&self, begun: Instant, fate: Fate, reason: impl FnOnce() -> String) {
        self.calls.get_or_create(&Labels { outcome: fate.label() }).inc();
        if fate == Fate::Answered {
            return self.judge(|judge| judge.answered(Instant::now()));
        }
        self.failing(begun, reason);
    }

    /// Notes that a call that began at `begun` has no answer yet, though it should.
    pub(crate) fn overdue(&self, begun: Instant, reason: impl FnOnce() -> String) {
        self.failing(begun, reason);
    }

    fn failing(&self, begun: Instant, reason: impl FnOnce() -> String) {
        if let Some(silence) = self.judge(|judge| judge.failed(begun, Instant::now())) {
            self.hopeless.send_replace(Some(Hopeless { silence, reason: reason() }));
        }
    }

    /// Notes whether there is work, known or not yet known.
    pub(crate) fn working(&self, working: bool) {
        let now = Instant::now();
        self.judge(|judge| judge.working = working.then(|| judge.working.unwrap_or(now)));
    }

    /// Waits until there is no hope left.
    pub(crate) async fn hopeless(&self) -> Hopeless {
        let mut verdict = self.hopeless.subscribe();
        match verdict.wait_for(Option::is_some).await.map(|verdict| verdict.clone()) {
            Ok(Some(hopeless)) => hopeless,
            // Its sender is ours, so it does not close.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    fn judge<T>(&self, act: impl FnOnce(&mut Judge) -> T) -> T {
        act(&mut self.judge.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fate {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server_error",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// What follows from calls and work.
#[derive(Debug, Default)]
struct Judge {
    /// When the last answer came.
    answered: Option<Instant>,
    /// From when on nothing was answered, and when the last call failed, if any has since the last answer.
    failing: Option<(Instant, Instant)>,
    /// Since when there is work.
    working: Option<Instant>,
}

impl Judge {
    fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.failing = None;
    }

    /// A call that began at `begun` has failed. For how long nothing was answered although there was work, if that is
    /// too long.
    fn failed(&mut self, begun: Instant, now: Instant) -> Option<Duration> {
        let unanswered = self.answered.map_or(begun, |answered| answered.max(begun));
        let since = match self.failing {
            Some((since, last)) if begun <= last + GAP => since.min(unanswered),
            _ => unanswered,
        };
        self.failing = Some((since, now));
        let silence = now.saturating_duration_since(since.max(self.working?));
        (silence >= PATIENCE).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A judge, and a clock in seconds.
    struct Trial {
        judge: Judge,
        start: Instant,
    }

    impl Trial {
        fn new() -> Self {
            Self { judge: Judge::default(), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn working(mut self, since: u64) -> Self {
            self.judge.working = Some(self.at(since));
            self
        }

        fn answered(&mut self, at: u64) {
            self.judge.answered(self.at(at));
        }

        fn failed(&mut self, begun: u64, at: u64) -> Option<u64> {
            self.judge.failed(self.at(begun), self.at(at)).map(|silence| silence.as_secs())
        }
    }

    #[test]
    fn a_leader_with_work_is_hopeless_after_thirty_seconds_without_an_answer() {
        let mut trial = Trial::new().working(0);
        assert_eq!(trial.failed(100, 115), None);
        assert_eq!(trial.failed(114, 129), None);
        assert_eq!(trial.failed(115, 130), Some(30), "counted from when the first of them was sent");
    }

    #[test]
    fn one_answer_in_between_begins_it_anew() {
        let mut trial = Trial::new().working(0);
        assert_eq!(trial.failed(0, 15), None);
        trial.answered(20);
        assert_eq!(trial.failed(16, 31), None, "it was sent before that answer came");
        assert_eq!(trial.failed(31, 46), None);
        assert_eq!(trial.failed(36, 51), Some(31), "counted from the answer");
    }

    #[test]
    fn one_that_has_no_work_keeps_the_lease_and_gets_its_time_when_work_comes() {
        let mut trial = Trial::new();
        for begun in (0..600).step_by(15) {
            assert_eq!(trial.failed(begun, begun + 15), None);
        }
        let mut trial = trial.working(600);
        assert_eq!(trial.failed(600, 615), None);
        assert_eq!(trial.failed(615, 629), None);
        assert_eq!(trial.failed(629, 630), Some(30));
    }

    #[test]
    fn a_pause_without_calls_proves_nothing_by_itself() {
        let mut trial = Trial::new().working(0);
        trial.answered(10);
        assert_eq!(trial.failed(500, 515), None, "nobody asked before that");
        assert_eq!(trial.failed(576, 577), None, "two accidents");
        assert_eq!(trial.failed(637, 638), Some(62), "one trouble");
    }

    #[tokio::test(start_paused = true)]
    async fn the_verdict_carries_the_last_failure_and_the_calls_are_counted() {
        let answers = Answers::new();
        let metrics = Metrics::new();
        answers.register(&metrics);
        answers.working(true);
        let begun = Instant::now();
        answers.note(begun, Fate::Answered, String::new);
        answers.note(begun, Fate::ServerError, || "first".to_owned());
        answers.working(true);
        tokio::time::advance(PATIENCE).await;
        answers.note(begun, Fate::Late, || "last".to_owned());
        assert_eq!(answers.hopeless().await, Hopeless { silence: PATIENCE, reason: "last".to_owned() });
        let text = metrics.encode().unwrap();
        for outcome in ["answered", "server_error", "late"] {
            assert!(text.contains(&format!("berth_apiserver_calls_total{{outcome=\"{outcome}\"}} 1")), "{text}");
        }
    }
}
