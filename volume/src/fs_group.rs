//! What becomes of a volume's files when a pod with an `fsGroup` uses it, where the node plugin sees to that.

/// How much of a volume is given to the group of a pod that uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FsGroupChange {
    /// Its root directory, once. What is made in it then belongs to the group, because the directory passes it on (set-gid).
    #[default]
    Root,
    /// All of it, once: when the root directory has not been given to the group yet.
    Always,
    /// Nothing.
    None,
}

impl FsGroupChange {
    /// All values, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Root, Self::Always, Self::None];

    /// The value as a class spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Always => "always",
            Self::None => "none",
        }
    }

    /// The value that is spelled so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_name() {
        for change in FsGroupChange::ALL {
            assert_eq!(FsGroupChange::named(change.as_str()), Some(change));
        }
        assert_eq!(FsGroupChange::named("Always"), None);
        assert_eq!(FsGroupChange::default(), FsGroupChange::Root);
    }
}
