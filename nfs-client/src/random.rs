//! Random numbers for jitter, ports, verifiers and names: unpredictable enough to keep processes apart, not secrets.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A number from the keys that the standard library draws from the system for every `RandomState`.
pub(crate) fn u64() -> u64 {
    // Keys are drawn once per thread and then counted up, so the hash of the time keeps two draws apart.
    RandomState::new().hash_one(std::time::SystemTime::now())
}

/// A number below `bound`, which must not be 0.
pub(crate) fn below(bound: u64) -> u64 {
    u64() % bound
}

/// A time between half of `base` and all of it.
pub(crate) fn jittered(base: Duration) -> Duration {
    let half = base / 2;
    let nanoseconds = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(below(nanoseconds.saturating_add(1).max(1)))
}
