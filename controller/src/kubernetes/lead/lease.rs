//! Who may act: the rules of leader election on a Lease, without the API calls (those are in [`super::elector`]).
//!
//! # Guarantees
//! - Nobody's clock is believed. A Lease is expired when *we* saw it unchanged for its whole duration; `renewTime` is
//!   written for people and other implementations, and only ever compared for being different.
//! - The record is the one that client-go reads and writes, so this excludes, and is excluded by, an upstream
//!   external-provisioner that holds the Lease of the same name.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// What the one who looks at the Lease may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// Write our name into it.
    Take,
    /// Somebody holds it, for at least this long.
    Wait(Duration),
}

/// What one candidate has seen of the Lease.
#[derive(Debug)]
pub(crate) struct Election {
    identity: String,
    duration_seconds: i32,
    /// The record as last seen, and when it was first seen so.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Election {
    pub(crate) fn new(identity: &str, duration: Duration) -> Self {
        let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        Self { identity: identity.to_owned(), duration_seconds: i32::try_from(whole).unwrap_or(i32::MAX), seen: None }
    }

    /// Notes what the API server showed, and answers what may be done.
    pub(crate) fn observe(&mut self, record: &LeaseSpec, now: Instant) -> Move {
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => {
                self.seen = Some((record.clone(), now));
                now
            }
        };
        let holder = record.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return Move::Take;
        }
        let seconds = record.lease_duration_seconds.unwrap_or(self.duration_seconds);
        let expires = since + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        if expires <= now { Move::Take } else { Move::Wait(expires - now) }
    }

    /// Whether `record` names us.
    pub(crate) fn holds(&self, record: &LeaseSpec) -> bool {
        record.holder_identity.as_deref() == Some(&self.identity)
    }

    /// The record that makes us, or keeps us, the holder after `previous`.
    pub(crate) fn held(&self, previous: Option<&LeaseSpec>, wall: Timestamp) -> LeaseSpec {
        let mine = previous.is_some_and(|record| self.holds(record));
        let acquired = previous.filter(|_| mine).and_then(|record| record.acquire_time.clone());
        let transitions = match previous {
            None => 0,
            Some(record) => record.lease_transitions.unwrap_or(0).saturating_add(i32::from(!mine)),
        };
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.duration_seconds),
            acquire_time: Some(acquired.unwrap_or(MicroTime(wall))),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// The record that gives the Lease back: free for whoever looks next.
    pub(crate) fn released(previous: &LeaseSpec, wall: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(wall)),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: previous.lease_transitions,
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_763_700_000 + seconds).unwrap()
    }

    fn held_by(name: &str, renewed: i64) -> LeaseSpec {
        Election::new(name, DURATION).held(None, at(renewed))
    }

    #[test]
    fn a_lease_held_by_another_is_respected_until_we_saw_it_unchanged_for_its_duration() {
        let start = Instant::now();
        let mut me = Election::new("me", DURATION);
        let record = held_by("other", 0);
        assert_eq!(me.observe(&record, start), Move::Wait(DURATION));
        assert_eq!(me.observe(&record, start + Duration::from_secs(10)), Move::Wait(Duration::from_secs(5)));
        assert_eq!(me.observe(&record, start + DURATION), Move::Take);
    }

    #[test]
    fn a_renewal_starts_the_wait_anew() {
        let start = Instant::now();
        let mut me = Election::new("me", DURATION);
        assert_eq!(me.observe(&held_by("other", 0), start), Move::Wait(DURATION));
        let renewed = held_by("other", 5);
        assert_eq!(me.observe(&renewed, start + Duration::from_secs(14)), Move::Wait(DURATION));
    }

    #[test]
    fn a_holder_whose_clock_is_wrong_is_respected_all_the_same() {
        for skew in [-1_000_000, 0, 1_000_000] {
            let mut me = Election::new("me", DURATION);
            assert_eq!(me.observe(&held_by("other", skew), Instant::now()), Move::Wait(DURATION), "{skew}");
        }
    }

    #[test]
    fn the_holders_own_duration_counts() {
        let start = Instant::now();
        let mut me = Election::new("me", DURATION);
        let record = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("other", 0) };
        assert_eq!(me.observe(&record, start), Move::Wait(Duration::from_mins(1)));
    }

    #[test]
    fn a_free_lease_and_our_own_of_an_earlier_life_are_taken_at_once() {
        let now = Instant::now();
        let mut me = Election::new("me", DURATION);
        assert_eq!(me.observe(&held_by("me", 0), now), Move::Take);
        assert_eq!(me.observe(&Election::released(&held_by("other", 0), at(1)), now), Move::Take);
        assert_eq!(me.observe(&LeaseSpec::default(), now), Move::Take);
    }

    #[test]
    fn a_change_of_holder_counts_as_a_transition_and_a_renewal_does_not() {
        let me = Election::new("me", DURATION);
        let taken = me.held(Some(&held_by("other", 0)), at(20));
        assert_eq!(taken.lease_transitions, Some(1));
        assert_eq!(taken.acquire_time, Some(MicroTime(at(20))));
        let renewed = me.held(Some(&taken), at(25));
        assert_eq!(renewed.lease_transitions, Some(1));
        assert_eq!(renewed.acquire_time, Some(MicroTime(at(20))));
        assert_eq!(renewed.renew_time, Some(MicroTime(at(25))));
        assert_eq!(me.held(None, at(0)).lease_transitions, Some(0));
    }

    #[test]
    fn durations_are_written_in_whole_seconds_never_shorter_than_meant() {
        let record = Election::new("me", Duration::from_millis(1500)).held(None, at(0));
        assert_eq!(record.lease_duration_seconds, Some(2));
    }

    #[test]
    fn a_released_lease_keeps_its_count_of_transitions() {
        let record = LeaseSpec { lease_transitions: Some(4), ..held_by("me", 0) };
        let released = Election::released(&record, at(1));
        assert_eq!(released.holder_identity.as_deref(), Some(""));
        assert_eq!(released.lease_duration_seconds, Some(1));
        assert_eq!(released.lease_transitions, Some(4));
    }
}
