//! The cache's directories: `parts/NAME-KEY` complete parts, `logs/NAME.log` what the last build printed, `took/NAME` how
//! long it took, `lock` held by whoever builds.

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::LabError;

/// Where the cache is: `$BERTH_LAB_CACHE`, or `berth-lab` in `$XDG_CACHE_HOME` or `~/.cache`.
pub fn default_root() -> Result<PathBuf, LabError> {
    let set = |key: &str| env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("BERTH_LAB_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("berth-lab")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/berth-lab")))
        .ok_or_else(|| LabError::Precondition("no place for the lab's cache: set BERTH_LAB_CACHE or HOME".to_owned()))
}

/// How many versions of a part are kept, so that switching between a few checkouts builds nothing.
const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn open(root: &Path) -> Result<Self, LabError> {
        for name in ["parts", "logs", "took"] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(LabError::file(&path))?;
        }
        let root = fs::canonicalize(root).map_err(LabError::file(root))?;
        Ok(Self { root })
    }

    /// Waits for the lock, telling `waiting` when somebody else has it; dropping the file lets go.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> Result<File, LabError> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(LabError::file(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => waiting(),
            Err(fs::TryLockError::Error(source)) => return Err(LabError::File { path, source }),
        }
        file.lock().map_err(LabError::file(&path))?;
        Ok(file)
    }

    pub(super) fn directory(&self, name: &str, key: &str) -> PathBuf {
        self.root.join("parts").join(format!("{name}-{key}"))
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// An empty directory to build in. Only who holds the lock may call this: what lies there is a build that was cut off.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, LabError> {
        let path = self.building(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LabError::File { path, source: error });
            }
            _ => {}
        }
        fs::create_dir(&path).map_err(LabError::file(&path))?;
        Ok(path)
    }

    fn building(&self, name: &str) -> PathBuf {
        self.root.join("parts").join(format!(".building-{name}"))
    }

    /// Gives the directory that [`Self::fresh`] made, now complete, its name.
    pub(super) fn keep(&self, name: &str, key: &str) -> Result<(), LabError> {
        let directory = self.directory(name, key);
        fs::rename(self.building(name), &directory).map_err(LabError::file(&directory))?;
        self.forget(name);
        Ok(())
    }

    /// Removes all but the newest [`KEPT`] directories of a part. Only who holds the lock may call this. Programs that run
    /// from an older one keep what they have open.
    fn forget(&self, name: &str) {
        let entries = fs::read_dir(self.root.join("parts")).into_iter().flatten().flatten();
        let mut kept: Vec<_> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(|file| is_version_of(file, name)))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        kept.sort();
        for (_, path) in kept.iter().rev().skip(KEPT) {
            // What cannot be removed now can be the next time.
            let _ = fs::remove_dir_all(path);
        }
    }

    /// How long the part took the last time it was built here.
    pub(super) fn took(&self, name: &str) -> Option<Duration> {
        let text = fs::read_to_string(self.root.join("took").join(name)).ok()?;
        text.trim().parse().ok().map(Duration::from_millis)
    }

    pub(super) fn note_time(&self, name: &str, took: Duration) {
        // Only a hint for the next time.
        let _ = fs::write(self.root.join("took").join(name), took.as_millis().to_string());
    }
}

/// Whether a directory is called `NAME-KEY`.
fn is_version_of(file: &str, name: &str) -> bool {
    let key = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    key.is_some_and(|key| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Everything that decides what a part becomes, as a running hash.
#[derive(Debug)]
pub(super) struct Inputs {
    hash: Sha256,
}

impl Inputs {
    pub(super) fn new(name: &str) -> Self {
        let mut inputs = Self { hash: Sha256::new() };
        inputs.add("part", name);
        inputs
    }

    /// Adds one input. Lengths are hashed too, so that no two lists of inputs look alike.
    pub(super) fn add(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        for part in [what.as_bytes(), bytes.as_ref()] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }

    /// Adds the contents of a file.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), LabError> {
        let bytes = fs::read(path).map_err(LabError::file(path))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.add(&name, bytes);
        Ok(())
    }

    /// 64 bits of the hash as hexadecimal text.
    pub(super) fn key(self) -> String {
        format!("{:x}", self.hash.finalize())[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inputs: &[(&str, &str)]) -> String {
        let mut hash = Inputs::new("x");
        for (what, value) in inputs {
            hash.add(what, value);
        }
        hash.key()
    }

    #[test]
    fn every_input_changes_the_key() {
        let base = key(&[("go.mod", "a"), ("go.sum", "b")]);
        assert_eq!(base, key(&[("go.mod", "a"), ("go.sum", "b")]));
        assert_ne!(base, key(&[("go.mod", "a"), ("go.sum", "c")]));
        assert_ne!(base, key(&[("go.sum", "b"), ("go.mod", "a")]));
        assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
        assert_eq!(base.len(), 16);
    }

    #[test]
    fn a_build_that_was_cut_off_leaves_nothing_to_the_next() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let fresh = store.fresh("etcd").unwrap();
        fs::write(fresh.join("half"), b"").unwrap();
        let again = store.fresh("etcd").unwrap();
        assert_eq!(fs::read_dir(&again).unwrap().count(), 0);
        let kept = store.directory("etcd", "0123");
        assert!(!kept.exists());
        store.keep("etcd", "0123").unwrap();
        assert!(kept.is_dir() && !again.exists());
    }

    #[test]
    fn only_the_newest_versions_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let shim = store.directory("containerd-shim", "0123456789abcdef");
        fs::create_dir(&shim).unwrap();
        let keys: Vec<String> = (0..KEPT + 2).map(|number| format!("{number:016x}")).collect();
        for key in &keys {
            store.fresh("containerd").unwrap();
            store.keep("containerd", key).unwrap();
        }
        assert!(shim.is_dir());
        let left: Vec<bool> = keys.iter().map(|key| store.directory("containerd", key).is_dir()).collect();
        assert_eq!(left, [false, false, true, true, true, true]);
    }

    #[test]
    fn the_lock_is_exclusive() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let held = store.lock(|| panic!("nobody else has it")).unwrap();
        let second = File::open(home.path().join("lock")).unwrap();
        assert!(second.try_lock().is_err());
        drop(held);
        assert!(second.try_lock().is_ok());
    }

    #[test]
    fn times_are_remembered() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        assert_eq!(store.took("helm"), None);
        store.note_time("helm", Duration::from_millis(1234));
        assert_eq!(store.took("helm"), Some(Duration::from_millis(1234)));
    }
}
