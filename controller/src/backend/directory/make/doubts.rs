//! Volumes of which failed attempts may have left something on a share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::doubt::Doubt;

/// By id. A volume stays here until it is made, or an attempt has failed for good and nothing of it is left: callers that
/// repeat a call until its answer is final, as the CSI specification asks of them, leave nothing behind. One whose
/// parameters are changed meanwhile to other ones of which no id or another id can be made does: a few hundred bytes.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<HashMap<String, Doubt>>);

impl Doubts {
    pub(crate) fn of(&self, volume: &str) -> Doubt {
        self.lock().get(volume).copied().unwrap_or_default()
    }

    pub(crate) fn note(&self, volume: String, doubt: Doubt) {
        if doubt.is_raised() {
            self.lock().insert(volume, doubt);
        } else {
            self.lock().remove(&volume);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
