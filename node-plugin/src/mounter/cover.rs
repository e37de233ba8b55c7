//! An empty directory over one that nobody is to see.
//!
//! It is a tmpfs that has room for its root and no other inode: whoever walks through the tree may change its owner and mode, as on any directory, and can
//! make nothing in it.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};

use super::{Fault, legacy};

const FS_TYPE: &str = "tmpfs";

/// How the mount table names it.
pub const SOURCE: &str = "berth-cover";

/// Options of tmpfs(5).
const OPTIONS: [(&str, &str); 3] = [("nr_inodes", "1"), ("size", "4k"), ("mode", "0555")];

/// Mounts it on a directory, by the mount API.
pub(super) fn mount(on: &OwnedFd) -> Result<(), Fault> {
    let failed = |call: &'static str| move |errno: Errno| Fault::new(call, errno);
    let context = fsopen(FS_TYPE, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen(tmpfs)"))?;
    for (name, value) in [("source", SOURCE)].into_iter().chain(OPTIONS) {
        fsconfig_set_string(context.as_fd(), name, value).map_err(failed("fsconfig"))?;
    }
    fsconfig_create(context.as_fd()).map_err(failed("fsconfig(create, tmpfs)"))?;
    let flags =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(failed("fsmount"))?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", on, "", how).map_err(failed("move_mount"))
}

/// The same by mount(2).
pub(super) fn mount_legacy(on: &OwnedFd) -> Result<(), Fault> {
    let failed = |errno| Fault::new("mount(2, tmpfs)", errno);
    let data = OPTIONS.map(|(name, value)| format!("{name}={value}")).join(",");
    let data = CString::new(data).map_err(|_| failed(Errno::INVAL))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(SOURCE, legacy::of_process(on), FS_TYPE, flags, Some(data.as_c_str())).map_err(failed)
}
