//! The mount API of Linux: `fsopen`, `fsconfig`, `fsmount`, `open_tree`, `mount_setattr`, `move_mount`.
//!
//! No program is started and no file of the node's is read, so the image needs neither mount.nfs nor a shell.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use volume::SubPath;
use volume::mount_options::MountAttributes;

use super::filesystem::Filesystem;
use super::identity::ClientIdentity;
use super::{Cause, Fault, KernelClient, MountRequest, Mounter, Unmount, Usage, clients, cover, legacy};
use crate::mountinfo::{Device, MountTable};
use crate::sys;

/// The threads of the plugin share one mount namespace; the threads of a test need not, hence not `/proc/self`.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// The kernel's NFS clients, of the network namespace that the thread is in; not there while no NFS client is loaded.
const CLIENTS: &str = "/proc/thread-self/net/nfsfs/servers";

/// Bytes that hold the table of a small node.
const TABLE_SIZE: usize = 16 * 1024;

/// Which calls to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The mount API, and mount(2) where the kernel (before Linux 5.2 or 5.12) or a filter does not let us have it.
    Newest,
    /// mount(2) alone.
    Legacy,
}

/// How directories are opened: as places, not to read them.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Mounts for real.
#[derive(Debug, Clone)]
pub struct LinuxMounter {
    filesystem: Filesystem,
    api: Api,
    scratch: Arc<legacy::Scratch>,
    identity: Option<Arc<ClientIdentity>>,
}

/// A mount that is attached nowhere.
#[derive(Debug)]
pub struct LinuxTree(Tree);

/// The root of a mount, held open.
#[derive(Debug)]
pub struct LinuxRoot(OwnedFd);

#[derive(Debug)]
enum Tree {
    /// The kernel holds it.
    Detached(OwnedFd),
    /// mount(2) knows no such thing: it is mounted on a stage, to be bound to the place of attachment.
    Staged(legacy::Staged),
}

impl LinuxMounter {
    /// A mounter for one kind of file system. `scratch` is a directory that nobody else uses; only [`Api::Legacy`] needs it, and makes it.
    pub fn new(filesystem: Filesystem, api: Api, scratch: PathBuf) -> Self {
        Self { filesystem, api, scratch: Arc::new(legacy::Scratch::new(scratch)), identity: None }
    }

    /// Introduces this node to servers under a name of its own.
    #[must_use]
    pub fn identified_by(self, identity: ClientIdentity) -> Self {
        Self { identity: Some(Arc::new(identity)), ..self }
    }

    /// Asks for the file system, which loads the kernel's client for it.
    fn context(&self) -> Result<OwnedFd, Fault> {
        let fs_type = self.filesystem.fs_type();
        fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| Fault::new(format!("fsopen({fs_type})"), errno))
    }

    fn settle_identity(&self) {
        if let Some(identity) = &self.identity {
            identity.settle();
        }
    }

    fn mount_detached(&self, request: &MountRequest) -> Result<OwnedFd, Fault> {
        let context = self.context()?;
        self.settle_identity();
        let explain = |call: String, errno| Fault { call, errno, text: messages(context.as_fd()) };
        let set = |name: &str, value: &str| {
            fsconfig_set_string(context.as_fd(), name, value)
                .map_err(|errno| explain(format!("fsconfig({name}={value})"), errno))
        };
        set("source", &request.source)?;
        for (name, value) in self.filesystem.options(request) {
            match value {
                Some(value) => set(&name, &value)?,
                None => fsconfig_set_flag(context.as_fd(), name.as_str())
                    .map_err(|errno| explain(format!("fsconfig({name})"), errno))?,
            }
        }
        fsconfig_create(context.as_fd()).map_err(|errno| explain("fsconfig(create)".to_owned(), errno))?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags(request.attributes))
            .map_err(|errno| explain("fsmount".to_owned(), errno))
    }
}

impl LinuxTree {
    /// Its root, as a place.
    pub(super) fn directory(&self) -> Result<OwnedFd, Fault> {
        match &self.0 {
            Tree::Detached(tree) => tree.try_clone().map_err(|error| Fault::of("dup", &error)),
            Tree::Staged(staged) => open_directory(staged.path()),
        }
    }
}

/// What the kernel wrote into the context, one message per read(2), each after a letter for its kind.
fn messages(context: BorrowedFd<'_>) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length) = rustix::io::read(context, &mut buffer) {
        if length == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&buffer[..length]);
        let line = line.trim_end();
        let line = line.strip_prefix("e ").or_else(|| line.strip_prefix("w ")).unwrap_or(line);
        said.push(line.to_owned());
    }
    said.join("; ")
}

fn flags(attributes: MountAttributes) -> MountAttrFlags {
    let mut flags = MountAttrFlags::empty();
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, attributes.read_only);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, attributes.noexec);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, attributes.nosuid);
    flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, attributes.nodev);
    flags.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, attributes.nodiratime);
    // Three values of one field; relatime is its zero.
    if attributes.noatime {
        flags |= MountAttrFlags::MOUNT_ATTR_NOATIME;
    } else if attributes.strictatime {
        flags |= MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    }
    flags
}

/// Opens a directory of the node, or the root of what is mounted there. A symbolic link in its place is refused (`ENOTDIR`).
fn open_directory(at: &Path) -> Result<OwnedFd, Fault> {
    rustix::fs::openat(CWD, at, DIRECTORY, Mode::empty())
        .map_err(|errno| Fault::new(format!("openat({})", at.display()), errno))
}

/// Opens a directory below `from` without following a symbolic link or leaving it.
///
/// The client believes for up to a minute what it has seen of a directory's names, and a volume may have been deleted and
/// made again in the same place since: then the old directory lies in the trash, and what a pod wrote into it would be
/// deleted. So the server is asked about each directory on the way before a name in it is looked up (one GETATTR each); if it
/// has changed, the client forgets the names.
fn open_below(from: BorrowedFd<'_>, below: &SubPath) -> Result<OwnedFd, Fault> {
    let mut opened: Option<OwnedFd> = None;
    for name in below.components() {
        let directory = opened.as_ref().map_or(from, AsFd::as_fd);
        ask_the_server(directory)?;
        opened = Some(open_in(directory, name)?);
    }
    // A path has at least one component.
    opened.ok_or_else(|| Fault::new(format!("openat2({below})"), Errno::NOENT))
}

fn ask_the_server(directory: BorrowedFd<'_>) -> Result<(), Fault> {
    let how = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    match rustix::fs::statx(directory, "", how, StatxFlags::MTIME | StatxFlags::CTIME) {
        // Before Linux 4.11.
        Ok(_) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(Fault::new("statx", errno)),
    }
}

/// Of a share's root, which was mounted, nothing but that the server has forgotten it keeps pods from it: a ticket of this node's that has expired, or a server
/// that tells attributes to nobody but its users, does not.
fn unless_forgotten(answer: Result<(), Fault>) -> Result<(), Fault> {
    match answer {
        Err(fault) if fault.cause() != Cause::Stale => {
            tracing::debug!(error = %fault, "a share's root does not tell what it is");
            Ok(())
        }
        told => told,
    }
}

fn open_in(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Fault> {
    // Without NOFOLLOW, which would turn "there is a symbolic link" (ELOOP) into "that is no directory" (ENOTDIR).
    let flags = DIRECTORY - OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = match rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
        // Before Linux 5.6, or filtered. The name is a single one, so it leads nowhere else.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()),
        opened => opened,
    };
    opened.map_err(|errno| Fault::new(format!("openat2({name})"), errno))
}

fn clone_detached(directory: BorrowedFd<'_>, attributes: MountAttributes) -> Result<OwnedFd, Fault> {
    let how = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(directory, "", how).map_err(|errno| Fault::new("open_tree", errno))?;
    sys::mount_setattr(tree.as_fd(), flags(attributes), MountAttrFlags::MOUNT_ATTR__ATIME)
        .map_err(|error| Fault::of("mount_setattr", &error))?;
    Ok(tree)
}

impl Mounter for LinuxMounter {
    type Tree = LinuxTree;
    type Root = LinuxRoot;

    fn table(&self) -> io::Result<MountTable> {
        // The file has no size to go by; the kernel fills at most a page or two per call.
        let mut text = Vec::with_capacity(TABLE_SIZE);
        fs::File::open(TABLE)?.read_to_end(&mut text)?;
        MountTable::parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn mount(&self, request: &MountRequest) -> Result<LinuxTree, Fault> {
        let staged = || {
            self.settle_identity();
            let staged = legacy::Staged::mount(self.filesystem, request, &self.scratch)?;
            Ok(LinuxTree(Tree::Staged(staged)))
        };
        if self.api == Api::Legacy {
            return staged();
        }
        match self.mount_detached(request) {
            Err(fault) if fault.call.starts_with("fsopen") && fault.is_unsupported() => staged(),
            mounted => mounted.map(|tree| LinuxTree(Tree::Detached(tree))),
        }
    }

    fn clients(&self) -> io::Result<Vec<KernelClient>> {
        match fs::read_to_string(CLIENTS) {
            Ok(text) => Ok(clients::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn renew_client(&self) -> io::Result<()> {
        let none = || io::Error::other("the plugin has no identity for this node");
        self.identity.as_ref().ok_or_else(none)?.renew()
    }

    fn open(&self, at: &Path) -> Result<LinuxRoot, Fault> {
        open_directory(at).map(LinuxRoot)
    }

    fn device(&self, root: &LinuxRoot) -> Result<Device, Fault> {
        let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        match rustix::fs::statx(&root.0, "", how, StatxFlags::empty()) {
            Ok(found) => Ok(Device { major: found.stx_dev_major, minor: found.stx_dev_minor }),
            // Before Linux 4.11.
            Err(Errno::NOSYS) => {
                let found = rustix::fs::fstat(&root.0).map_err(|errno| Fault::new("fstat", errno))?;
                Ok(Device { major: rustix::fs::major(found.st_dev), minor: rustix::fs::minor(found.st_dev) })
            }
            Err(errno) => Err(Fault::new("statx", errno)),
        }
    }

    fn clone_tree(
        &self,
        from: &LinuxRoot,
        below: Option<&SubPath>,
        attributes: MountAttributes,
    ) -> Result<LinuxTree, Fault> {
        // Where there is nothing to look up, the server would not be asked at all, and what it has forgotten would be given to a pod.
        let opened = match below {
            Some(below) => Some(open_below(from.0.as_fd(), below)?),
            None => unless_forgotten(ask_the_server(from.0.as_fd())).map(|()| None)?,
        };
        let directory = opened.as_ref().unwrap_or(&from.0).as_fd();
        if self.api == Api::Newest {
            match clone_detached(directory, attributes) {
                Err(fault) if fault.is_unsupported() => {}
                cloned => return cloned.map(|tree| LinuxTree(Tree::Detached(tree))),
            }
        }
        let directory = directory.try_clone_to_owned().map_err(|error| Fault::of("dup", &error))?;
        let staged = legacy::Staged::bind(&directory, attributes, &self.scratch)?;
        Ok(LinuxTree(Tree::Staged(staged)))
    }

    fn is_same(&self, root: &LinuxRoot, tree: &LinuxTree) -> Result<bool, Fault> {
        if self.filesystem == Filesystem::StandIn {
            // Each mount of a tmpfs is a file system of its own.
            return Ok(true);
        }
        let fresh = tree.directory()?;
        let handle = |of| sys::file_handle(of).map_err(|error| Fault::of("name_to_handle_at", &error));
        Ok(handle(root.0.as_fd())? == handle(fresh.as_fd())?)
    }

    fn cover(&self, tree: LinuxTree, name: &str) -> Result<LinuxTree, Fault> {
        let directory = match open_in(tree.directory()?.as_fd(), name) {
            Ok(directory) => directory,
            Err(fault) if matches!(fault.errno, Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(tree),
            // kubelet is the same user, and is not let in either.
            Err(fault) if matches!(fault.errno, Errno::ACCESS | Errno::PERM) => {
                tracing::debug!(name, error = %fault, "cannot look for a directory to cover");
                return Ok(tree);
            }
            Err(fault) => return Err(fault),
        };
        match tree.0 {
            Tree::Staged(staged) => cover::mount_legacy(&directory).map(|()| LinuxTree(Tree::Staged(staged))),
            // The kernel mounts nothing in what is attached nowhere.
            Tree::Detached(tree) => {
                let staged = legacy::Staged::place(&tree, &self.scratch)?;
                cover::mount(&directory)?;
                let how =
                    OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
                let both = open_tree(CWD, staged.path(), how).map_err(|errno| Fault::new("open_tree", errno))?;
                Ok(LinuxTree(Tree::Detached(both)))
            }
        }
    }

    fn attach(&self, tree: LinuxTree, at: &Path) -> Result<(), Fault> {
        let target = open_directory(at)?;
        match tree.0 {
            Tree::Detached(tree) => {
                let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
                move_mount(&tree, "", &target, "", how).map_err(|errno| Fault::new("move_mount", errno))
            }
            Tree::Staged(staged) => staged.attach(&target),
        }
    }

    fn unmount(&self, at: &Path, how: Unmount) -> io::Result<()> {
        let flags = match how {
            Unmount::Plain => UnmountFlags::NOFOLLOW,
            Unmount::Detach => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
        };
        Ok(rustix::mount::unmount(at, flags)?)
    }

    fn usage(&self, at: &Path) -> io::Result<Usage> {
        let found = rustix::fs::statvfs(at)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Usage {
            total_bytes: bytes(found.f_blocks),
            available_bytes: bytes(found.f_bavail),
            used_bytes: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            total_inodes: found.f_files,
            free_inodes: found.f_ffree,
        })
    }

    fn set_read_ahead(&self, device: Device, kib: u64) -> io::Result<()> {
        fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), kib.to_string())
    }
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
