//! The two system calls that no safe wrapper offers: `mount_setattr(2)` and `name_to_handle_at(2)`.

#![allow(unsafe_code, reason = "rustix 1.1 has every other call that is needed, but not these")]

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

/// Largest handle, in bytes (`MAX_HANDLE_SZ`).
const LARGEST_HANDLE: u8 = 128;

/// `struct file_handle` of `<fcntl.h>` with room for the largest.
#[repr(C)]
struct FileHandle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    handle: [u8; LARGEST_HANDLE as usize],
}

/// What the file system calls the file that is open: for NFS, the server's own handle. Equal for one file, in all its mounts; no server is asked.
///
/// Fails with `EOVERFLOW` where it is longer than 128 bytes.
pub(crate) fn file_handle(file: BorrowedFd<'_>) -> io::Result<(i32, Vec<u8>)> {
    let mut found =
        FileHandle { handle_bytes: LARGEST_HANDLE.into(), handle_type: 0, handle: [0; LARGEST_HANDLE as usize] };
    let mut mount: libc::c_int = 0;
    // SAFETY: the five arguments have the types and order of name_to_handle_at(2). The path is a NUL-terminated constant; `found` has the kernel's
    // layout (repr(C), two ints and the bytes that `handle_bytes` announces) and `mount` is an int; both live until the call returns, which keeps no
    // pointer. `file` is borrowed, hence open throughout.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            file.as_raw_fd(),
            c"".as_ptr(),
            std::ptr::from_mut(&mut found),
            std::ptr::from_mut(&mut mount),
            libc::AT_EMPTY_PATH,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = usize::try_from(found.handle_bytes).unwrap_or(usize::MAX);
    Ok((found.handle_type, found.handle.into_iter().take(length).collect()))
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
    fn a_handle_tells_files_apart() {
        let dir = tempfile::tempdir().unwrap();
        let [one, again, other] = ["one", "one", "other"].map(|name| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            file_handle(std::fs::File::open(dir.path().join(name)).unwrap().as_fd()).unwrap()
        });
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!(!one.1.is_empty());
    }

    #[test]
    fn a_file_that_is_no_mount_is_refused_by_the_kernel() {
        let file = tempfile::tempfile().unwrap();
        assert!(mount_setattr(file.as_fd(), MountAttrFlags::empty(), MountAttrFlags::empty()).is_err());
    }
}
