//! Trouble that lasts, told once a minute instead of at every attempt.

use std::time::Duration;

use tokio::time::Instant;

/// How often lasting trouble is told.
const AGAIN: Duration = Duration::from_mins(1);

/// One kind of trouble.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// When it began, and when it was told last.
    now: Option<(Instant, Instant)>,
}

impl Trouble {
    /// It is there (still). How long it has lasted, when it is time to tell so.
    pub(crate) fn note(&mut self, now: Instant) -> Option<Duration> {
        let Some((began, told)) = &mut self.now else {
            self.now = Some((now, now));
            return Some(Duration::ZERO);
        };
        if now.duration_since(*told) < AGAIN {
            return None;
        }
        *told = now;
        Some(now.duration_since(*began))
    }

    /// It is over. How long it has lasted, if there was any.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Duration> {
        self.now.take().map(|(began, _)| now.duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_a_minute() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        let told: Vec<u64> = (0..=150)
            .step_by(5)
            .filter_map(|second| trouble.note(start + Duration::from_secs(second)))
            .map(|lasted| lasted.as_secs())
            .collect();
        assert_eq!(told, [0, 60, 120]);
        assert_eq!(trouble.end(start + Duration::from_secs(155)), Some(Duration::from_secs(155)));
        assert_eq!(trouble.end(start), None);
        assert_eq!(trouble.note(start), Some(Duration::ZERO), "new trouble is told at once");
    }
}
