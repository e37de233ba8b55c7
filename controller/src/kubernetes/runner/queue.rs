//! A work queue of one owner: no locks, no tasks of its own, time passed in.
//!
//! # Guarantees
//! - An item is never given out twice at once; what arrives for it meanwhile is remembered and given out after.
//! - At most `limit` items are out at once, shared between servers as [`super::lanes`] says.
//! - An item that failed waits for up to `start`, twice that, and so on up to `max`, and at least half of it, by chance: what
//!   failed together does not come back together. Success forgets its failures.
//! - An item that is added again with another server moves to that one's lane, as does one that needs another when it is taken back.
//! - Something new about a waiting item ends its wait: the news may be the cure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::{Lane, Lanes, Ticket};

/// Exponential delays of one item after its failures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) start: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// Longest delay after the `failures`-th failure in a row, counted from 1.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.start.saturating_mul(factor).min(self.max)
    }

    /// The delay of one item: as long as [`Backoff::delay`], or shorter by up to half.
    fn pause(&self, failures: u32, chance: &mut fastrand::Rng) -> Duration {
        self.delay(failures).mul_f64(1.0 - chance.f64() / 2.0)
    }
}

/// What came of an item that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing left to do.
    Done,
    /// It failed: again after its back-off.
    Retry,
    /// Again at this time, which is no failure.
    At(Instant),
}

/// An item that was given out.
#[derive(Debug)]
struct Running {
    lane: Lane,
    /// It was added again since.
    again: bool,
}

/// An item that waits.
#[derive(Debug)]
struct Waiting {
    lane: Lane,
    until: Instant,
    /// Whether it waits because it failed.
    failed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    limit: usize,
    backoff: Backoff,
    ready: Lanes<K>,
    /// Where the items in `ready` stand.
    queued: HashMap<K, Ticket>,
    /// Items given out.
    running: HashMap<K, Running>,
    /// Items that wait.
    due: HashMap<K, Waiting>,
    /// How many of them failed.
    failed: usize,
    /// The same, by time.
    timeline: BTreeSet<(Instant, K)>,
    failures: HashMap<K, u32>,
    chance: fastrand::Rng,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    pub(crate) fn new(limit: usize, backoff: Backoff) -> Self {
        Self {
            limit,
            backoff,
            ready: Lanes::default(),
            queued: HashMap::new(),
            running: HashMap::new(),
            due: HashMap::new(),
            failed: 0,
            timeline: BTreeSet::new(),
            failures: HashMap::new(),
            chance: fastrand::Rng::new(),
        }
    }

    /// Asks for `key`, which needs this server, to be worked on as soon as there is room.
    pub(crate) fn add(&mut self, key: K, lane: &Lane) {
        if let Some(running) = self.running.get_mut(&key) {
            running.again = true;
            return;
        }
        if let Some(waiting) = self.due.remove(&key) {
            self.failed -= usize::from(waiting.failed);
            self.timeline.remove(&(waiting.until, key.clone()));
        }
        if let Some(ticket) = self.queued.get(&key) {
            if ticket.lane() == lane {
                return;
            }
            self.ready.remove(ticket);
        }
        let ticket = self.ready.push(lane, key.clone());
        self.queued.insert(key, ticket);
    }

    /// Gives out the next item, if one is ready and there is room. [`Queue::finish`] must follow.
    pub(crate) fn next(&mut self, now: Instant) -> Option<K> {
        while self.timeline.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.timeline.pop_first()
                && let Some(lane) = self.due.get(&key).map(|waiting| Lane::clone(&waiting.lane))
            {
                self.add(key, &lane);
            }
        }
        let (lane, key) = self.ready.take(self.limit)?;
        self.queued.remove(&key);
        self.running.insert(key.clone(), Running { lane, again: false });
        Some(key)
    }

    /// Takes an item back; `lane` is the server that it needs next.
    pub(crate) fn finish(&mut self, key: &K, verdict: Verdict, lane: Lane, now: Instant) {
        let Some(Running { lane: left, again }) = self.running.remove(key) else { return };
        self.ready.leave(&left);
        let at = match verdict {
            Verdict::Done => {
                self.failures.remove(key);
                None
            }
            Verdict::Retry => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                *failures = failures.saturating_add(1);
                Some(now + self.backoff.pause(*failures, &mut self.chance))
            }
            Verdict::At(at) => Some(at),
        };
        if again {
            self.add(key.clone(), &lane);
        } else if let Some(until) = at {
            let failed = verdict == Verdict::Retry;
            self.failed += usize::from(failed);
            self.due.insert(key.clone(), Waiting { lane, until, failed });
            self.timeline.insert((until, key.clone()));
        }
    }

    /// When [`Queue::next`] has something to give that it has not now, as far as time alone decides it.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timeline.first().map(|(at, _)| *at)
    }

    /// Whether anything is to be done: ready, given out, or to be repeated because it failed.
    pub(crate) fn has_work(&self) -> bool {
        self.depth() > 0 || self.failed > 0
    }

    /// Items that are ready or given out: those that wait for their time are not counted.
    pub(crate) fn depth(&self) -> usize {
        self.queued.len() + self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { start: Duration::from_secs(1), max: Duration::from_mins(5) };

    fn queue(limit: usize) -> Queue<&'static str> {
        Queue::new(limit, BACKOFF)
    }

    fn server() -> Lane {
        "nfs".into()
    }

    #[test]
    fn the_delay_doubles_from_one_second_to_five_minutes() {
        let delays: Vec<u64> = (1..12).map(|failures| BACKOFF.delay(failures).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(BACKOFF.delay(u32::MAX), BACKOFF.max);
    }

    #[test]
    fn one_item_is_never_given_out_twice_at_once() {
        let now = Instant::now();
        let mut queue = queue(10);
        queue.add("a", &server());
        queue.add("a", &server());
        assert_eq!(queue.next(now), Some("a"));
        queue.add("a", &server());
        assert_eq!(queue.next(now), None);
        queue.finish(&"a", Verdict::Done, server(), now);
        assert_eq!(queue.next(now), Some("a"), "what came meanwhile is worked on after");
        queue.finish(&"a", Verdict::Done, server(), now);
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn at_most_the_limit_is_out_at_once() {
        let now = Instant::now();
        let mut queue = queue(2);
        for key in ["a", "b", "c"] {
            queue.add(key, &key.into());
        }
        assert_eq!((queue.next(now), queue.next(now), queue.next(now)), (Some("a"), Some("b"), None));
        queue.finish(&"a", Verdict::Done, server(), now);
        assert_eq!(queue.next(now), Some("c"));
    }

    #[test]
    fn an_item_moves_to_the_lane_that_it_is_added_with_last() {
        let now = Instant::now();
        let mut queue = queue(4);
        for key in ["a", "b", "c", "moves"] {
            queue.add(key, &"silent".into());
        }
        queue.add("moves", &"alive".into());
        assert_eq!(queue.depth(), 4);
        let out: Vec<_> = std::iter::from_fn(|| queue.next(now)).collect();
        assert_eq!(out, ["a", "moves", "b"], "a silent server has half of the places");
        // It is out once, whichever lane has a place next.
        queue.finish(&"moves", Verdict::Done, server(), now);
        queue.finish(&"a", Verdict::Done, server(), now);
        assert_eq!((queue.next(now), queue.next(now)), (Some("c"), None));
        assert_eq!(queue.depth(), 2);
    }

    #[test]
    fn an_item_that_is_taken_back_waits_in_the_lane_that_it_needs_next() {
        let start = Instant::now();
        for verdict in [Verdict::Retry, Verdict::At(start), Verdict::Done] {
            let mut queue = queue(1);
            queue.add("moves", &"silent".into());
            assert_eq!(queue.next(start), Some("moves"));
            if verdict == Verdict::Done {
                queue.add("moves", &"silent".into());
            }
            queue.finish(&"moves", verdict, "alive".into(), start);
            queue.add("stays", &"silent".into());
            let later = start + BACKOFF.max;
            assert!(queue.next(later).is_some());
            let lanes: Vec<&str> = queue.running.values().map(|running| &*running.lane).collect();
            let ready: Vec<&str> = queue.queued.values().map(|ticket| &**ticket.lane()).collect();
            let mut all = [lanes, ready].concat();
            all.sort_unstable();
            assert_eq!(all, ["alive", "silent"], "{verdict:?}");
        }
    }

    #[test]
    fn a_failed_item_waits_and_success_forgets_its_failures() {
        let mut now = Instant::now();
        let mut queue = queue(1);
        queue.add("a", &server());
        let pause = |queue: &Queue<_>, now, longest| {
            let (due, longest) = (queue.next_due().unwrap(), Duration::from_secs(longest));
            assert!(due >= now + longest / 2 && due <= now + longest, "{:?} of {longest:?}", due - now);
            due
        };
        for longest in [1, 2, 4] {
            assert_eq!(queue.next(now), Some("a"));
            queue.finish(&"a", Verdict::Retry, server(), now);
            assert_eq!(queue.next(now), None);
            now = pause(&queue, now, longest);
        }
        assert_eq!(queue.next(now), Some("a"));
        queue.finish(&"a", Verdict::Done, server(), now);
        queue.add("a", &server());
        assert_eq!(queue.next(now), Some("a"));
        queue.finish(&"a", Verdict::Retry, server(), now);
        pause(&queue, now, 1);
    }

    #[test]
    fn what_failed_together_comes_back_spread_over_half_of_its_pause() {
        let now = Instant::now();
        let mut queue: Queue<u32> = Queue::new(2000, BACKOFF);
        (0..1000).for_each(|key| queue.add(key, &server()));
        while let Some(key) = queue.next(now) {
            queue.finish(&key, Verdict::Retry, server(), now);
        }
        // 20 in each of 50 parts, if chance were even.
        for part in 50..100 {
            let until = now + Duration::from_millis(10) * (part + 1);
            let back = std::iter::from_fn(|| queue.next(until)).count();
            assert!((1..60).contains(&back), "{back} in part {part}");
        }
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn news_ends_the_wait_and_leaves_no_second_turn_behind() {
        let now = Instant::now();
        let mut queue = queue(1);
        queue.add("a", &server());
        assert_eq!(queue.next(now), Some("a"));
        queue.finish(&"a", Verdict::At(now + Duration::from_mins(5)), server(), now);
        queue.add("a", &server());
        assert_eq!(queue.next(now), Some("a"));
        queue.finish(&"a", Verdict::Done, server(), now);
        assert_eq!(queue.next_due(), None);
        assert_eq!(queue.next(now + Duration::from_hours(1)), None);
    }

    #[test]
    fn items_that_wait_do_not_count_as_work() {
        let now = Instant::now();
        let mut queue = queue(1);
        queue.add("a", &server());
        assert_eq!(queue.depth(), 1);
        assert_eq!(queue.next(now), Some("a"));
        assert_eq!(queue.depth(), 1);
        queue.finish(&"a", Verdict::Retry, server(), now);
        assert_eq!(queue.depth(), 0);
    }

    #[test]
    fn what_failed_is_work_while_it_waits_and_what_waits_for_its_time_is_none() {
        let now = Instant::now();
        let mut queue = queue(1);
        assert!(!queue.has_work());
        for (verdict, after) in [
            (Verdict::Retry, true),
            (Verdict::At(now + Duration::from_mins(5)), false),
            (Verdict::Retry, true),
            (Verdict::Done, false),
        ] {
            queue.add("a", &server());
            assert!(queue.has_work());
            assert_eq!(queue.next(now), Some("a"));
            assert!(queue.has_work());
            queue.finish(&"a", verdict, server(), now);
            assert_eq!(queue.has_work(), after, "{verdict:?}");
        }
    }
}
