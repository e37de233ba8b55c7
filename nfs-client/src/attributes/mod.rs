//! File attributes (RFC 8881 §5): the few this client asks for and sets.

mod mask;
mod principal;
mod wire;

pub use principal::Principal;

pub use mask::{Attribute, AttributeMask};

use crate::FileHandle;

/// What kind of object a handle names (`nfs_ftype4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// `NF4REG`
    Regular,
    /// `NF4DIR`
    Directory,
    /// `NF4BLK`
    BlockDevice,
    /// `NF4CHR`
    CharacterDevice,
    /// `NF4LNK`
    Symlink,
    /// `NF4SOCK`
    Socket,
    /// `NF4FIFO`
    Fifo,
    /// `NF4ATTRDIR`
    AttributeDirectory,
    /// `NF4NAMEDATTR`
    NamedAttribute,
}

/// Attributes as a server reported them. A field is `None` where the server does not support the attribute or it was
/// not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Kind of object.
    pub file_type: Option<FileType>,
    /// Changes whenever the object or its attributes change.
    pub change: Option<u64>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// File system on the server: major and minor number.
    pub fsid: Option<(u64, u64)>,
    /// Seconds a lease lives without renewal; of the server, not of the object.
    pub lease_time: Option<u32>,
    /// In a directory listing: why the other attributes of the entry are missing.
    pub read_error: Option<u32>,
    /// Handle of the object, in directory listings.
    pub handle: Option<FileHandle>,
    /// Number of the object within its file system.
    pub fileid: Option<u64>,
    /// Permission bits with set-uid, set-gid and sticky (07777).
    pub mode: Option<u32>,
    /// Number of hard links.
    pub links: Option<u32>,
    /// Owner.
    pub owner: Option<Principal>,
    /// Group.
    pub group: Option<Principal>,
    /// Bytes of storage the object takes.
    pub space_used: Option<u64>,
    /// Last change of the content: seconds and nanoseconds since 1970.
    pub modified: Option<(i64, u32)>,
}

impl Attributes {
    /// What a plain GETATTR of this client asks for.
    pub const STANDARD: AttributeMask = AttributeMask::of(&[
        Attribute::Type,
        Attribute::Change,
        Attribute::Size,
        Attribute::Fsid,
        Attribute::Fileid,
        Attribute::Mode,
        Attribute::Links,
        Attribute::Owner,
        Attribute::Group,
        Attribute::SpaceUsed,
        Attribute::Modified,
    ]);

    /// What a directory listing of this client asks for about each entry.
    pub const LISTING: AttributeMask = AttributeMask::of(&[
        Attribute::Type,
        Attribute::ReadError,
        Attribute::Handle,
        Attribute::Fileid,
        Attribute::Size,
        Attribute::Mode,
        Attribute::Modified,
    ]);

    /// What tells later whether the object is still the same and untouched; none if the server did not report all of it.
    pub fn state(&self) -> Option<ObjectState> {
        let size = self.size.filter(|_| self.file_type == Some(FileType::Regular));
        Some(ObjectState { change: self.change?, fileid: self.fileid?, mode: self.mode?, size })
    }

    /// Whether the object is known to be a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type == Some(FileType::Directory)
    }

    /// Whether the object is known to be a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type == Some(FileType::Symlink)
    }
}

/// An object as it was seen: file id, `change`, the mode, and of a regular file the size, because `change` may stand still for some
/// milliseconds on servers that derive it from times, and for two seconds on vfat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectState {
    change: u64,
    fileid: u64,
    mode: u32,
    size: Option<u64>,
}

/// Attributes to set, at creation or later. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAttributes {
    /// New size in bytes; only of regular files.
    pub size: Option<u64>,
    /// Permission bits with set-uid, set-gid and sticky (07777).
    pub mode: Option<u32>,
    /// User id of the new owner; sent as a number in text (RFC 8881 §5.9).
    pub owner: Option<u32>,
    /// Group id of the new group; sent as a number in text.
    pub group: Option<u32>,
}

impl SetAttributes {
    /// Only the mode.
    pub fn mode(mode: u32) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }

    /// Only owner and group.
    pub fn owner(owner: Option<u32>, group: Option<u32>) -> Self {
        Self { owner, group, ..Self::default() }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_size_is_in_another_state_and_a_directory_is_not() {
        let of = |file_type, size| {
            let (change, fileid, mode) = (Some(1), Some(2), Some(0o600));
            Attributes { file_type: Some(file_type), size: Some(size), change, fileid, mode, ..Attributes::default() }
                .state()
        };
        assert_ne!(of(FileType::Regular, 0), of(FileType::Regular, 9));
        assert_eq!(of(FileType::Directory, 0), of(FileType::Directory, 9));
    }
}
