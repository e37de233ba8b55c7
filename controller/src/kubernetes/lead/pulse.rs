//! Whether the work moves: its task says so now and then, and the thread that renews the Lease listens.
//!
//! A process may renew its Lease for ever while the task that hands out the work waits for a lock that is never given back.
//! It panics nowhere and its calls do not fail, for it makes none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the task that works says so, whatever else it does.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// When the work moved last. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    last: Arc<Mutex<Option<Instant>>>,
}

impl Pulse {
    /// The work moves.
    pub(crate) fn beat(&self) {
        self.set(Some(Instant::now()));
    }

    /// The work is about to end, which takes the time that it is given.
    pub(crate) fn rest(&self) {
        self.set(None);
    }

    fn set(&self, last: Option<Instant>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// For how long the work has stood still; nothing where none is under way.
    pub(crate) fn still_for(&self) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_stands_still_from_its_last_beat_on_unless_it_rests() {
        let pulse = Pulse::default();
        advance(BEAT).await;
        assert_eq!(pulse.still_for(), Duration::ZERO, "none has begun");
        pulse.beat();
        advance(10 * BEAT).await;
        assert_eq!(pulse.clone().still_for(), 10 * BEAT);
        pulse.beat();
        assert_eq!(pulse.still_for(), Duration::ZERO);
        advance(BEAT).await;
        pulse.rest();
        assert_eq!(pulse.still_for(), Duration::ZERO);
    }
}
