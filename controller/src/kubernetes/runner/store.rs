//! What a watch has shown, by key, kept right through its relists.

use std::collections::{HashMap, HashSet};

/// Objects of one kind. It holds what the owner puts in, which may be far less than the watch shows.
#[derive(Debug)]
pub(crate) struct Store<V> {
    items: HashMap<String, V>,
    /// Keys shown since a relist began.
    listed: Option<HashSet<String>>,
    complete: bool,
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self { items: HashMap::new(), listed: None, complete: false }
    }
}

impl<V> Store<V> {
    /// A list begins; what it will not name is gone at [`Store::end`].
    pub(crate) fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// Keeps `value`; returns what was there.
    pub(crate) fn put(&mut self, key: String, value: V) -> Option<V> {
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        self.items.insert(key, value)
    }

    /// Keeps `value` although no watch has shown it yet.
    pub(crate) fn put_unseen(&mut self, key: String, value: V) {
        self.items.entry(key).or_insert(value);
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        self.items.remove(key)
    }

    /// A list is complete: removes what it did not name and `keep` does not keep, and returns their keys.
    pub(crate) fn end(&mut self, mut keep: impl FnMut(&mut V) -> bool) -> Vec<String> {
        self.complete = true;
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let mut gone = Vec::new();
        self.items.retain(|key, value| {
            let stays = listed.contains(key) || keep(value);
            if !stays {
                gone.push(key.clone());
            }
            stays
        });
        gone
    }

    /// Whether a list was ever complete: before that, what is missing here may exist.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.items.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.items.get_mut(key)
    }

    pub(crate) fn items(&self) -> &HashMap<String, V> {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relist_does_not_name_is_gone() {
        let mut store = Store::default();
        assert!(!store.is_complete());
        store.begin();
        store.put("a".into(), 1);
        store.put("b".into(), 2);
        assert!(store.end(|_| false).is_empty());
        assert!(store.is_complete());
        store.begin();
        store.put("b".into(), 3);
        assert_eq!(store.get("a"), Some(&1), "nothing is gone before the list is complete");
        assert_eq!(store.end(|_| false), ["a"]);
        assert_eq!(store.items(), &HashMap::from([("b".to_owned(), 3)]));
    }

    #[test]
    fn what_the_owner_wants_kept_survives_a_relist() {
        let mut store = Store::default();
        store.put_unseen("ours".into(), 1);
        store.begin();
        assert!(store.end(|value| *value == 1).is_empty());
        assert_eq!(store.get("ours"), Some(&1));
    }

    #[test]
    fn what_a_watch_has_shown_is_not_replaced_by_our_own_news() {
        let mut store = Store::default();
        store.put("a".into(), "shown");
        store.put_unseen("a".into(), "ours");
        assert_eq!(store.get("a"), Some(&"shown"));
    }
}
