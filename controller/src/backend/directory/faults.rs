//! Places between two steps where tests stop an operation, as a crash would.
//!
//! A compound is several steps in one request, and a server may die between two of them; so a fault cuts the request off
//! before a step, sends what is left, and lets the operation go no further: no undoing, no answer. Without the feature
//! `fault-points` there is nothing of this in the program.

#[cfg(feature = "fault-points")]
use std::sync::{Arc, Mutex, PoisonError};

use super::step::Step;

/// Where to stop; nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    #[cfg(feature = "fault-points")]
    armed: Arc<Mutex<Option<Fault>>>,
}

/// An operation that is to be stopped.
#[cfg(feature = "fault-points")]
#[derive(Debug)]
struct Fault {
    before: Step,
    /// None: the whole process dies.
    reached: Option<tokio::sync::oneshot::Sender<()>>,
}

#[cfg(feature = "fault-points")]
impl Faults {
    /// Stops the next operation that comes to `step` before it, for ever; the receiver hears of it.
    pub fn stop_before(&self, step: Step) -> tokio::sync::oneshot::Receiver<()> {
        let (reached, heard) = tokio::sync::oneshot::channel();
        *self.lock() = Some(Fault { before: step, reached: Some(reached) });
        heard
    }

    /// Ends the process, without any cleaning up, before `step`.
    fn abort_before(&self, step: Step) {
        *self.lock() = Some(Fault { before: step, reached: None });
    }

    /// Ends the process before the step that the variable `BERTH_ABORT_BEFORE` names, if it names one.
    pub fn from_environment() -> Self {
        let faults = Self::default();
        let named = std::env::var("BERTH_ABORT_BEFORE").unwrap_or_default();
        if let Some(step) = Step::ALL.into_iter().find(|step| format!("{step:?}") == named) {
            faults.abort_before(step);
        }
        faults
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_before(&self, step: Step) -> bool {
        self.lock().as_ref().is_some_and(|fault| fault.before == step)
    }

    /// The crash: never returns.
    pub(crate) async fn die(&self) {
        let fault = self.lock().take();
        match fault {
            Some(Fault { reached: Some(reached), .. }) => {
                let _nobody_listens = reached.send(());
            }
            _ => std::process::abort(),
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(not(feature = "fault-points"))]
impl Faults {
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) fn is_before(&self, _step: Step) -> bool {
        false
    }

    #[expect(clippy::unused_async, reason = "the same call as with the feature")]
    pub(crate) async fn die(&self) {}
}
