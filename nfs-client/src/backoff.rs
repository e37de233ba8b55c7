//! Growing, jittered pauses between attempts.

use std::time::Duration;

use crate::random;

/// Doubles from a first pause up to a longest one; every pause is shortened by up to half at random, so that many
/// clients of one server do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// For a server that is away: quick at first, because most restarts are.
    pub(crate) fn reconnecting() -> Self {
        Self { next: Duration::from_millis(20), longest: Duration::from_secs(1) }
    }

    /// For a server that asks to wait (DELAY, GRACE).
    pub(crate) fn asked_to_wait() -> Self {
        Self { next: Duration::from_millis(50), longest: Duration::from_secs(2) }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = random::jittered(self.next);
        self.next = (2 * self.next).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_are_never_less_than_half() {
        let mut backoff = Backoff::reconnecting();
        for expected in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let pause = backoff.next();
            let full = Duration::from_millis(expected);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} for {full:?}");
        }
    }
}
