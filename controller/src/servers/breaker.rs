//! A server that does not answer is not asked by everybody at once.
//!
//! Each question to such a server lasts until its time is up, and whoever asks has a place in a queue meanwhile that the
//! volumes of other servers need. So after a question without an answer the next ones are refused at once for a while; then
//! one who comes asks for a mere sign of life, and what comes of that decides for all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{OperationError, silence};

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

/// Leave to ask a server for a sign of life, while everybody else is refused.
#[derive(Debug)]
struct Leave<'a> {
    breaker: &'a Breaker,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // Whoever leaves without an answer lets the next one ask.
        if let State::Silent { asking, .. } = &mut *self.breaker.lock() {
            *asking = false;
        }
    }
}

impl Breaker {
    /// Does `work` on the server, unless it does not answer: [`OperationError::NotAnswering`] at once, which says what the
    /// last one who asked was told. `location` is for that error. Where it has not answered lately, `probe` has to be
    /// answered first.
    pub(crate) async fn run<T, P: Future<Output = Result<(), nfs_client::Error>>>(
        &self,
        location: impl Fn() -> String,
        probe: impl FnOnce() -> P,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        let refused = |reason| Err(OperationError::NotAnswering { location: location(), reason });
        match self.enter() {
            Ok(None) => {}
            Err(reason) => return refused(reason),
            Ok(Some(leave)) => {
                if let Some(reason) = probe().await.err().as_ref().and_then(silence) {
                    leave.breaker.still_no_answer(reason.clone());
                    return refused(reason);
                }
                *leave.breaker.lock() = State::Answering;
            }
        }
        let result = work.await;
        match &result {
            // Nobody was asked.
            Err(OperationError::InProgress(_)) => {}
            Err(error) if let Some(reason) = error.silence() => self.no_answer(reason),
            _ => *self.lock() = State::Answering,
        }
        result
    }

    /// Leave to ask; with `Some`, for a sign of life.
    fn enter(&self) -> Result<Option<Leave<'_>>, String> {
        match &mut *self.lock() {
            State::Answering => Ok(None),
            State::Silent { reason, until, asking, .. } => {
                if *asking || Instant::now() < *until {
                    return Err(reason.clone());
                }
                *asking = true;
                Ok(Some(Leave { breaker: self }))
            }
        }
    }

    /// A question got no answer. Those who had asked before anybody knew come back one after another: that is one silence,
    /// not many.
    fn no_answer(&self, reason: String) {
        let mut state = self.lock();
        if let State::Answering = *state {
            *state =
                State::Silent { reason, until: Instant::now() + FIRST, next: LONGEST.min(FIRST * 2), asking: false };
        }
    }

    /// The sign of life that was asked for did not come.
    fn still_no_answer(&self, said: String) {
        if let State::Silent { reason, until, next, asking } = &mut *self.lock() {
            (*reason, *until, *asking) = (said, Instant::now() + *next, false);
            *next = LONGEST.min(*next * 2);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn timeout() -> nfs_client::Error {
        nfs_client::Error::Timeout {
            server: "nfs:2049".into(),
            after: Duration::from_secs(10),
            detail: "no reply".to_owned(),
        }
    }

    fn unanswered() -> OperationError {
        let source = timeout();
        OperationError::Storage { doing: "open the share", location: "nfs:/export".to_owned(), source }
    }

    /// Asks; `None`: it was refused without asking. A sign of life that is asked for comes if the work is done.
    async fn ask(breaker: &Breaker, result: Result<(), OperationError>) -> Option<Result<(), OperationError>> {
        let life = if result.is_ok() { Ok(()) } else { Err(timeout()) };
        match breaker.run(|| "nfs:/other".to_owned(), || async { life }, async { result }).await {
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
        assert!(ask(&breaker, Err(unanswered())).await.unwrap().is_err());
        let (mut pause, moment) = (FIRST, Duration::from_millis(1));
        for _ in 0..7 {
            assert!(ask(&breaker, Ok(())).await.is_none());
            tokio::time::advance(pause.saturating_sub(moment)).await;
            let probed = Cell::new(false);
            let probe = async {
                probed.set(true);
                Err(timeout())
            };
            breaker.run(String::new, || probe, async { Ok(()) }).await.unwrap_err();
            assert!(!probed.get(), "too early");
            tokio::time::advance(moment).await;
            let probe = async {
                probed.set(true);
                Err(timeout())
            };
            breaker.run(String::new, || probe, async { Ok(()) }).await.unwrap_err();
            assert!(probed.get(), "after {pause:?} one may ask");
            pause = LONGEST.min(pause * 2);
        }
        assert_eq!(pause, LONGEST);
        tokio::time::advance(LONGEST).await;
        let probe = async {
            assert!(ask(&breaker, Ok(())).await.is_none(), "somebody is asking");
            Ok(())
        };
        breaker.run(String::new, || probe, async { Ok(()) }).await.unwrap();
        assert!(ask(&breaker, Err(unanswered())).await.unwrap().is_err(), "it has answered");
        tokio::time::advance(FIRST).await;
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok(), "the pause begins anew");
    }

    /// A directory that hangs on a server that lives costs the others a moment, and no more with each repetition.
    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_is_enough_for_everybody_else() {
        let breaker = Breaker::default();
        assert!(ask(&breaker, Err(unanswered())).await.unwrap().is_err());
        tokio::time::advance(FIRST).await;
        let work = async {
            assert!(ask(&breaker, Ok(())).await.unwrap().is_ok(), "others go on beside the one that asked");
            Err::<(), _>(unanswered())
        };
        breaker.run(String::new, || async { Ok(()) }, work).await.unwrap_err();
        tokio::time::advance(FIRST).await;
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_had_asked_before_do_not_make_it_worse() {
        let breaker = Breaker::default();
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Err::<(), _>(unanswered())
        };
        let late = breaker.run(String::new, || async { Ok(()) }, late);
        tokio::pin!(late);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut late).await.is_err());
        assert!(ask(&breaker, Err(unanswered())).await.unwrap().is_err());
        late.await.unwrap_err();
        tokio::time::advance(FIRST / 2 + Duration::from_millis(1)).await;
        assert!(ask(&breaker, Ok(())).await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_leaves_without_an_answer_lets_the_next_ask() {
        let breaker = Breaker::default();
        ask(&breaker, Err(unanswered())).await;
        tokio::time::advance(FIRST).await;
        let asking = breaker.run(String::new, std::future::pending, async { Ok(()) });
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
