//! What waits for a writer: warnings first, and the oldest of the others is what is lost.

use std::collections::{BTreeMap, HashMap};

use super::{Note, Sameness};

/// Notes that wait, in order, at most `room` of them. A note that is there already is counted, not added.
#[derive(Debug)]
pub(super) struct Waiting {
    room: usize,
    warnings: Lane,
    others: Lane,
}

/// Notes of one urgency.
#[derive(Debug, Default)]
struct Lane {
    next: u64,
    order: BTreeMap<u64, Told>,
    places: HashMap<Sameness, u64>,
}

/// A note, and how often it was told since it was last written.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) note: Note,
    pub(super) times: i32,
}

impl Waiting {
    pub(super) fn new(room: usize) -> Self {
        Self { room, warnings: Lane::default(), others: Lane::default() }
    }

    /// Adds a note; returns the one that is lost because there is no room for both.
    pub(super) fn add(&mut self, note: Note) -> Option<Told> {
        let lane = if note.reason.is_warning() { &mut self.warnings } else { &mut self.others };
        if !lane.add(note) || self.warnings.len() + self.others.len() <= self.room {
            return None;
        }
        self.others.take().or_else(|| self.warnings.take())
    }

    /// The most urgent note.
    pub(super) fn take(&mut self) -> Option<Told> {
        self.warnings.take().or_else(|| self.others.take())
    }
}

impl Lane {
    /// Whether there is one more now.
    fn add(&mut self, note: Note) -> bool {
        let key = note.sameness();
        if let Some(told) = self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            told.times = told.times.saturating_add(1);
            return false;
        }
        self.places.insert(key, self.next);
        self.order.insert(self.next, Told { note, times: 1 });
        self.next += 1;
        true
    }

    fn take(&mut self) -> Option<Told> {
        let (_, told) = self.order.pop_first()?;
        self.places.remove(&told.note.sameness());
        Some(told)
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::tests::note;
    use super::*;

    const NORMAL: Reason = Reason::Provisioning;
    const WARNING: Reason = Reason::ProvisioningFailed;

    fn taken(waiting: &mut Waiting) -> Vec<(String, i32)> {
        std::iter::from_fn(|| waiting.take()).map(|told| (told.note.message, told.times)).collect()
    }

    #[test]
    fn warnings_come_first_and_repetitions_are_counted() {
        let mut waiting = Waiting::new(10);
        for (reason, text) in [(NORMAL, "a"), (WARNING, "b"), (NORMAL, "c"), (WARNING, "d"), (WARNING, "b")] {
            assert!(waiting.add(note("u", reason, text)).is_none());
        }
        let expected = [("b", 2), ("d", 1), ("a", 1), ("c", 1)];
        assert_eq!(taken(&mut waiting), expected.map(|(text, times)| (text.to_owned(), times)));
    }

    #[test]
    fn without_room_the_oldest_of_the_others_is_lost_and_a_warning_only_for_a_warning() {
        let mut waiting = Waiting::new(2);
        assert!(waiting.add(note("u", NORMAL, "a")).is_none());
        assert!(waiting.add(note("u", NORMAL, "b")).is_none());
        assert_eq!(waiting.add(note("u", NORMAL, "c")).unwrap().note.message, "a");
        assert_eq!(waiting.add(note("u", WARNING, "d")).unwrap().note.message, "b");
        assert_eq!(waiting.add(note("u", WARNING, "e")).unwrap().note.message, "c");
        assert_eq!(waiting.add(note("u", NORMAL, "f")).unwrap().note.message, "f");
        assert_eq!(waiting.add(note("u", WARNING, "g")).unwrap().note.message, "d");
        assert_eq!(taken(&mut waiting), ["e", "g"].map(|text| (text.to_owned(), 1)));
    }
}
