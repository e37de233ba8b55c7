//! The directory on which a volume is mounted: on the node's own disk, given by kubelet.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

/// Mode of directories made here; what pods see is the volume's own root.
const MODE: u32 = 0o750;

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not absolute, or with `..`: kubelet never sends one.
    #[error("target path {} must be absolute and without \"..\"", .0.display())]
    Shape(PathBuf),
    /// A symbolic link would lead the mount somewhere else.
    #[error("target path {} is a symbolic link: nothing is mounted through one", .0.display())]
    SymbolicLink(PathBuf),
    /// A file.
    #[error("target path {} is no directory", .0.display())]
    NotADirectory(PathBuf),
    /// Files that were written while nothing was mounted; they are not deleted.
    #[error("target path {} is not mounted and holds files: move them away by hand", .0.display())]
    NotEmpty(PathBuf),
    /// The node's disk.
    #[error("target path {} cannot be used", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The disk's answer.
        #[source]
        source: io::Error,
    },
}

/// The path as the mount table will show it, with the parent made where it is missing.
pub fn prepare_parent(target: &Path) -> Result<PathBuf, TargetError> {
    if let Some(resolved) = resolve(target)? {
        return Ok(resolved);
    }
    let (parent, _) = split(target)?;
    let failed = |source| TargetError::Io { path: target.to_owned(), source };
    DirBuilder::new().recursive(true).mode(MODE).create(parent).map_err(failed)?;
    resolve(target)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// The path as the mount table shows it; none if not even the parent exists.
///
/// Only the parent is looked at: a target on which a dead server is mounted must not be touched.
pub fn resolve(target: &Path) -> Result<Option<PathBuf>, TargetError> {
    let (parent, name) = split(target)?;
    match canonical(parent) {
        Ok(parent) => Ok(Some(parent.join(name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TargetError::Io { path: target.to_owned(), source }),
    }
}

/// As `fs::canonicalize`, in three calls instead of one for each component.
fn canonical(directory: &Path) -> io::Result<PathBuf> {
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, directory, place, Mode::empty())?;
    fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Makes the directory and returns true, or returns false if there is something already. It is not looked at: it may be mounted upon.
pub fn make(target: &Path) -> Result<bool, TargetError> {
    match DirBuilder::new().mode(MODE).create(target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(TargetError::Io { path: target.to_owned(), source }),
    }
}

/// Removes the directory, on which nothing may be mounted. Fine if it is not there.
pub fn remove(target: &Path) -> Result<(), TargetError> {
    match fs::remove_dir(target) {
        Ok(()) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            io::ErrorKind::DirectoryNotEmpty => Err(TargetError::NotEmpty(target.to_owned())),
            io::ErrorKind::NotADirectory => check(target),
            _ => Err(TargetError::Io { path: target.to_owned(), source: error }),
        },
    }
}

/// Whether what is there, and not mounted upon, is a directory.
pub fn check(target: &Path) -> Result<(), TargetError> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_symlink() => Err(TargetError::SymbolicLink(target.to_owned())),
        Ok(found) if !found.is_dir() => Err(TargetError::NotADirectory(target.to_owned())),
        Ok(_) => Ok(()),
        Err(source) => Err(TargetError::Io { path: target.to_owned(), source }),
    }
}

fn split(target: &Path) -> Result<(&Path, &std::ffi::OsStr), TargetError> {
    let shape = || TargetError::Shape(target.to_owned());
    if !target.is_absolute() || target.components().any(|part| part == Component::ParentDir) {
        return Err(shape());
    }
    target.parent().zip(target.file_name()).ok_or_else(shape)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn kubelets_paths_are_absolute() {
        for wrong in ["", "relative/path", "/", "/a/../b"] {
            assert!(matches!(resolve(Path::new(wrong)), Err(TargetError::Shape(_))), "{wrong}");
            assert!(matches!(prepare_parent(Path::new(wrong)), Err(TargetError::Shape(_))), "{wrong}");
        }
    }

    #[test]
    fn symbolic_links_above_the_target_are_resolved_as_the_kernel_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("data")).unwrap();
        symlink(root.join("data"), root.join("kubelet")).unwrap();
        assert_eq!(prepare_parent(&root.join("kubelet/pods/1/mount")).unwrap(), root.join("data/pods/1/mount"));
        assert_eq!(resolve(&root.join("kubelet/pods/1/mount")).unwrap(), Some(root.join("data/pods/1/mount")));
        assert_eq!(resolve(&root.join("kubelet/pods/2/mount")).unwrap(), None);
    }

    #[test]
    fn a_target_is_made_once_and_removed_once() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("mount");
        assert!(make(&target).unwrap());
        assert!(!make(&target).unwrap());
        remove(&target).unwrap();
        remove(&target).unwrap();
        assert!(!target.exists());
    }

    #[test]
    fn what_is_no_empty_directory_is_neither_used_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (link, file, full) = (dir.path().join("link"), dir.path().join("file"), dir.path().join("full"));
        symlink("/", &link).unwrap();
        fs::write(&file, "precious").unwrap();
        fs::create_dir_all(full.join("precious")).unwrap();
        assert!(!make(&link).unwrap() && !make(&file).unwrap());
        assert!(matches!(check(&link), Err(TargetError::SymbolicLink(_))));
        assert!(matches!(check(&file), Err(TargetError::NotADirectory(_))));
        assert!(matches!(remove(&link), Err(TargetError::SymbolicLink(_))));
        assert!(matches!(remove(&file), Err(TargetError::NotADirectory(_))));
        assert!(matches!(remove(&full), Err(TargetError::NotEmpty(_))));
        assert!(link.is_symlink() && file.exists() && full.join("precious").exists());
    }
}
