//! The mount options of a volume.
//!
//! Options come from `mountOptions` of a StorageClass or PersistentVolume. Each is looked up in a list of what the NFS
//! client of Linux takes by `fsconfig(2)` (see `fs/nfs/fs_context.c`); an option that is not on it is refused by name
//! before anything is mounted, and so is a value that the kernel would refuse with nothing but `EINVAL`.
//!
//! An option belongs either to the superblock, which all volumes of a share with equal options have in common, or to the
//! one mount of a volume on its target.

mod both;
mod items;
mod table;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{nearest::nearest, quote::Quoted};
pub use both::Contradiction;
use both::Said;
pub use items::items;
use table::{Change, Group, Spelling};

/// Flags of the mount that one pod sees (`mount_setattr(2)`). They differ freely between volumes of one superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's own set of independent flags")]
pub struct MountAttributes {
    /// `ro`
    pub read_only: bool,
    /// `noexec`
    pub noexec: bool,
    /// `nosuid`
    pub nosuid: bool,
    /// `nodev`
    pub nodev: bool,
    /// `noatime`; at most one of this, `relatime` and `strictatime` is set.
    pub noatime: bool,
    /// `nodiratime`
    pub nodiratime: bool,
    /// `relatime`
    pub relatime: bool,
    /// `strictatime`
    pub strictatime: bool,
}

/// Why mount options cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MountOptionError {
    /// Not an option of the NFS client.
    #[error(
        "mount option {} is not known{}",
        Quoted(.option),
        .nearest.map(|near| format!(", did you mean {near:?}?")).unwrap_or_default()
    )]
    Unknown {
        /// The option as written.
        option: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// An option that exists, but not here.
    #[error("mount option {option:?} is not offered: {reason}")]
    NotOffered {
        /// The option.
        option: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// An option whose value is missing, superfluous, or not allowed.
    #[error("mount option {} is not valid; {allowed}", Quoted(.option))]
    Value {
        /// The option as written, with its value.
        option: String,
        /// What is allowed.
        allowed: String,
    },
    /// NFS below 4.1, which has no sessions.
    #[error(
        "mount option {} asks for an NFS version below 4.1; this driver speaks 4.1 and 4.2 (write \"nfsvers=4.1\")",
        Quoted(.0)
    )]
    Version(String),
    /// `port`, with another number than the server's.
    #[error("mount option {} is not the port of the server, which is {port}; write \"server\" as host:port and leave the option out", Quoted(.option))]
    Port {
        /// The option as written.
        option: String,
        /// The server's port.
        port: u16,
    },
    /// Two places that say different things.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// Mount options, checked and in canonical order.
///
/// Defaults that apply unless an option says otherwise: `vers=4.1`, `hard`, `timeo=600` (tenths of a second),
/// `retrans=2`, `noresvport`, `rsize=1048576`, `wsize=1048576`. They are what Amazon recommends for EFS, and right for other
/// servers: a hard mount never turns a slow server into lost writes, and a client without a reserved port keeps its
/// session when the network changes its source port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    superblock: BTreeMap<Group, (String, Option<String>)>,
    attributes: MountAttributes,
}

impl Default for MountOptions {
    fn default() -> Self {
        let mut options = Self { superblock: BTreeMap::new(), attributes: MountAttributes::default() };
        for &(group, name, value) in table::DEFAULTS {
            options.set(group, name, value.map(str::to_owned));
        }
        options
    }
}

impl MountOptions {
    /// Reads options. An item may hold several, separated by commas; of two that contradict each other the later one
    /// counts, as with mount(8). `port` is the server's: an option of that name may only say the same.
    pub fn parse<S: AsRef<str>>(items: &[S], port: u16) -> Result<Self, MountOptionError> {
        Self::read(items, port, &mut Said::default())
    }

    /// The same, with a note of what each option has said.
    fn read<S: AsRef<str>>(items: &[S], port: u16, said: &mut Said) -> Result<Self, MountOptionError> {
        let mut options = Self::default();
        let mut minor_version = None;
        for option in items.iter().flat_map(|item| self::items(item.as_ref())) {
            let (name, value) = match option.split_once('=') {
                None => (option, None),
                Some((name, value)) => (name, Some(value)),
            };
            match (name, value) {
                ("port", Some(value)) => check_port(option, value, port)?,
                ("minorversion", Some(value)) => minor_version = Some((option, value)),
                ("vers" | "nfsvers", Some(value)) => {
                    let version = version(option, value)?;
                    said.of_superblock(Group::Version, "vers", Some(version));
                    options.set(Group::Version, "vers", Some(version.to_owned()));
                }
                // TCP is what the client takes by itself, for either family of addresses; naming it binds it to IPv4.
                ("tcp", None) | ("proto", Some("tcp")) => {
                    said.of_superblock(Group::Protocol, "proto", Some("tcp"));
                    options.superblock.remove(&Group::Protocol);
                }
                _ => options.apply(option, name, value, said)?,
            }
        }
        // Mounts of one superblock have one label, whatever the second one asks for; the kernel refuses that.
        if options.is_labelled() && !said.is_said(Group::Sharing) {
            options.set(Group::Sharing, "nosharecache", None);
        }
        if let Some((option, minor)) = minor_version {
            let version = version(option, &format!("4.{minor}"))?;
            said.of_superblock(Group::Version, "vers", Some(version));
            options.set(Group::Version, "vers", Some(version.to_owned()));
        }
        Ok(options)
    }

    fn apply(
        &mut self,
        option: &str,
        name: &str,
        value: Option<&str>,
        said: &mut Said,
    ) -> Result<(), MountOptionError> {
        if let Some(&(option, reason)) = table::NOT_OFFERED.iter().find(|(refused, _)| *refused == name) {
            return Err(MountOptionError::NotOffered { option, reason });
        }
        let Some(known) = table::KNOWN.iter().find(|known| known.name == name) else {
            let names: Vec<&str> = table::KNOWN.iter().map(|known| known.name).collect();
            return Err(MountOptionError::Unknown { option: option.to_owned(), nearest: nearest(name, &names) });
        };
        if option.contains('"') && !matches!(known.spelling, Spelling::Label) {
            let allowed = "quotes stand around labels alone, such as context=\"LABEL\"".to_owned();
            return Err(MountOptionError::Value { option: option.to_owned(), allowed });
        }
        let value = known.spelling.check(value).map_err(|allowed| MountOptionError::Value {
            option: option.to_owned(),
            allowed: format!("{} {allowed}", known.name),
        })?;
        match known.change {
            Change::Superblock(group) => {
                let text = said.of_superblock(group, known.name, value.as_deref());
                if let Some(earlier) = text.filter(|_| matches!(known.spelling, Spelling::Label)) {
                    // Whoever adds a label means it, and so did who wrote the first.
                    let quoted = |value: &str| format!("mount option {}", Quoted(value));
                    let now = said.text(group).map(quoted).unwrap_or_default();
                    return Err(Contradiction { one: quoted(&earlier), other: now }.into());
                }
                self.set(group, known.name, value);
            }
            Change::Unset(group) => {
                said.of_superblock(group, known.name, None);
                self.superblock.remove(&group);
            }
            Change::Attribute(change) => {
                said.of_mount(known.name);
                change(&mut self.attributes);
            }
            Change::Nothing => {}
        }
        Ok(())
    }

    fn set(&mut self, group: Group, name: &str, value: Option<String>) {
        self.superblock.insert(group, (name.to_owned(), value));
    }

    /// Whether there is an option of this name, whatever values it takes.
    pub fn is_known(name: &str) -> bool {
        ["vers", "nfsvers", "minorversion", "port", "tcp"].contains(&name)
            || table::KNOWN.iter().any(|known| known.name == name)
    }

    /// What to give to `fsconfig(2)`, in an order that depends on nothing but the options: a name alone is a flag, a name
    /// with a value a string.
    pub fn superblock(&self) -> Vec<(String, Option<String>)> {
        self.superblock.values().cloned().collect()
    }

    /// Whether all files have a label that is given here.
    fn is_labelled(&self) -> bool {
        let labels = [Group::Context, Group::FsContext, Group::DefContext, Group::RootContext];
        labels.iter().any(|label| self.superblock.contains_key(label))
    }

    /// Flags of the mount that the pod sees.
    pub fn attributes(&self) -> MountAttributes {
        self.attributes
    }

    /// Equal for options that may share a superblock, whatever their spelling and order, and different for all others.
    pub fn pool_key(&self) -> String {
        let option = |(name, value): &(String, Option<String>)| match value {
            None => name.clone(),
            Some(value) => format!("{name}={value}"),
        };
        self.superblock.values().map(option).collect::<Vec<_>>().join(",")
    }

    /// Whether the server is reached by RDMA.
    pub fn is_rdma(&self) -> bool {
        let protocol = self.superblock.get(&Group::Protocol).and_then(|(_, value)| value.as_deref());
        protocol.is_some_and(|protocol| protocol.starts_with("rdma"))
    }

    /// Most bytes that one READ asks for.
    pub fn rsize(&self) -> u32 {
        let size = self.superblock.get(&Group::ReadSize).and_then(|(_, value)| value.as_deref()?.parse().ok());
        size.unwrap_or(table::DEFAULT_TRANSFER_SIZE)
    }
}

fn check_port(option: &str, value: &str, port: u16) -> Result<(), MountOptionError> {
    // Zero is mount(8)'s word for "ask the port mapper", which NFSv4 does without.
    match value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<u16>()) {
        Some(Ok(named)) if named == port || named == 0 => Ok(()),
        _ => Err(MountOptionError::Port { option: option.to_owned(), port }),
    }
}

/// The version to ask the kernel for. `4` alone means "any of 4.x that works", which here is the default.
fn version(option: &str, value: &str) -> Result<&'static str, MountOptionError> {
    match value {
        "4" | "4.1" => Ok("4.1"),
        "4.2" => Ok("4.2"),
        "2" | "3" | "4.0" => Err(MountOptionError::Version(option.to_owned())),
        _ => Err(MountOptionError::Value {
            option: option.to_owned(),
            allowed: "versions are \"4.1\" and \"4.2\"".to_owned(),
        }),
    }
}

impl Spelling {
    /// The canonical value, or what would be allowed.
    fn check(&self, value: Option<&str>) -> Result<Option<String>, String> {
        match (self, value) {
            (Self::Flag, None) => Ok(None),
            (Self::Flag, Some(_)) => Err("takes no value".to_owned()),
            (Self::Number(range), Some(value)) if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                match value.parse::<u32>() {
                    Ok(number) if range.contains(&number) => Ok(Some(number.to_string())),
                    _ => Err(self.allowed()),
                }
            }
            (Self::Word(words), Some(value)) if words.contains(&value) => Ok(Some(value.to_owned())),
            (Self::Text, Some(value)) if !value.is_empty() => Ok(Some(value.to_owned())),
            (Self::Label, Some(value)) => match items::unquoted(value) {
                Some(label) => Ok(Some(label.to_owned())),
                None => Err(self.allowed()),
            },
            _ => Err(self.allowed()),
        }
    }

    fn allowed(&self) -> String {
        match self {
            Self::Flag => "takes no value".to_owned(),
            Self::Number(range) => format!("takes a number from {} to {}", range.start(), range.end()),
            Self::Word(words) => format!("takes one of {}", words.join(", ")),
            Self::Text => "takes a value".to_owned(),
            Self::Label => "takes a label, between quotes where it holds commas".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "mount_options_tests.rs"]
mod tests;
