//! What the plugin asks of the kernel: a narrow trait, so that everything above it is tested without one.
//!
//! A mount is made in two steps. The first, which may have to ask the server and may therefore hang, yields a tree that is attached nowhere; the
//! second attaches it to a directory of the node and cannot hang. Between the two a caller who has changed his mind is still in time.

mod clients;
mod cover;
mod fault;
mod filesystem;
mod identity;
mod legacy;
mod linux;
mod ownership;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

pub use clients::KernelClient;
pub use cover::SOURCE as COVER;
pub use fault::{Cause, Fault};
pub use filesystem::Filesystem;
pub use identity::ClientIdentity;
pub use linux::{Api, LinuxMounter, LinuxTree};
pub use ownership::{Kind, Owned, Ownership};
use volume::SubPath;
use volume::mount_options::MountAttributes;

use crate::mountinfo::{Device, MountTable};

/// A file system to mount from a server.
#[derive(Debug, Clone)]
pub struct MountRequest {
    /// `host:/path`, as the mount table will show it.
    pub source: String,
    /// Where the server answers; the kernel resolves no names.
    pub address: SocketAddr,
    /// Options of the superblock, in order: a name alone, or a name with a value.
    pub options: Vec<(String, Option<String>)>,
    /// Flags of the mount.
    pub attributes: MountAttributes,
}

/// How to undo a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Refused by the kernel (`EBUSY`) while anything uses the mount.
    Plain,
    /// Off the tree at once (`MNT_DETACH`); the kernel lets go of it when its last user does.
    Detach,
}

/// What statfs(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that unprivileged users may still write.
    pub available_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Inodes in all; 0 where the server does not count them.
    pub total_inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// The kernel's side of mounting.
///
/// All methods block. Those marked *may hang* wait for a server, for ever if it is gone and the mount is hard; they belong on a thread that can be
/// abandoned ([`crate::worker`]). The others answer from the node alone. Clones are the same mounter.
pub trait Mounter: Clone + Send + Sync + 'static {
    /// A mount that is attached nowhere; dropped, it is gone.
    type Tree: Send + 'static;

    /// A mount that is held open to be cloned from. While one exists, a plain unmount of that mount fails with `EBUSY`.
    type Root: Send + Sync + 'static;

    /// The mounts that the process sees.
    fn table(&self) -> io::Result<MountTable>;

    /// Mounts a file system. *May hang.*
    fn mount(&self, request: &MountRequest) -> Result<Self::Tree, Fault>;

    /// The NFS clients that the kernel has in the plugin's network namespace, but for those whose servers have not answered yet.
    fn clients(&self) -> io::Result<Vec<KernelClient>>;

    /// Lets the next mount from an address that the kernel does not know yet be made by a client of its own, even if the same server is behind it as
    /// behind an address that is known: that one may be dead. Fails where the mounter has no name to give to a client.
    fn renew_client(&self) -> io::Result<()>;

    /// Opens the mount at a place. *May hang.*
    fn open(&self, at: &Path) -> Result<Self::Root, Fault>;

    /// The superblock of what was opened, without asking a server.
    fn device(&self, root: &Self::Root) -> Result<Device, Fault>;

    /// Clones a mount, or the directory `below` its root, with flags of its own. Symbolic links are not followed and nothing outside `from` is
    /// reached. Fails with `EINVAL` if the mount was undone meanwhile. *May hang.*
    fn clone_tree(
        &self,
        from: &Self::Root,
        below: Option<&SubPath>,
        attributes: MountAttributes,
    ) -> Result<Self::Tree, Fault>;

    /// Whether a fresh mount leads to the very directory that is held open. Does not ask a server.
    fn is_same(&self, root: &Self::Root, tree: &Self::Tree) -> Result<bool, Fault>;

    /// The same tree with an empty directory, in which nothing can be made, mounted over the directory `name` in its root, if there is one and it may be
    /// looked for. A symbolic link is none, and is not followed. *May hang.*
    fn cover(&self, tree: Self::Tree, name: &str) -> Result<Self::Tree, Fault>;

    /// Attaches a tree to an existing directory, which must not be a symbolic link.
    fn attach(&self, tree: Self::Tree, at: &Path) -> Result<(), Fault>;

    /// Undoes the topmost mount at a place. *May hang*: the last user of a superblock waits until what it wrote has reached the server.
    fn unmount(&self, at: &Path, how: Unmount) -> io::Result<()>;

    /// How full the file system is. *May hang.*
    fn usage(&self, at: &Path) -> io::Result<Usage>;

    /// Sets how far the kernel reads ahead on a superblock, in KiB.
    fn set_read_ahead(&self, device: Device, kib: u64) -> io::Result<()>;
}
