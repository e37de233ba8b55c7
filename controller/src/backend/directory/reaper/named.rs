//! What has been named in the log, so that what stays in the trash for days is named once and not with each pass.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Reasons that are remembered. Of those beyond, the number alone is told.
const REMEMBERED: usize = 1024;

/// Reasons that were named.
#[derive(Debug, Default)]
pub(super) struct Named {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Named {
    /// Whether this reason is to be named now.
    pub(super) fn is_new(&mut self, reason: &str) -> bool {
        self.hashes.len() < REMEMBERED && self.hashes.insert(self.hasher.hash_one(reason))
    }

    /// Nothing stays any more: what does next is news.
    pub(super) fn forget(&mut self) {
        self.hashes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_named_once_until_nothing_stays() {
        let mut named = Named::default();
        assert_eq!(["a", "b", "a"].map(|reason| named.is_new(reason)), [true, true, false]);
        named.forget();
        assert!(named.is_new("a"));
        let many = (0..2 * REMEMBERED).filter(|number| named.is_new(&number.to_string()));
        assert_eq!(many.count(), REMEMBERED - 1, "in bounded memory");
    }
}
