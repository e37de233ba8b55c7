//! What the caller of a request and the task that sends it know of each other.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use crate::Error;

/// What the caller and the task of a request tell each other.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    state: AtomicU8,
    last_error: Mutex<Option<Error>>,
}

const WAITING: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP_UNSENT: u8 = 2;
const GIVEN_UP_SENT: u8 = 3;

impl Ticket {
    /// The task is about to send; `false` if the caller has gone before anything was sent.
    pub(super) fn begin(&self) -> bool {
        let moved = self.state.compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire);
        !matches!(moved, Err(GIVEN_UP_UNSENT))
    }

    pub(super) fn caller_has_gone(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), GIVEN_UP_UNSENT | GIVEN_UP_SENT)
    }

    /// The caller goes; returns whether the request may have been sent.
    pub(super) fn give_up(&self) -> bool {
        let unsent = self.state.compare_exchange(WAITING, GIVEN_UP_UNSENT, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !unsent {
            let _ = self.state.compare_exchange(SENT, GIVEN_UP_SENT, Ordering::AcqRel, Ordering::Acquire);
        }
        !unsent
    }

    pub(super) fn note(&self, error: Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn last_error(&self) -> Option<Error> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Gives the ticket up when the caller's future is dropped.
pub(super) struct Caller(pub(super) Arc<Ticket>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
