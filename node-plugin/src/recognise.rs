//! What a mount of the table shows: the one module that decides it.

use std::path::{Path, PathBuf};

use volume::mount_options::MountAttributes;

use crate::mountinfo::{Entry, MountTable};
use crate::share::Wanted;
use crate::worker::{Lane, Purpose};

/// What the mount table says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is mounted there.
    Free,
    /// What is wanted is there already.
    Published,
    /// Something else is: its location and why it is not what is wanted.
    Other(String),
}

impl Wanted {
    /// Compares with what is mounted at the target; `pool` is the directory of the pool.
    pub fn judge(&self, table: &MountTable, pool: &Path) -> Verdict {
        let Some(found) = table.top(&self.target) else { return Verdict::Free };
        if !self.is_place_of(found, table, pool) {
            return Verdict::Other(found.location());
        }
        if usual(found.attributes) != usual(self.attributes) {
            return Verdict::Other(format!("{} with other mount flags", found.location()));
        }
        let mut pooled = pooled(table, pool).filter(|entry| entry.device == found.device).peekable();
        if pooled.peek().is_some() && !pooled.any(|entry| entry.mount_point == pool.join(self.share.pool_name())) {
            return Verdict::Other(format!("{} with other mount options", found.location()));
        }
        Verdict::Published
    }

    /// Another target at which the same directory is mounted.
    pub fn elsewhere(&self, table: &MountTable, pool: &Path) -> Option<PathBuf> {
        table
            .entries()
            .iter()
            .filter(|entry| entry.mount_point != self.target && !entry.mount_point.starts_with(pool))
            .find(|entry| self.is_place_of(entry, table, pool))
            .map(|entry| entry.mount_point.clone())
    }

    /// Whether a mount shows the wanted directory. The kernel may name it after another host name of the same server if that was mounted first, but
    /// then it is on the superblock of the share's own mount in the pool.
    fn is_place_of(&self, entry: &Entry, table: &MountTable, pool: &Path) -> bool {
        let wanted = self.location();
        let found = entry.location();
        let own = table.top(&pool.join(self.share.pool_name()));
        found == wanted || (path_of(&found) == path_of(&wanted) && own.is_some_and(|own| own.device == entry.device))
    }
}

/// The mounts of the pool.
pub fn pooled<'a>(table: &'a MountTable, pool: &'a Path) -> impl Iterator<Item = &'a Entry> {
    table.entries().iter().filter(move |entry| entry.mount_point.parent() == Some(pool))
}

/// The lane in which a mount's server is waited for: that of its share if the share is pooled, else one of its own.
pub fn lane_of(entry: &Entry, table: &MountTable, pool: &Path) -> Lane {
    let location = entry.location();
    let share = pooled(table, pool)
        .find(|share| share.mount_point == entry.mount_point)
        .or_else(|| pooled(table, pool).find(|share| share.device == entry.device))
        .or_else(|| pooled(table, pool).find(|share| is_below(&location, &share.location())));
    let name = share.and_then(|share| share.mount_point.file_name()).map(|name| name.to_string_lossy().into_owned());
    Lane {
        key: name.unwrap_or_else(|| location.clone()),
        purpose: Purpose::Work,
        label: share.map_or(location, Entry::location),
    }
}

/// Whether a location is a whole, or a directory of it.
pub fn is_below(location: &str, whole: &str) -> bool {
    location.strip_prefix(whole.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything after the host. A host holds no `:/`: an IPv6 address stands in brackets.
fn path_of(location: &str) -> &str {
    location.find(":/").map_or(location, |colon| &location[colon + 1..])
}

/// With the kernel's default spelled out.
fn usual(attributes: MountAttributes) -> MountAttributes {
    let relatime = !attributes.noatime && !attributes.strictatime;
    MountAttributes { relatime, ..attributes }
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
