//! What a mount of the table shows: the one module that decides it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use volume::MountOptions;
use volume::mount_options::MountAttributes;

use crate::mountinfo::{Entry, MountTable, SuperOptions};
use crate::share::{Share, Wanted};
use crate::worker::{Lane, Purpose};

/// What the mount table says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is mounted there.
    Free,
    /// The volume is there already.
    Published {
        /// What is not as it was asked for, without doing harm: an option that was another when the pod started.
        otherwise: Option<String>,
    },
    /// The volume is there, protected less than was asked for.
    Weaker(Weaker),
    /// Something else is: its location and why it is not what is wanted.
    Other(String),
    /// A mount of another name, and the share is not in the pool: whether both are one, only the server can tell.
    Unknown(String),
}

/// A protection that was asked for and is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weaker {
    /// What was asked for, as a mount option.
    pub asked: String,
    /// What the superblock has.
    pub found: String,
}

/// How a server knows who speaks, from the weakest to the strongest; `null` is the kernel's word for `none`.
const SECURITY: [&str; 6] = ["none", "null", "sys", "krb5", "krb5i", "krb5p"];

/// What the connection is protected by; the kernel shows nothing where there is nothing.
const TRANSPORT: [&str; 3] = ["none", "tls", "mtls"];

/// Options of which the server may grant less.
const NEGOTIATED: [&str; 2] = ["rsize", "wsize"];

impl Weaker {
    /// What a superblock lacks of what was asked for. The kernel takes over a connection that it has to the server already, whatever protects it, and
    /// says so nowhere but in the superblock's options.
    pub fn find(asked: &MountOptions, found: &SuperOptions) -> Option<Self> {
        let asked = asked.superblock();
        [("sec", &SECURITY[..]), ("xprtsec", &TRANSPORT[..])].into_iter().find_map(|(name, ranks)| {
            let wanted = asked.iter().find(|(option, _)| option == name)?.1.as_deref()?;
            let has = found.get(name).unwrap_or("none");
            let rank = |value: &str| ranks.iter().position(|rank| *rank == value);
            let enough = has == wanted || rank(has).zip(rank(wanted)).is_some_and(|(has, wanted)| has >= wanted);
            (!enough).then(|| Self { asked: format!("{name}={wanted}"), found: format!("{name}={has}") })
        })
    }
}

impl Wanted {
    /// Compares with what is mounted at the target; `pool` is the directory of the pool.
    pub fn judge(&self, table: &MountTable, pool: &Path) -> Verdict {
        let Some(found) = table.top(&self.target) else { return Verdict::Free };
        if !self.is_place_of(found, table, pool) {
            let unknown = pooled_as(&self.share, table, pool).next().is_none() && found.fs_type.starts_with("nfs");
            return if unknown { Verdict::Unknown(found.location()) } else { Verdict::Other(found.location()) };
        }
        if restrictions(found.attributes) != restrictions(self.attributes) {
            return Verdict::Other(format!("{} with other mount flags", found.location()));
        }
        match Weaker::find(&self.share.options, &found.options) {
            Some(weaker) => Verdict::Weaker(weaker),
            None => Verdict::Published { otherwise: self.otherwise(found, table, pool) },
        }
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

    /// Whether a mount shows the wanted directory.
    ///
    /// By superblock, and path below the share's own mount, where the share is in the pool: the kernel may name a mount after another host name of
    /// the server, or after what a link on the server leads to. Else by name: of a share that has left the pool there is nothing else.
    fn is_place_of(&self, entry: &Entry, table: &MountTable, pool: &Path) -> bool {
        let found = entry.location();
        let below = |own: &Entry| {
            let own = own.location();
            let rest = path_of(&found).strip_prefix(path_of(&own).trim_end_matches('/'));
            match &self.below {
                None => rest.is_some_and(|rest| rest.trim_start_matches('/').is_empty()),
                Some(below) => rest.and_then(|rest| rest.strip_prefix('/')) == Some(below.as_str()),
            }
        };
        let mut own = pooled_as(&self.share, table, pool).filter(|own| own.device == entry.device);
        own.any(below) || found == self.location()
    }

    /// What of the volume's options is not so in what is mounted.
    fn otherwise(&self, found: &Entry, table: &MountTable, pool: &Path) -> Option<String> {
        let mut differences: Vec<String> = self
            .share
            .options
            .superblock()
            .into_iter()
            .filter(|(name, _)| !NEGOTIATED.contains(&name.as_str()))
            .filter_map(|(name, asked)| {
                let (asked, found) = (asked?, found.options.get(&name)?);
                (asked != found).then(|| format!("{name}={found} instead of {asked}"))
            })
            .collect();
        let mut own = pooled_as(&self.share, table, pool).peekable();
        if differences.is_empty() && own.peek().is_some() && !own.any(|own| own.device == found.device) {
            differences.push("on a superblock of other options".to_owned());
        }
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

/// The mounts of the pool.
pub fn pooled<'a>(table: &'a MountTable, pool: &'a Path) -> impl Iterator<Item = &'a Entry> {
    table.entries().iter().filter(move |entry| entry.mount_point.parent() == Some(pool))
}

/// The share's own mounts in the pool: the present one, and retired ones that are still there.
fn pooled_as<'a>(share: &Share, table: &'a MountTable, pool: &'a Path) -> impl Iterator<Item = &'a Entry> {
    let name = share.pool_name();
    let is_own = move |entry: &&Entry| {
        let file_name = entry.mount_point.file_name().and_then(|name| name.to_str());
        let rest = file_name.and_then(|file_name| file_name.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    pooled(table, pool).filter(is_own)
}

/// The lane in which a mount's server is waited for: that of its share if the share is pooled, else one of its superblock.
pub fn lane_of(entry: &Entry, table: &MountTable, pool: &Path) -> Lane {
    let location = entry.location();
    let share = pooled(table, pool)
        .find(|share| share.mount_point == entry.mount_point)
        .or_else(|| pooled(table, pool).find(|share| share.device == entry.device))
        .or_else(|| {
            pooled(table, pool).find(|share| is_below(&location, &share.location()) && is_of_one_server(entry, share))
        });
    let name = share.and_then(|share| share.mount_point.file_name()).map(|name| name.to_string_lossy().into_owned());
    Lane {
        key: name.unwrap_or_else(|| entry.device.to_string()),
        purpose: Purpose::Work,
        label: share.map_or(location, Entry::location),
    }
}

/// Whether a mount can be of a share, of which its options are not known: no only where the name is another, and the superblock in the pool as that of
/// other shares alone.
pub fn may_be_of(entry: &Entry, share: &Share, table: &MountTable, pool: &Path) -> bool {
    let (location, mut of_superblock) =
        (entry.location(), pooled(table, pool).filter(|own| own.device == entry.device).peekable());
    if is_below(&location, &share.location()) {
        return true;
    }
    if of_superblock.peek().is_none() {
        return entry.fs_type.starts_with("nfs");
    }
    let mut own = pooled_as(share, table, pool).filter(|own| own.device == entry.device);
    own.any(|own| is_below(path_of(&location), path_of(&own.location())))
}

/// Where the kernel asks the server of a mount, as its superblock tells.
pub(crate) fn server_of(entry: &Entry) -> Option<IpAddr> {
    entry.options.get("addr")?.parse().ok()
}

/// Whether two mounts are served from one address, as far as is known.
pub(crate) fn is_of_one_server(one: &Entry, other: &Entry) -> bool {
    one.options.get("addr") == other.options.get("addr")
}

/// Whether a location is a whole, or a directory of it.
pub fn is_below(location: &str, whole: &str) -> bool {
    location.strip_prefix(whole.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything after the host. A host holds no `:/`: an IPv6 address stands in brackets.
pub(crate) fn path_of(location: &str) -> &str {
    location.find(":/").map_or(location, |colon| &location[colon + 1..])
}

/// Everything before the path, with the brackets of an IPv6 address.
pub(crate) fn host_of(location: &str) -> &str {
    location.find(":/").map_or(location, |colon| &location[..colon])
}

/// What a pod may not do. When access times are kept is no such thing.
fn restrictions(attributes: MountAttributes) -> [bool; 4] {
    let MountAttributes { read_only, noexec, nosuid, nodev, .. } = attributes;
    [read_only, noexec, nosuid, nodev]
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
