//! What is known of a share before anybody looks at it.
//!
//! A server that came up without its disk exports an empty directory, and one whose disks were mixed up exports another
//! share under the same path. Volumes made there would be lost when the disk returns, and whatever was deleted meanwhile would
//! be left behind on it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volume::ShareIdentity;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Whether every volume of the share is known.
    all_known: Arc<AtomicBool>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How many volumes are on the share with this identity. A release that gave none may have made them: then without.
    volumes: BTreeMap<Option<ShareIdentity>, usize>,
    /// What was found there before.
    found: Option<ShareIdentity>,
}

impl Expected {
    /// Nothing yet; `all_known` tells, now and later, whether every volume is known that there is.
    pub(crate) fn new(all_known: Arc<AtomicBool>) -> Self {
        Self { all_known, known: Mutex::default() }
    }

    /// Whether volumes are known on the share, so that there has to be something of the driver's.
    pub(crate) fn has_volumes(&self) -> bool {
        !self.lock().volumes.is_empty()
    }

    /// Notes what was found on the share.
    pub(crate) fn found(&self, identity: ShareIdentity) {
        self.lock().found = Some(identity);
    }

    /// Whether the share with the identity `found` is the one on which the volumes are; if not, the identity that was expected.
    ///
    /// Where all volumes are known, and none is on the share, it may be any: there is nothing to lose.
    pub(crate) fn admits(&self, found: Option<ShareIdentity>) -> Result<(), ShareIdentity> {
        let known = self.lock();
        let before = known.found.filter(|_| known.volumes.is_empty() && !self.all_known.load(Ordering::Relaxed));
        let mut expected = known.volumes.keys().copied().flatten().chain(before).peekable();
        match expected.peek().copied() {
            Some(first) if !expected.any(|identity| found == Some(identity)) => Err(first),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A volume that is known to exist as long as this is kept.
#[derive(Debug)]
pub struct KnownVolume {
    expected: Arc<Expected>,
    identity: Option<ShareIdentity>,
}

impl KnownVolume {
    pub(crate) fn new(expected: Arc<Expected>, identity: Option<ShareIdentity>) -> Self {
        *expected.lock().volumes.entry(identity).or_default() += 1;
        Self { expected, identity }
    }
}

impl Drop for KnownVolume {
    fn drop(&mut self) {
        let mut known = self.expected.lock();
        if let Entry::Occupied(mut count) = known.volumes.entry(self.identity) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ShareIdentity = ShareIdentity::new(1);
    const OTHER: ShareIdentity = ShareIdentity::new(2);

    #[test]
    fn a_share_is_one_of_those_on_which_volumes_are() {
        let expected = Arc::new(Expected::default());
        let know = |identity| KnownVolume::new(Arc::clone(&expected), identity);
        assert_eq!(expected.admits(None), Ok(()));
        let mut known = vec![know(None)];
        assert!(expected.has_volumes());
        assert_eq!(expected.admits(Some(OTHER)), Ok(()), "a release that gave no identity has made it");
        known.push(know(Some(ONE)));
        assert_eq!(expected.admits(Some(ONE)), Ok(()));
        assert_eq!((expected.admits(Some(OTHER)), expected.admits(None)), (Err(ONE), Err(ONE)));
        known.push(know(Some(OTHER)));
        assert_eq!(expected.admits(Some(OTHER)), Ok(()));
        known.clear();
        assert!(!expected.has_volumes());
    }

    #[test]
    fn what_was_found_before_counts_where_volumes_may_be_that_nobody_told_of() {
        let all_known = Arc::new(AtomicBool::new(false));
        let expected = Expected::new(Arc::clone(&all_known));
        expected.found(ONE);
        assert_eq!((expected.admits(Some(ONE)), expected.admits(Some(OTHER))), (Ok(()), Err(ONE)));
        all_known.store(true, Ordering::Relaxed);
        assert_eq!(expected.admits(Some(OTHER)), Ok(()));
    }
}
