//! A server that does not answer is not asked by everybody at once.
//!
//! Each question to such a server lasts until its time is up, and whoever asks has a place in a queue meanwhile that the
//! volumes of other servers need. So after a question without an answer the next ones are refused at once for a while; then
//! one goes through, and what comes of it decides for all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::OperationError;

/// How long nobody asks after the first question without an answer; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time that nobody asks: a server that is back is used again after as long at the most.
const LONGEST: Duration = Duration::from_secs(15);

/// What is known of one server.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// It has answered, or nobody has asked yet.
    #[default]
    Answering,
    Silent {
        /// Why the last question got no answer.
        reason: String,
        /// When the next one may be asked.
        until: Instant,
        /// How long nobody asks after one more without an answer.
        next: Duration,
        /// Whether somebody is asking.
        asking: bool,
    },
}

/// Leave to ask a server.
#[derive(Debug)]
struct Leave<'a> {
    breaker: &'a Breaker,
    /// Whether everybody else waits for what comes of it.
    alone: bool,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let (true, State::Silent { asking, .. }) = (self.alone, &mut *self.breaker.lock()) {
            *asking = false;
        }
    }
}

impl Breaker {
    /// Does `work` on the server, unless it does not answer: [`OperationError::NotAnswering`] at once, which says what the
    /// last one who asked was told. `location` is for that error.
    pub(crate) async fn run<T>(
        &self,
        location: impl Fn() -> String,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        let leave = match self.enter() {
            Ok(leave) => leave,
            Err(reason) => return Err(OperationError::NotAnswering { location: location(), reason }),
        };
        let result = work.await;
        match &result {
            // Nobody was asked.
            Err(OperationError::InProgress(_)) => {}
            Err(error) if let Some(reason) = error.silence() => leave.breaker.no_answer(reason),
            _ => *leave.breaker.lock() = State::Answering,
        }
        result
    }

    fn enter(&self) -> Result<Leave<'_>, String> {
        match &mut *self.lock() {
            State::Answering => Ok(Leave { breaker: self, alone: false }),
            State::Silent { reason, until, asking, .. } => {
                if *asking || Instant::now() < *until {
                    return Err(reason.clone());
                }
                *asking = true;
                Ok(Leave { breaker: self, alone: true })
            }
        }
    }

    fn no_answer(&self, reason: String) {
        let mut state = self.lock();
        let now = Instant::now();
        let pause = match &*state {
            State::Answering => FIRST,
            // Those who had asked before anybody knew come back one after another: that is one silence, not many.
            State::Silent { until, next, asking: false, .. } if now < *until => {
                let (until, next) = (*until, *next);
                *state = State::Silent { reason, until, next, asking: false };
                return;
            }
            State::Silent { next, .. } => *next,
        };
        *state = State::Silent { reason, until: now + pause, next: LONGEST.min(pause * 2), asking: false };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> OperationError {
        let source = nfs_client::Error::Timeout {
            server: "nfs:2049".into(),
            after: Duration::from_secs(10),
            detail: "no reply".to_owned(),
        };
        OperationError::Storage { doing: "open the share", location: "nfs:/export".to_owned(), source }
    }

    /// Asks; `None`: it was refused without asking.
    async fn ask(breaker: &Breaker, result: Result<(), OperationError>) -> Option<Result<(), OperationError>> {
        match breaker.run(|| "nfs:/other".to_owned(), async { result }).await {
            Err(OperationError::NotAnswering { location, reason }) => {
                assert_eq!(location, "nfs:/other");
                assert!(reason.contains("no reply"), "{reason}");
                None
            }
            other => Some(other),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_less_and_less_often_and_by_one_at_a_time() {
        let breaker = Breaker::default();
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
        assert!(ask(&breaker, Err(silence())).await.unwrap().is_err());
        let mut pause = FIRST;
        for _ in 0..7 {
            assert!(ask(&breaker, Ok(())).await.is_none());
            let moment = Duration::from_millis(1);
            tokio::time::advance(pause.saturating_sub(moment)).await;
            assert!(ask(&breaker, Ok(())).await.is_none());
            tokio::time::advance(moment).await;
            assert!(ask(&breaker, Err(silence())).await.unwrap().is_err(), "after {pause:?} one may ask");
            pause = LONGEST.min(pause * 2);
        }
        assert_eq!(pause, LONGEST);
        tokio::time::advance(LONGEST).await;
        let first = breaker.run(String::new, async {
            assert!(ask(&breaker, Ok(())).await.is_none(), "somebody is asking");
            Ok(())
        });
        first.await.unwrap();
        assert!(ask(&breaker, Err(silence())).await.unwrap().is_err(), "it has answered");
        tokio::time::advance(FIRST).await;
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok(), "the pause begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_had_asked_before_do_not_make_it_worse() {
        let breaker = Breaker::default();
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Err::<(), _>(silence())
        };
        let late = breaker.run(String::new, late);
        tokio::pin!(late);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut late).await.is_err());
        assert!(ask(&breaker, Err(silence())).await.unwrap().is_err());
        late.await.unwrap_err();
        tokio::time::advance(FIRST / 2 + Duration::from_millis(1)).await;
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_leaves_without_an_answer_lets_the_next_ask() {
        let breaker = Breaker::default();
        ask(&breaker, Err(silence())).await;
        tokio::time::advance(FIRST).await;
        let asking = breaker.run(String::new, std::future::pending::<Result<(), _>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), asking).await.is_err());
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_the_server_itself_told_is_an_answer() {
        let breaker = Breaker::default();
        let told = OperationError::Contended("nfs:/export/a".to_owned());
        assert!(ask(&breaker, Err(told)).await.unwrap().is_err());
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
    }
}
