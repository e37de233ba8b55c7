//! Changing one's mind about a publish that waits for a server.
//!
//! A publish whose share does not answer keeps its thread until the kernel lets go, perhaps for hours. If the pod is deleted meanwhile, its target
//! must be free at once, and the late publish must not mount on it any more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use csi_runtime::inflight::Guard;

use crate::worker::Lane;

/// The publishes under way, by target. Clones share them.
#[derive(Clone, Default)]
pub struct Tickets {
    pending: Arc<Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>>,
}

/// The right to mount on a target, once.
pub struct Ticket {
    pending: Arc<Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>>,
    target: PathBuf,
    state: Arc<Mutex<State>>,
}

enum State {
    /// The target is this publish's alone.
    Valid {
        _guard: Guard<PathBuf>,
        /// Where it waits for its server.
        lane: Option<Lane>,
    },
    /// Free for others: the publish can do nothing to the target any more.
    Revoked,
}

impl Tickets {
    /// A ticket for a target, which keeps the target's guard for as long as it is valid.
    pub fn issue(&self, target: &Path, guard: Guard<PathBuf>) -> Ticket {
        let state = Arc::new(Mutex::new(State::Valid { _guard: guard, lane: None }));
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(target.to_owned(), Arc::clone(&state));
        Ticket { pending: Arc::clone(&self.pending), target: target.to_owned(), state }
    }

    /// Makes sure that the publish under way for a target does nothing to it from now on, and frees the target. False if it is doing something at this
    /// moment, or if there is none.
    pub fn revoke(&self, target: &Path) -> bool {
        self.revoke_if(target, |_| true)
    }

    /// The same, if the lane in which the publish waits is such a one.
    pub fn revoke_if(&self, target: &Path, is_such: impl FnOnce(Option<&Lane>) -> bool) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = pending.get(target) else { return false };
        let mut state = match state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let revoked = match &*state {
            State::Valid { lane, .. } => is_such(lane.as_ref()),
            State::Revoked => true,
        };
        if revoked {
            *state = State::Revoked;
        }
        revoked
    }
}

impl Ticket {
    /// Says where the publish is going to wait.
    pub(crate) fn waits_in(&self, lane: &Lane) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Valid { lane: place, .. } = &mut *state {
            *place = Some(lane.clone());
        }
    }

    /// Runs `mount` if the ticket is still valid; nothing can revoke it meanwhile.
    pub fn redeem<T>(&self, mount: impl FnOnce() -> T) -> Option<T> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Valid { .. }).then(mount)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // After a revocation the target may be another publish's.
        if pending.get(&self.target).is_some_and(|state| Arc::ptr_eq(state, &self.state)) {
            pending.remove(&self.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use csi_runtime::InFlight;

    use super::*;

    const TARGET: &str = "/target";

    fn issue(tickets: &Tickets, targets: &InFlight<PathBuf>) -> Ticket {
        tickets.issue(Path::new(TARGET), targets.try_acquire(TARGET.into()).expect("the target is free"))
    }

    #[test]
    fn a_revoked_ticket_mounts_nothing_and_its_target_is_free() {
        let (tickets, targets) = (Tickets::default(), InFlight::new());
        assert!(!tickets.revoke(Path::new(TARGET)), "there is nothing to revoke");
        let ticket = issue(&tickets, &targets);
        assert_eq!(ticket.redeem(|| 7), Some(7));
        assert!(targets.try_acquire(TARGET.into()).is_none());
        assert!(tickets.revoke(Path::new(TARGET)));
        assert_eq!(ticket.redeem(|| 7), None);

        let next = issue(&tickets, &targets);
        drop(ticket);
        assert!(tickets.revoke(Path::new(TARGET)), "the end of the old one is not the new one's");
        drop(next);
        assert!(!tickets.revoke(Path::new(TARGET)));
        assert!(targets.is_empty());
    }

    #[test]
    fn a_ticket_that_is_being_redeemed_cannot_be_revoked() {
        let (tickets, targets) = (Tickets::default(), InFlight::new());
        let ticket = issue(&tickets, &targets);
        let revoked = ticket.redeem(|| tickets.revoke(Path::new(TARGET)));
        assert_eq!(revoked, Some(false));
        assert_eq!(ticket.redeem(|| 7), Some(7));
    }
}
