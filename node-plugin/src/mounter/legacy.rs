//! mount(2), for kernels before Linux 5.2 and 5.12 and for filters that refuse the newer calls.
//!
//! It is the same in effect; only what the kernel has to say about a refused option is lost. Its stages serve the mount API as well, where something is to be
//! mounted in a tree before that is seen.

use std::ffi::CString;
use std::fs::DirBuilder;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, move_mount};
use volume::mount_options::MountAttributes;

use super::filesystem::Filesystem;
use super::{Fault, MountRequest};

/// The directory of the stages, and their names: none is used again, by no process either. A process that was killed leaves its stages mounted, and its
/// successor, which may have the same number, clears them away while it makes its own.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: PathBuf,
    process: u64,
    next: AtomicU64,
}

impl Scratch {
    /// In a directory that nobody else uses, and that is made when it is needed.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, process: fastrand::u64(..), next: AtomicU64::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.directory.join(format!("{:016x}-{}", self.process, self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A mount that is ready on a stage: all that can hang or be refused by a server has happened.
#[derive(Debug)]
pub(super) struct Staged(Stage);

impl Staged {
    pub(super) fn bind(directory: &OwnedFd, attributes: MountAttributes, scratch: &Scratch) -> Result<Self, Fault> {
        let stage = Stage::new(scratch)?;
        stage.bind(directory, attributes)?;
        Ok(Self(stage))
    }

    /// Asks the server, and may hang.
    pub(super) fn mount(filesystem: Filesystem, request: &MountRequest, scratch: &Scratch) -> Result<Self, Fault> {
        let data = data(filesystem.options(request));
        let data = CString::new(data).map_err(|_| Fault::new("mount(2)", Errno::INVAL))?;
        let (stage, flags) = (Stage::new(scratch)?, flags(request.attributes));
        rustix::mount::mount(&request.source, &stage.path, filesystem.fs_type(), flags, Some(data.as_c_str()))
            .map_err(|errno| stage.why_not_mounted(errno))?;
        stage.make_private()?;
        Ok(Self(stage))
    }

    /// A tree that was attached nowhere.
    pub(super) fn place(tree: &OwnedFd, scratch: &Scratch) -> Result<Self, Fault> {
        let stage = Stage::new(scratch)?;
        move_mount(tree, "", CWD, &stage.path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|errno| Fault::new("move_mount", errno))?;
        stage.make_private()?;
        Ok(Self(stage))
    }

    /// Where it is mounted for now.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// `target` is the directory to attach to.
    pub(super) fn attach(self, target: &OwnedFd) -> Result<(), Fault> {
        let attached = rustix::mount::mount_bind_recursive(&self.0.path, of_process(target));
        attached.map_err(|errno| Fault::new("mount(2, bind)", errno))
    }
}

/// A mount on the way. A remount does not propagate to other mount namespaces, so the flags have to be right before the mount reaches its place:
/// they are set on a bind mount elsewhere, and a bind of that inherits them.
#[derive(Debug)]
struct Stage {
    path: PathBuf,
}

impl Stage {
    fn new(scratch: &Scratch) -> Result<Self, Fault> {
        let path = scratch.next();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| Fault::of("mkdir", &error))?;
        Ok(Self { path })
    }

    fn bind(&self, directory: &OwnedFd, attributes: MountAttributes) -> Result<(), Fault> {
        rustix::mount::mount_bind(of_process(directory), &self.path)
            .map_err(|errno| Fault::new("mount(2, bind)", errno))?;
        self.make_private()?;
        rustix::mount::mount_remount(&self.path, MountFlags::BIND | flags(attributes), "")
            .map_err(|errno| Fault::new("mount(2, remount)", errno))
    }

    /// What a mount(2) has failed of. `EPERM` is the server's answer, unless this process may not mount at all: then no server was asked, and the
    /// kernel says the same to anything that changes mounts.
    fn why_not_mounted(&self, errno: Errno) -> Fault {
        match self.make_private() {
            Err(fault) if errno == Errno::PERM && fault.errno == Errno::PERM => fault,
            _ => Fault::new("mount(2)", errno),
        }
    }

    fn make_private(&self) -> Result<(), Fault> {
        rustix::mount::mount_change(&self.path, MountPropagationFlags::PRIVATE)
            .map_err(|errno| Fault::new("mount(2, private)", errno))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Fails where nothing was bound; what cannot be removed stays until the next process begins, which clears the place.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// All options in one text. What holds a comma stands between quotes, as the kernel's security modules read it; nothing else may hold one.
fn data(options: Vec<(String, Option<String>)>) -> String {
    let option = |(name, value): (String, Option<String>)| match value {
        None => name,
        Some(value) if value.contains(',') => format!("{name}=\"{value}\""),
        Some(value) => format!("{name}={value}"),
    };
    options.into_iter().map(option).collect::<Vec<_>>().join(",")
}

/// A path that leads to what a descriptor holds open, whatever has been renamed meanwhile.
pub(super) fn of_process(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

fn flags(attributes: MountAttributes) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, attributes.read_only);
    flags.set(MountFlags::NOEXEC, attributes.noexec);
    flags.set(MountFlags::NOSUID, attributes.nosuid);
    flags.set(MountFlags::NODEV, attributes.nodev);
    flags.set(MountFlags::NOATIME, attributes.noatime);
    flags.set(MountFlags::NODIRATIME, attributes.nodiratime);
    flags.set(MountFlags::STRICTATIME, attributes.strictatime);
    flags.set(MountFlags::RELATIME, !attributes.noatime && !attributes.strictatime);
    flags
}

#[cfg(test)]
mod tests {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;
    use crate::mounter::Cause;

    #[test]
    fn a_process_that_may_not_mount_is_told_from_a_server_that_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path().to_owned());
        let request = MountRequest {
            source: "server:/share".to_owned(),
            address: "10.0.0.5:2049".parse().unwrap(),
            options: Vec::new(),
            attributes: MountAttributes::default(),
        };
        // A thread has capabilities of its own.
        let unprivileged = std::thread::spawn(move || {
            let mut own = capabilities(None).unwrap();
            own.effective.remove(CapabilitySet::SYS_ADMIN);
            set_capabilities(None, own).unwrap();
            Staged::mount(Filesystem::StandIn, &request, &scratch).unwrap_err()
        });
        let fault = unprivileged.join().unwrap();
        assert_eq!(fault.cause(), Cause::NotPrivileged, "{fault}");
        let stage = Stage::new(&Scratch::new(dir.path().to_owned())).unwrap();
        assert_eq!(stage.why_not_mounted(Errno::ACCESS).cause(), Cause::AccessDenied);
    }

    /// Process 1 of a container has the number of its predecessor.
    #[test]
    fn no_two_stages_have_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let processes = [(); 2].map(|()| Scratch::new(dir.path().to_owned()));
        let stages: Vec<_> =
            processes.iter().flat_map(|scratch| [(); 2].map(|()| Stage::new(scratch).unwrap())).collect();
        let places: std::collections::HashSet<_> = stages.iter().map(|stage| &stage.path).collect();
        assert_eq!(places.len(), stages.len());
    }

    #[test]
    fn a_label_with_commas_stands_between_quotes() {
        let options = [("hard", None), ("context", Some("u:r:t:s0:c1,c2")), ("vers", Some("4.1"))];
        let options = options.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).to_vec();
        assert_eq!(data(options), r#"hard,context="u:r:t:s0:c1,c2",vers=4.1"#);
    }
}
