//! Volumes of which a failed attempt may have left something on a share.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By id. A volume stays in doubt until it is made, deleted, or an attempt saw that nothing of it is there; so callers
/// that repeat a call until its answer is final, as the CSI specification asks of them, leave nothing here.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<HashSet<String>>);

impl Doubts {
    pub(super) fn contains(&self, volume: &str) -> bool {
        self.lock().contains(volume)
    }

    pub(super) fn note(&self, volume: String, doubt: bool) {
        if doubt {
            self.lock().insert(volume);
        } else {
            self.lock().remove(&volume);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
