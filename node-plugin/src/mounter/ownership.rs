//! To whom the files of a volume belong.
//!
//! Everything is reached from a tree that is attached nowhere, by descriptor and one name at a time: no path leads through a target, no symbolic link is
//! followed, and what a pod renames meanwhile leads nowhere else.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Fault, LinuxMounter, LinuxTree, Mounter};

/// The permission bits of a mode, with setuid, set-gid and sticky.
const MODE_BITS: u32 = 0o7777;

/// What kind of entry it is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link, which has no permissions of its own.
    Link,
    /// Anything else.
    File,
}

/// To whom an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Its group.
    pub group: u32,
    /// Its permissions, with setuid, set-gid and sticky.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// Reads and changes owners in a tree that is attached nowhere. All methods may hang.
pub trait Ownership: Mounter {
    /// A file, directory or link, held without being opened for anything. A link is held itself.
    type Entry: Send + 'static;

    /// A directory that is being listed.
    type Listing: Send + 'static;

    /// The root of a tree, as the server has it now.
    fn root(&self, tree: &Self::Tree) -> Result<(Self::Entry, Owned), Fault>;

    /// The same of an entry that is held.
    fn look(&self, entry: &Self::Entry) -> Result<Owned, Fault>;

    /// Begins to list a directory.
    fn list(&self, directory: &Self::Entry) -> Result<Self::Listing, Fault>;

    /// The next name in a directory; none at its end. The directory itself and the one above are left out.
    fn next_name(&self, listing: &mut Self::Listing) -> Result<Option<Vec<u8>>, Fault>;

    /// What is under a name; none if another file system is mounted, or to be mounted, there.
    fn entry(&self, listing: &Self::Listing, name: &[u8]) -> Result<Option<(Self::Entry, Owned)>, Fault>;

    /// Gives an entry to a group. Servers and kernels may take setuid and set-gid from a file that changes hands.
    fn set_group(&self, entry: &Self::Entry, group: u32) -> Result<(), Fault>;

    /// Sets the permissions of an entry, which must not be a link.
    fn set_mode(&self, entry: &Self::Entry, mode: u32) -> Result<(), Fault>;
}

/// A place in a file system (`O_PATH`).
#[derive(Debug)]
pub struct LinuxEntry(OwnedFd);

/// A directory that is being read.
#[derive(Debug)]
pub struct LinuxListing {
    directory: Dir,
    /// Device of the directory.
    device: (u32, u32),
}

fn held(entry: BorrowedFd<'_>, how: AtFlags) -> Result<(Owned, (u32, u32), StatxAttributes), Fault> {
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::GID;
    let found =
        rustix::fs::statx(entry, "", AtFlags::EMPTY_PATH | how, wanted).map_err(|errno| Fault::new("statx", errno))?;
    let mode = u32::from(found.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::File,
    };
    let owned = Owned { group: found.stx_gid, mode: mode & MODE_BITS, kind };
    Ok((owned, (found.stx_dev_major, found.stx_dev_minor), found.stx_attributes))
}

impl Ownership for LinuxMounter {
    type Entry = LinuxEntry;
    type Listing = LinuxListing;

    fn root(&self, tree: &LinuxTree) -> Result<(LinuxEntry, Owned), Fault> {
        let root = LinuxEntry(tree.directory()?);
        let owned = self.look(&root)?;
        Ok((root, owned))
    }

    fn look(&self, entry: &LinuxEntry) -> Result<Owned, Fault> {
        held(entry.0.as_fd(), AtFlags::STATX_FORCE_SYNC).map(|(owned, ..)| owned)
    }

    fn list(&self, directory: &LinuxEntry) -> Result<LinuxListing, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno| Fault::new("openat(.)", errno);
        let opened = rustix::fs::openat(&directory.0, ".", flags, Mode::empty()).map_err(failed)?;
        let (_, device, _) = held(opened.as_fd(), AtFlags::STATX_DONT_SYNC)?;
        Ok(LinuxListing { directory: Dir::new(opened).map_err(failed)?, device })
    }

    fn next_name(&self, listing: &mut LinuxListing) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            let Some(found) = listing.directory.read() else { return Ok(None) };
            let found = found.map_err(|errno| Fault::new("getdents64", errno))?;
            let name = found.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Ok(Some(name.to_owned()));
            }
        }
    }

    fn entry(&self, listing: &LinuxListing, name: &[u8]) -> Result<Option<(LinuxEntry, Owned)>, Fault> {
        let failed = |errno| Fault::new("openat", errno);
        if name.contains(&b'/') {
            // No file system has such a name; a server that tells one means another directory.
            return Err(failed(Errno::NOENT));
        }
        let directory = listing.directory.fd().map_err(failed)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(directory, OsStr::from_bytes(name), flags, Mode::empty()).map_err(failed)?;
        let (owned, device, attributes) = held(entry.as_fd(), AtFlags::NO_AUTOMOUNT)?;
        let is_elsewhere = device != listing.device || attributes.contains(StatxAttributes::AUTOMOUNT);
        Ok((!is_elsewhere).then_some((LinuxEntry(entry), owned)))
    }

    fn set_group(&self, entry: &LinuxEntry, group: u32) -> Result<(), Fault> {
        rustix::fs::chownat(&entry.0, "", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)
            .map_err(|errno| Fault::new("fchownat", errno))
    }

    fn set_mode(&self, entry: &LinuxEntry, mode: u32) -> Result<(), Fault> {
        // fchmodat(2) with AT_EMPTY_PATH came with Linux 6.6; this leads to the very file that is held, whatever its name is by now.
        let held = format!("/proc/self/fd/{}", entry.0.as_raw_fd());
        fs::set_permissions(held, Permissions::from_mode(mode)).map_err(|error| Fault::of("chmod", &error))
    }
}
