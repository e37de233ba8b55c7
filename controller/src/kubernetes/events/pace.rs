//! How often events about one object may be written: as client-go's recorder allows it, for each object and kind.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Note;

/// Events about an object that may be written at once (client-go: `defaultSpamBurst`).
const BURST: u32 = 25;

/// After these, one more may be written each time that so long has passed (client-go: `defaultSpamQPS`).
const REFILL: Duration = Duration::from_mins(5);

/// Token buckets of the objects that events were written about last.
#[derive(Debug)]
pub(super) struct Pace {
    room: usize,
    buckets: HashMap<Object, Bucket>,
    /// Keys of `buckets`, oldest first.
    age: VecDeque<Object>,
}

/// An object, and whether warnings about it are meant: what goes well must not use up what they may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Object {
    uid: Option<String>,
    warnings: bool,
}

/// Tokens that there were at a time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Pace {
    /// Remembers so many objects. One that is forgotten begins with a full bucket.
    pub(super) fn new(room: usize) -> Self {
        Self { room, buckets: HashMap::new(), age: VecDeque::new() }
    }

    /// Whether this note may be written now.
    pub(super) fn allows(&mut self, note: &Note, now: Instant) -> bool {
        let key = Object { uid: note.about.uid.clone(), warnings: note.reason.is_warning() };
        if !self.buckets.contains_key(&key) {
            self.age.push_back(key.clone());
            if self.age.len() > self.room
                && let Some(oldest) = self.age.pop_front()
            {
                self.buckets.remove(&oldest);
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: f64::from(BURST), at: now });
        bucket.allows(now)
    }
}

impl Bucket {
    fn allows(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).div_duration_f64(REFILL);
        let tokens = (self.tokens + gained).min(f64::from(BURST));
        let allowed = tokens >= 1.0;
        *self = Self { tokens: if allowed { tokens - 1.0 } else { tokens }, at: now };
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::tests::note;
    use super::*;

    #[test]
    fn an_object_has_25_events_at_once_and_then_one_every_five_minutes() {
        let (mut pace, start) = (Pace::new(10), Instant::now());
        let allowed =
            |pace: &mut Pace, reason, now| (0..100).filter(|_| pace.allows(&note("u", reason, "x"), now)).count();
        assert_eq!(allowed(&mut pace, Reason::Provisioning, start), 25);
        assert_eq!(allowed(&mut pace, Reason::ProvisioningFailed, start), 25, "warnings have their own");
        assert!(pace.allows(&note("v", Reason::Provisioning, "x"), start), "another object has its own");
        assert_eq!(allowed(&mut pace, Reason::Provisioning, start + REFILL / 2), 0);
        assert_eq!(allowed(&mut pace, Reason::Provisioning, start + REFILL), 1);
        assert_eq!(allowed(&mut pace, Reason::Provisioning, start + 1000 * REFILL), 25);
    }

    #[test]
    fn so_many_objects_are_remembered_and_no_more() {
        let (mut pace, now) = (Pace::new(100), Instant::now());
        for number in 0..1000 {
            assert!(pace.allows(&note(&number.to_string(), Reason::Provisioning, "x"), now));
        }
        assert_eq!((pace.buckets.len(), pace.age.len()), (100, 100));
    }
}
