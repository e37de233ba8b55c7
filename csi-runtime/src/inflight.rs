//! One job at a time per object.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The set of objects on which a job runs at this moment.
///
/// Clones share one set. A guard owns its entry: it can be moved into a thread, so that an object stays busy until the work on it has really
/// ended, and not merely until its caller stopped waiting.
pub struct InFlight<K> {
    keys: Arc<Mutex<HashSet<K>>>,
}

/// Keeps an object busy; dropping it frees the object.
pub struct Guard<K: Eq + Hash> {
    keys: Arc<Mutex<HashSet<K>>>,
    key: K,
}

impl<K: Eq + Hash + Clone> InFlight<K> {
    /// An empty set.
    pub fn new() -> Self {
        Self { keys: Arc::new(Mutex::new(HashSet::new())) }
    }

    /// Marks `key` busy, or answers `None` if it already is: the caller then answers ABORTED, which the CSI specification reserves for it.
    pub fn try_acquire(&self, key: K) -> Option<Guard<K>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.clone()).then(|| Guard { keys: Arc::clone(&self.keys), key })
    }

    /// How many objects are busy.
    pub fn len(&self) -> usize {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no object is busy.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash> Drop for Guard<K> {
    fn drop(&mut self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K: Eq + Hash + Clone> Default for InFlight<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for InFlight<K> {
    fn clone(&self) -> Self {
        Self { keys: Arc::clone(&self.keys) }
    }
}

impl<K> fmt::Debug for InFlight<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + fmt::Debug> fmt::Debug for Guard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_object_is_refused_until_its_guard_is_dropped() {
        let jobs = InFlight::new();
        let guard = jobs.try_acquire("a").unwrap();
        assert!(jobs.try_acquire("a").is_none());
        assert!(jobs.clone().try_acquire("a").is_none());
        let other = jobs.try_acquire("b").unwrap();
        assert_eq!(jobs.len(), 2);
        drop(guard);
        assert!(jobs.try_acquire("a").is_some());
        drop(other);
        assert!(jobs.is_empty());
    }

    #[test]
    fn a_guard_travels_into_a_thread_and_frees_its_object_there() {
        let jobs = InFlight::new();
        let guard = jobs.try_acquire(1).unwrap();
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _held = guard;
            receive.recv()
        });
        assert!(jobs.try_acquire(1).is_none());
        send.send(()).unwrap();
        thread.join().unwrap().unwrap();
        assert!(jobs.try_acquire(1).is_some());
    }

    #[test]
    fn a_panic_under_a_guard_frees_its_object() {
        let jobs = InFlight::new();
        let guard = jobs.try_acquire("a").unwrap();
        let panicked = std::thread::spawn(move || {
            let _held = guard;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(jobs.try_acquire("a").is_some());
    }
}
