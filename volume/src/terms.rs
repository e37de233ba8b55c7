//! What a volume's attributes say of how it may be used.

use std::collections::BTreeMap;

use crate::{
    AccessMode, FsGroupChange, MountOptions,
    context::ContextError,
    mount_options::{Contradiction, MountOptionError},
    names::context,
};

/// How a volume may be used, as far as its attributes say so. Written into the PersistentVolume once, like all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Every mode in which it may be used; none: not said.
    pub modes: Vec<AccessMode>,
    /// Whether writing is forbidden; none: not said.
    pub read_only: Option<bool>,
    /// Mount options beside those of the PersistentVolume, as they are written; may be empty.
    pub mount_options: String,
    /// How much of it is given to a pod's group.
    pub fs_group_change: FsGroupChange,
}

impl Terms {
    /// Reads the attributes by their names. An empty value is as if the attribute were not there.
    pub(crate) fn read<'a>(get: impl Fn(&str) -> &'a str) -> Result<Self, ContextError> {
        let listed = get(context::ACCESS_MODES);
        let mut modes = Vec::new();
        for name in listed.split(',').map(str::trim).filter(|_| !listed.is_empty()) {
            let mode = AccessMode::named(name).ok_or_else(|| ContextError::AccessModes(listed.to_owned()))?;
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
        let read_only = match get(context::READ_ONLY) {
            "" => None,
            "true" => Some(true),
            "false" => Some(false),
            other => return Err(ContextError::ReadOnly(other.to_owned())),
        };
        let fs_group_change = match get(context::FS_GROUP_CHANGE) {
            "" => FsGroupChange::default(),
            name => FsGroupChange::named(name).ok_or_else(|| ContextError::FsGroupChange(name.to_owned()))?,
        };
        Ok(Self { modes, read_only, mount_options: get(context::MOUNT_OPTIONS).to_owned(), fs_group_change })
    }

    /// Writes what is said.
    pub(crate) fn write(&self, attributes: &mut BTreeMap<String, String>) {
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.as_str()).collect();
        let read_only = self.read_only.map(|read_only| read_only.to_string()).unwrap_or_default();
        let change = Some(self.fs_group_change).filter(|change| *change != FsGroupChange::default());
        let all = [
            (context::FS_GROUP_CHANGE, change.map(FsGroupChange::as_str).unwrap_or_default().to_owned()),
            (context::ACCESS_MODES, modes.join(",")),
            (context::READ_ONLY, read_only),
            (context::MOUNT_OPTIONS, self.mount_options.clone()),
        ];
        let said = all.into_iter().filter(|(_, value)| !value.is_empty());
        attributes.extend(said.map(|(key, value)| (key.to_owned(), value)));
    }

    /// The mode in force where a caller tells one of them.
    ///
    /// kubelet tells the first that the PersistentVolume lists. Where that one forbids writing, begins the list here as well, and another is listed that allows
    /// it, the volume may be written. What the caller forbids besides stays forbidden: a volume can be narrowed to `ReadOnlyMany` or `ReadWriteOncePod` by an edit, or in
    /// a copy, of the PersistentVolume, whose attributes stay. `SINGLE_NODE_WRITER` is told for two modes of Kubernetes; the list says for which.
    pub fn mode(&self, told: AccessMode) -> AccessMode {
        match told {
            AccessMode::SingleNodeWriter if self.modes == [AccessMode::SingleNodeSingleWriter] => {
                AccessMode::SingleNodeSingleWriter
            }
            _ if told.is_read_only() && self.modes.first() == Some(&told) => self.writing().unwrap_or(told),
            _ => told,
        }
    }

    /// The first mode that allows writing.
    fn writing(&self) -> Option<AccessMode> {
        self.modes.iter().copied().find(|mode| !mode.is_read_only())
    }

    /// All mount options: those of the PersistentVolume, and those of the attribute. `port` is the server's.
    ///
    /// Fails where one place says what another denies; that includes `readOnly`, which denies `rw`.
    pub fn options<S: AsRef<str>>(&self, of_volume: &[S], port: u16) -> Result<MountOptions, MountOptionError> {
        let (options, said) = MountOptions::parse_both(of_volume, &self.mount_options, port)?;
        let denied = match self.read_only {
            Some(true) => Some("rw"),
            Some(false) => Some("ro"),
            None => None,
        };
        match said.filter(|said| Some(*said) == denied).zip(self.read_only) {
            Some((said, read_only)) => Err(Contradiction {
                one: format!("mount option {said:?}"),
                other: format!("volume attribute \"readOnly\", which is \"{read_only}\""),
            }
            .into()),
            None => Ok(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use AccessMode::{
        MultiNodeMultiWriter, MultiNodeReaderOnly, SingleNodeMultiWriter, SingleNodeReaderOnly, SingleNodeSingleWriter,
        SingleNodeWriter,
    };

    use super::*;

    fn read(entries: &[(&str, &'static str)]) -> Terms {
        let get = |key: &str| entries.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| value);
        Terms::read(get).expect("legal")
    }

    #[test]
    fn what_is_empty_is_not_said() {
        assert_eq!(read(&[]), Terms::default());
        let mut map = BTreeMap::new();
        Terms::default().write(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn modes_are_a_list_in_any_case_and_each_counts_once() {
        let terms = read(&[("accessModes", "ReadOnlyMany, readwritemany,ReadOnlyMany,SINGLE_NODE_WRITER")]);
        assert_eq!(terms.modes, [MultiNodeReaderOnly, MultiNodeMultiWriter, SingleNodeWriter]);
    }

    #[test]
    fn a_list_that_allows_writing_is_believed_whatever_comes_first() {
        let terms = read(&[("accessModes", "ReadOnlyMany,ReadWriteOnce,ReadWriteMany")]);
        assert_eq!(terms.mode(MultiNodeReaderOnly), SingleNodeMultiWriter);
        assert_eq!(terms.mode(MultiNodeMultiWriter), MultiNodeMultiWriter);
        for writers in ["ReadWriteMany", "ReadWriteMany,ReadOnlyMany"] {
            let narrowed = read(&[("accessModes", writers)]).mode(MultiNodeReaderOnly);
            assert_eq!(narrowed, MultiNodeReaderOnly, "{writers}: somebody has edited or copied the PersistentVolume");
        }
        let readers = read(&[("accessModes", "ReadOnlyMany")]);
        assert_eq!(readers.mode(MultiNodeReaderOnly), MultiNodeReaderOnly);
        assert_eq!(readers.mode(SingleNodeReaderOnly), SingleNodeReaderOnly);
        for told in AccessMode::ALL {
            assert_eq!(Terms::default().mode(told), told, "old volumes say nothing");
        }
    }

    #[test]
    fn what_the_caller_narrows_stays_narrow() {
        let shared = read(&[("accessModes", "ReadWriteOnce")]);
        assert_eq!(shared.mode(SingleNodeSingleWriter), SingleNodeSingleWriter);
        let single = read(&[("accessModes", "ReadWriteOncePod")]);
        assert_eq!(single.mode(SingleNodeWriter), SingleNodeSingleWriter, "the old word for two modes");
        assert_eq!(single.mode(SingleNodeMultiWriter), SingleNodeMultiWriter, "widened by an edit");
    }

    #[test]
    fn options_of_both_places_are_in_force() {
        let terms = read(&[("mountOptions", "nfsvers=4.2,ro,nosuid")]);
        let options = terms.options(&["noexec", "vers=4.2"], 2049).expect("no contradiction");
        let attributes = options.attributes();
        assert!(attributes.read_only && attributes.nosuid && attributes.noexec);
        assert_eq!(options, MountOptions::parse(&["vers=4.2,ro,nosuid,noexec"], 2049).expect("legal"));
    }

    #[test]
    fn what_one_place_says_and_another_denies_is_named() {
        for (of_volume, attribute, one, other) in [
            ("sec=sys", "sec=krb5p", "sec=sys", "sec=krb5p"),
            ("nfsvers=4.1", "minorversion=2,vers=4", "vers=4.1", "vers=4.2"),
            ("rw", "ro", "rw", "ro"),
            ("noexec", "nosuid,exec", "noexec", "exec"),
            ("sync", "async", "sync", "async"),
            ("hard", "soft", "hard", "soft"),
        ] {
            let error = read(&[("mountOptions", attribute)]).options(&[of_volume], 2049).expect_err(attribute);
            assert_eq!(
                error.to_string(),
                format!(
                    "mount option {one:?} of the PersistentVolume contradicts mount option {other:?} of its attribute \"mountOptions\"; write one of them"
                )
            );
        }
        for (read_only, option) in [("true", "rw"), ("false", "ro")] {
            let terms = read(&[("readOnly", read_only), ("mountOptions", option)]);
            for error in [terms.options::<&str>(&[], 2049), read(&[("readOnly", read_only)]).options(&[option], 2049)] {
                let error = error.expect_err(option).to_string();
                assert_eq!(
                    error,
                    format!(
                        "mount option {option:?} contradicts volume attribute \"readOnly\", which is \"{read_only}\"; write one of them"
                    )
                );
            }
        }
    }

    #[test]
    fn what_agrees_is_no_contradiction() {
        let terms = read(&[("readOnly", "true"), ("mountOptions", "vers=4.1,ro,proto=tcp,noatime")]);
        assert!(terms.options(&["nfsvers=4.1", "tcp", "relatime"], 2049).is_ok());
        assert!(read(&[("readOnly", "false")]).options(&["rw"], 2049).is_ok());
        // In one place the later one counts, as with mount(8).
        assert!(read(&[("mountOptions", "rw,ro")]).options(&["ro"], 2049).expect("agrees").attributes().read_only);
    }
}
