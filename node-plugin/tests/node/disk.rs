//! A node's disk in a mount namespace of its own.

use std::fs;
use std::path::PathBuf;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

/// A directory that propagates mounts, as kubelet's does. The namespace belongs to the thread that made it, and to the threads that it starts.
pub(crate) struct Disk {
    pub(crate) root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "its successor is unsafe because of UnshareFlags::FILES, which is not used here"
        )]
        rustix::thread::unshare(UnshareFlags::NEWNS).expect("these tests need root (CAP_SYS_ADMIN)");
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        rustix::mount::mount("disk", &root, "tmpfs", MountFlags::empty(), None).unwrap();
        rustix::mount::mount_change(&root, MountPropagationFlags::SHARED).unwrap();
        Self { root, _dir: dir }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The namespace ends with its last thread; the directory below has to be free before that.
        let _ = rustix::mount::unmount(&self.root, UnmountFlags::DETACH);
    }
}
