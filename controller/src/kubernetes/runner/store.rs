//! What a watch has shown, by key, kept right through its relists.

use std::collections::{HashMap, HashSet};

use kube::runtime::watcher::Event;

/// What is kept of objects of one kind, which may be far less than the watch shows.
#[derive(Debug)]
pub(crate) struct Store<V> {
    items: HashMap<String, V>,
    /// Keys shown since a relist began.
    listed: Option<HashSet<String>>,
    /// Keys of what we have made ourselves and no watch has shown yet.
    unseen: HashSet<String>,
}

/// What a change comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<V> {
    /// Nothing.
    Nothing,
    /// The object with this key is there as it is kept now; and what was kept of it before.
    Here(String, Option<V>),
    /// These are there no more, or nothing is kept of them any more.
    Gone(Vec<(String, V)>),
}

impl<V> News<V> {
    /// The key of an object that is there.
    pub(crate) fn here(self) -> Option<String> {
        if let Self::Here(key, _) = self { Some(key) } else { None }
    }
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self { items: HashMap::new(), listed: None, unseen: HashSet::new() }
    }
}

impl<V> Store<V> {
    /// Follows a watch: `keep` says what is kept of an object, if anything, and `key` under which key.
    pub(crate) fn follow<K>(
        &mut self,
        event: &Event<K>,
        key: impl Fn(&K) -> &str,
        keep: impl FnOnce(&K) -> Option<V>,
    ) -> News<V> {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                News::Nothing
            }
            Event::InitDone => News::Gone(self.end_of_list()),
            Event::InitApply(object) | Event::Apply(object) => match keep(object) {
                Some(value) => {
                    let key = key(object).to_owned();
                    if let Some(listed) = &mut self.listed {
                        listed.insert(key.clone());
                    }
                    self.unseen.remove(&key);
                    let before = self.items.insert(key.clone(), value);
                    News::Here(key, before)
                }
                None => self.remove(key(object)),
            },
            Event::Delete(object) => self.remove(key(object)),
        }
    }

    fn remove(&mut self, key: &str) -> News<V> {
        self.unseen.remove(key);
        News::Gone(self.items.remove_entry(key).into_iter().collect())
    }

    /// Removes what the list did not name. One that we made while the list was on its way is not in it: it stays for now.
    fn end_of_list(&mut self) -> Vec<(String, V)> {
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let unseen = std::mem::take(&mut self.unseen);
        self.items.extract_if(|key, _| !listed.contains(key) && !unseen.contains(key)).collect()
    }

    /// Keeps `value` of an object that we have made, unless a watch has shown just that already.
    pub(crate) fn put_unseen(&mut self, key: String, value: V)
    where
        V: PartialEq,
    {
        if self.items.get(&key) != Some(&value) {
            self.unseen.insert(key.clone());
            self.items.insert(key, value);
        }
    }

    /// Whether no watch has shown yet what we have made under this key.
    pub(crate) fn is_unseen(&self, key: &str) -> bool {
        self.unseen.contains(key)
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

    fn follow(store: &mut Store<u8>, event: &Event<(&'static str, u8)>) -> News<u8> {
        store.follow(event, |(key, _)| key, |(_, value)| (*value > 0).then_some(*value))
    }

    fn here(key: &str, before: Option<u8>) -> News<u8> {
        News::Here(key.to_owned(), before)
    }

    fn gone(key: &str, value: u8) -> News<u8> {
        News::Gone(vec![(key.to_owned(), value)])
    }

    #[test]
    fn what_a_relist_does_not_name_is_gone() {
        let mut store = Store::default();
        assert_eq!(follow(&mut store, &Event::Init), News::Nothing);
        assert_eq!(follow(&mut store, &Event::InitApply(("a", 1))), here("a", None));
        assert_eq!(follow(&mut store, &Event::InitApply(("b", 2))), here("b", None));
        assert_eq!(follow(&mut store, &Event::InitDone), News::Gone(Vec::new()));
        follow(&mut store, &Event::Init);
        assert_eq!(follow(&mut store, &Event::InitApply(("b", 3))), here("b", Some(2)));
        assert_eq!(store.get("a"), Some(&1), "nothing is gone before the list is complete");
        assert_eq!(follow(&mut store, &Event::InitDone), gone("a", 1));
        assert_eq!(store.items(), &HashMap::from([("b".to_owned(), 3)]));
    }

    #[test]
    fn what_is_not_kept_is_as_if_it_were_not_there() {
        let mut store = Store::default();
        assert_eq!(follow(&mut store, &Event::Apply(("a", 0))), News::Gone(Vec::new()));
        follow(&mut store, &Event::Apply(("a", 1)));
        assert_eq!(follow(&mut store, &Event::Apply(("a", 0))), gone("a", 1));
        follow(&mut store, &Event::Apply(("a", 1)));
        assert_eq!(follow(&mut store, &Event::Delete(("a", 1))), gone("a", 1));
        assert!(store.items().is_empty());
    }

    #[test]
    fn what_we_made_survives_the_list_that_was_on_its_way() {
        let mut store = Store::default();
        store.put_unseen("ours".into(), 1);
        follow(&mut store, &Event::Init);
        assert_eq!(follow(&mut store, &Event::InitDone), News::Gone(Vec::new()));
        assert_eq!(store.get("ours"), Some(&1));
        follow(&mut store, &Event::Init);
        assert_eq!(follow(&mut store, &Event::InitDone), gone("ours", 1), "one that began later would name it");
    }

    #[test]
    fn what_a_watch_has_shown_already_is_no_news_of_ours() {
        let mut store = Store::default();
        follow(&mut store, &Event::Apply(("a", 1)));
        store.put_unseen("a".into(), 1);
        follow(&mut store, &Event::Init);
        assert_eq!(follow(&mut store, &Event::InitDone), gone("a", 1));
        // Another one had the key.
        follow(&mut store, &Event::Apply(("a", 2)));
        store.put_unseen("a".into(), 1);
        assert_eq!(store.get("a"), Some(&1));
    }
}
