//! The table of mounts, from the text of `/proc/<pid>/mountinfo` (proc(5)).
//!
//! Every question of the form "is it mounted?" is answered from here. Reading the table never touches a mounted file system, so a server that
//! does not answer cannot hold it up.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use volume::mount_options::MountAttributes;

/// Number of a block device, real or anonymous: one superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Major number; 0 for NFS.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique while the mount exists, reused afterwards.
    pub id: u64,
    /// The mount that it is mounted upon.
    pub parent: u64,
    /// Superblock.
    pub device: Device,
    /// Which directory of the superblock is mounted, as a path from its root. NFS always says `/` and puts the directory into `source` instead.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// Flags of this mount alone.
    pub attributes: MountAttributes,
    /// Whether what is mounted upon it appears in other mount namespaces as well (`shared:` among the optional fields).
    pub is_shared: bool,
    /// `nfs4`, `tmpfs`, …
    pub fs_type: String,
    /// What is mounted; for NFS `host:/path`, the path being that of this very mount.
    pub source: String,
    /// What is true of the superblock, however it was asked for.
    pub options: SuperOptions,
}

/// Options of a superblock as its file system shows them: `rw,vers=4.1,sec=sys,addr=10.0.0.5`. What the kernel has negotiated, or taken over from a
/// mount that was there before, is seen here and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuperOptions(String);

/// All mounts that the process sees, in the order in which the kernel lists them. It says nothing about which of two at one place is on top: that was
/// the order of attachment before Linux 6.8 and is that of creation since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable {
    entries: Vec<Entry>,
}

/// A line that is not as proc(5) says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the mount table cannot be read")]
pub struct ParseError {
    /// Number of the line, from 1.
    pub line: usize,
}

impl Entry {
    /// What is mounted, whichever way the file system says it: the source, and the root below it.
    pub fn location(&self) -> String {
        let below = self.root.to_string_lossy();
        if below == "/" { self.source.clone() } else { format!("{}{below}", self.source.trim_end_matches('/')) }
    }
}

impl SuperOptions {
    /// The options of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of an option that has one and is shown, without the quotes in which the kernel puts one that holds commas.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut quoted = false;
        let mut options = self.0.split(move |character| {
            quoted ^= character == '"';
            character == ',' && !quoted
        });
        let value = options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    }
}

impl MountTable {
    /// A table of these mounts, in this order.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// Reads the whole text.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let lines = text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let entries = lines.map(|(index, line)| entry(line).ok_or(ParseError { line: index + 1 }));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Every mount.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The mounts stacked at a place, bottom first: each is mounted upon the one below it.
    pub fn stack(&self, at: &Path) -> Vec<&Entry> {
        let mut stack: Vec<&Entry> = self.entries.iter().filter(|entry| entry.mount_point == at).collect();
        if stack.len() > 1 {
            let below: HashMap<u64, u64> = stack.iter().map(|entry| (entry.id, entry.parent)).collect();
            let height = |entry: &&Entry| {
                let under = std::iter::successors(below.get(&entry.id), |parent| below.get(parent));
                under.take(below.len()).count()
            };
            stack.sort_by_cached_key(height);
        }
        stack
    }

    /// The mount that is seen at a place.
    pub fn top(&self, at: &Path) -> Option<&Entry> {
        self.stack(at).pop()
    }

    /// The mounts of one superblock.
    pub fn of_device(&self, device: Device) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.device == device)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: optional fields end at the dash.
fn entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let parent = text(fields.next()?)?.parse().ok()?;
    let (major, minor) = text(fields.next()?)?.split_once(':')?;
    let device = Device { major: major.parse().ok()?, minor: minor.parse().ok()? };
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    let attributes = attributes(text(fields.next()?)?);
    let mut is_shared = false;
    loop {
        match fields.next()? {
            b"-" => break,
            optional => is_shared |= optional.starts_with(b"shared:"),
        }
    }
    let fs_type = text(fields.next()?)?.to_owned();
    let source = lossy(fields.next()?);
    let options = SuperOptions(lossy(fields.next()?));
    Some(Entry { id, parent, device, root, mount_point, attributes, is_shared, fs_type, source, options })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

fn lossy(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Undoes the kernel's `\ooo` for space, tab, newline, backslash and `#` (`seq_path`, `mangle`).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = (byte == b'\\').then(|| octal(tail)).flatten();
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    digits.iter().try_fold(0u8, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

fn attributes(options: &str) -> MountAttributes {
    let has = |name| options.split(',').any(|option| option == name);
    MountAttributes {
        read_only: has("ro"),
        noexec: has("noexec"),
        nosuid: has("nosuid"),
        nodev: has("nodev"),
        noatime: has("noatime"),
        nodiratime: has("nodiratime"),
        relatime: has("relatime"),
        // The kernel shows strictatime by showing nothing.
        strictatime: !has("noatime") && !has("relatime"),
    }
}

#[cfg(test)]
#[path = "mountinfo_tests.rs"]
mod tests;
