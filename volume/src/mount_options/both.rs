//! Options that people write in two places.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{MountOptionError, MountOptions, table::Group};

/// Options of which at most one is in force, and that forbid something to a pod.
const RESTRICTIONS: [(&str, &str); 4] = [("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];

/// Two places that say different things of one matter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{one} contradicts {other}; write one of them")]
pub struct Contradiction {
    /// What one says, and which it is.
    pub one: String,
    /// What the other says.
    pub other: String,
}

/// What options say expressly; defaults are not in here. The last one of each matter.
#[derive(Debug, Default)]
pub(super) struct Said {
    superblock: BTreeMap<Group, String>,
    mount: BTreeMap<&'static str, &'static str>,
}

impl Said {
    /// Returns what was said otherwise before.
    pub(super) fn of_superblock(&mut self, group: Group, name: &str, value: Option<&str>) -> Option<String> {
        let text = value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
        self.superblock.insert(group, text.clone()).filter(|earlier| *earlier != text)
    }

    pub(super) fn text(&self, group: Group) -> Option<&str> {
        self.superblock.get(&group).map(String::as_str)
    }

    pub(super) fn is_said(&self, group: Group) -> bool {
        self.superblock.contains_key(&group)
    }

    /// Access times are no matter here: of two the later one counts, wherever it is written.
    pub(super) fn of_mount(&mut self, name: &'static str) {
        if let Some((matter, _)) = RESTRICTIONS.into_iter().find(|pair| pair.0 == name || pair.1 == name) {
            self.mount.insert(matter, name);
        }
    }

    /// What is said of one matter here and otherwise there.
    fn contradiction<'a>(&'a self, other: &'a Self) -> Option<(&'a str, &'a str)> {
        let of_superblock = self
            .superblock
            .iter()
            .filter_map(|(group, one)| Some((one.as_str(), other.superblock.get(group)?.as_str())));
        let of_mount = self.mount.iter().filter_map(|(matter, one)| Some((*one, *other.mount.get(matter)?)));
        of_superblock.chain(of_mount).find(|(one, other)| one != other)
    }
}

impl MountOptions {
    /// The options of a PersistentVolume and of its attribute `mountOptions` together, and which of `ro` and `rw` is among them.
    pub(crate) fn parse_both<S: AsRef<str>>(
        of_volume: &[S],
        attribute: &str,
        port: u16,
    ) -> Result<(Self, Option<&'static str>), MountOptionError> {
        let (mut one, mut other) = (Said::default(), Said::default());
        Self::read(of_volume, port, &mut one)?;
        Self::read(&[attribute], port, &mut other)?;
        if let Some((one, other)) = one.contradiction(&other) {
            return Err(Contradiction {
                one: format!("mount option {one:?} of the PersistentVolume"),
                other: format!("mount option {other:?} of its attribute \"mountOptions\""),
            }
            .into());
        }
        let all: Vec<&str> = of_volume.iter().map(AsRef::as_ref).chain([attribute]).collect();
        let options = Self::parse(&all, port)?;
        let writing = other.mount.get("ro").or_else(|| one.mount.get("ro")).copied();
        Ok((options, writing))
    }
}
