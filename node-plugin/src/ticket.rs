//! Changing one's mind about a publish that waits for a server.
//!
//! A publish whose share does not answer keeps its thread until the kernel lets go, perhaps for hours. If the pod is deleted meanwhile, its target
//! must be free at once, and the late publish must not mount on it any more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// The publishes under way, by target. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tickets {
    pending: Arc<Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>>,
}

/// The right to mount on a target, once.
#[derive(Debug)]
pub struct Ticket {
    pending: Arc<Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>>,
    target: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Valid,
    Revoked,
}

impl Tickets {
    /// A ticket for a target, of which the caller holds the guard.
    pub fn issue(&self, target: &Path) -> Ticket {
        let state = Arc::new(Mutex::new(State::Valid));
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(target.to_owned(), Arc::clone(&state));
        Ticket { pending: Arc::clone(&self.pending), target: target.to_owned(), state }
    }

    /// Makes sure that the publish under way for a target never mounts on it from now on. False if it is doing so at this moment, or if there is none.
    pub fn revoke(&self, target: &Path) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = pending.get(target) else { return false };
        match state.try_lock() {
            Ok(mut state) => *state = State::Revoked,
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = State::Revoked,
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }
}

impl Ticket {
    /// Runs `mount` if the ticket is still valid; nothing can revoke it meanwhile.
    pub fn redeem<T>(&self, mount: impl FnOnce() -> T) -> Option<T> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (*state == State::Valid).then(mount)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_ticket_mounts_nothing() {
        let tickets = Tickets::default();
        let target = Path::new("/target");
        assert!(!tickets.revoke(target), "there is nothing to revoke");
        let ticket = tickets.issue(target);
        assert_eq!(ticket.redeem(|| 7), Some(7));
        assert!(tickets.revoke(target));
        assert_eq!(ticket.redeem(|| 7), None);
        drop(ticket);
        assert!(!tickets.revoke(target));
    }

    #[test]
    fn a_ticket_that_is_being_redeemed_cannot_be_revoked() {
        let tickets = Tickets::default();
        let ticket = tickets.issue(Path::new("/target"));
        let revoked = ticket.redeem(|| tickets.revoke(Path::new("/target")));
        assert_eq!(revoked, Some(false));
        assert_eq!(ticket.redeem(|| 7), Some(7));
    }
}
