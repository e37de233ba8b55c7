//! Items that are ready, in one lane for each server that they need.
//!
//! Lanes take turns, and none of them gets more than half of the places that the others leave: however many items wait for a
//! server that does not answer, there is a place for another one's. A hundred places are gone when seven servers are silent
//! at once, and only until each has kept its first items waiting for as long as a connection is tried.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The server that an item needs; empty where it needs none.
pub(crate) type Lane = Arc<str>;

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<K> {
    /// Items that are ready, by ticket; no lane here is empty.
    ready: HashMap<Lane, BTreeMap<u64, K>>,
    /// The lanes with items, the one whose turn it is first.
    turns: VecDeque<Lane>,
    /// Places taken in each lane; no lane here has none.
    taken: HashMap<Lane, usize>,
    all_taken: usize,
    next: u64,
}

/// Where an item stands.
#[derive(Debug)]
pub(super) struct Ticket {
    lane: Lane,
    number: u64,
}

impl Ticket {
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Self { ready: HashMap::new(), turns: VecDeque::new(), taken: HashMap::new(), all_taken: 0, next: 0 }
    }
}

impl<K> Lanes<K> {
    /// Adds an item behind those of its lane.
    pub(super) fn push(&mut self, lane: &Lane, item: K) -> Ticket {
        let items = self.ready.entry(Arc::clone(lane)).or_default();
        if items.is_empty() {
            self.turns.push_back(Arc::clone(lane));
        }
        let number = self.next;
        self.next += 1;
        items.insert(number, item);
        Ticket { lane: Arc::clone(lane), number }
    }

    /// Takes an item out that has not been taken.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<K> {
        let item = self.ready.get_mut(&ticket.lane)?.remove(&ticket.number);
        if self.ready[&ticket.lane].is_empty() {
            self.ready.remove(&ticket.lane);
            self.turns.retain(|lane| *lane != ticket.lane);
        }
        item
    }

    /// Takes the next item that there is a place for, of `places` in all. [`Lanes::leave`] must follow.
    pub(super) fn take(&mut self, places: usize) -> Option<(Lane, K)> {
        for _ in 0..self.turns.len() {
            let lane = self.turns.pop_front()?;
            let item = if self.has_room(&lane, places) { self.pop(&lane) } else { None };
            if self.ready.contains_key(&lane) {
                self.turns.push_back(Arc::clone(&lane));
            }
            if let Some(item) = item {
                *self.taken.entry(Arc::clone(&lane)).or_default() += 1;
                self.all_taken += 1;
                return Some((lane, item));
            }
        }
        None
    }

    fn has_room(&self, lane: &Lane, places: usize) -> bool {
        let taken = self.taken.get(lane).copied().unwrap_or_default();
        let left = places.saturating_sub(self.all_taken - taken);
        taken < left.div_ceil(2)
    }

    fn pop(&mut self, lane: &Lane) -> Option<K> {
        let items = self.ready.get_mut(lane)?;
        let (_, item) = items.pop_first()?;
        if items.is_empty() {
            self.ready.remove(lane);
        }
        Some(item)
    }

    /// An item of the lane has left its place.
    pub(super) fn leave(&mut self, lane: &Lane) {
        if let Some(taken) = self.taken.get_mut(lane) {
            *taken -= 1;
            self.all_taken -= 1;
            if *taken == 0 {
                self.taken.remove(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(items: &[(&str, usize)]) -> Lanes<String> {
        let mut lanes = Lanes::default();
        for (lane, count) in items {
            for number in 0..*count {
                lanes.push(&Lane::from(*lane), format!("{lane}{number}"));
            }
        }
        lanes
    }

    /// How many of each lane are taken until there is nothing more to take.
    fn take_all(lanes: &mut Lanes<String>, places: usize) -> Vec<String> {
        std::iter::from_fn(|| lanes.take(places)).map(|(lane, _)| lane.to_string()).collect()
    }

    #[test]
    fn however_many_wait_for_one_server_there_is_a_place_for_another() {
        let mut lanes = lanes(&[("silent", 1000)]);
        assert_eq!(take_all(&mut lanes, 100).len(), 50);
        for (server, expected) in [("a", 25), ("b", 13), ("c", 6), ("d", 3), ("e", 2), ("f", 1)] {
            for number in 0..1000 {
                lanes.push(&server.into(), format!("{server}{number}"));
            }
            let taken = take_all(&mut lanes, 100);
            assert_eq!((taken.len(), taken.iter().all(|lane| lane == server)), (expected, true), "{server}");
        }
        assert!(take_all(&mut lanes, 100).is_empty(), "every place is taken");
    }

    #[test]
    fn servers_take_turns() {
        let mut lanes = lanes(&[("a", 3), ("b", 1), ("c", 3)]);
        assert_eq!(take_all(&mut lanes, 100), ["a", "b", "c", "a", "c", "a", "c"]);
        assert!(lanes.ready.is_empty() && lanes.turns.is_empty());
    }

    #[test]
    fn a_place_that_is_left_is_taken_again() {
        let mut lanes = lanes(&[("a", 3)]);
        assert_eq!(take_all(&mut lanes, 1), ["a"]);
        lanes.leave(&"a".into());
        assert_eq!(take_all(&mut lanes, 1), ["a"], "one place is enough for a lane that is alone");
        assert_eq!(lanes.ready["a"].len(), 1);
    }

    #[test]
    fn what_is_taken_out_leaves_no_trace() {
        let mut lanes = lanes(&[("a", 1), ("b", 1)]);
        let ticket = lanes.push(&"c".into(), "moves".to_owned());
        assert_eq!(lanes.remove(&ticket).as_deref(), Some("moves"));
        assert_eq!(lanes.remove(&ticket), None);
        lanes.push(&"c".into(), "stays".to_owned());
        assert_eq!(take_all(&mut lanes, 100), ["a", "b", "c"]);
        assert!(lanes.ready.is_empty() && lanes.turns.is_empty());
    }
}
