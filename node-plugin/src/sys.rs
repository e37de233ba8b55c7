//! The one system call that no safe wrapper offers: `mount_setattr(2)`.

#![allow(unsafe_code, reason = "rustix 1.1 has every other call of the mount API, but not this one")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::mount::MountAttrFlags;

/// `MS_PRIVATE`, as `mount_attr.propagation` takes it.
const PRIVATE: u64 = libc::MS_PRIVATE;

/// `struct mount_attr` of `<linux/mount.h>`, first version (32 bytes, Linux 5.12).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets and clears flags of the mount that `tree` refers to, and takes it out of its peer group (`MS_PRIVATE`).
///
/// Fails with `ENOSYS` before Linux 5.12.
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, set: MountAttrFlags, clear: MountAttrFlags) -> io::Result<()> {
    let change =
        MountAttr { attr_set: set.bits().into(), attr_clr: clear.bits().into(), propagation: PRIVATE, userns_fd: 0 };
    // SAFETY: the five arguments have the types and order of mount_setattr(2). The path is a NUL-terminated constant; `change` has the kernel's
    // layout (repr(C), four u64), lives until the call returns and is only read; its size is passed, so that the kernel reads no further. `tree`
    // is borrowed, hence open throughout. The call returns no pointer and keeps none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(&change),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_structure_has_the_size_that_the_kernel_checks() {
        assert_eq!(size_of::<MountAttr>(), 32);
    }

    #[test]
    fn a_file_that_is_no_mount_is_refused_by_the_kernel() {
        let file = tempfile::tempfile().unwrap();
        assert!(mount_setattr(file.as_fd(), MountAttrFlags::empty(), MountAttrFlags::empty()).is_err());
    }
}
