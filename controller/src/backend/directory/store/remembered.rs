//! What was learnt about directories and need not be asked again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nfs_client::FileHandle;

/// Most directories that are remembered.
const REMEMBERED: usize = 4096;

/// Directories of which the same is known, in bounded memory: some may be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<HashSet<FileHandle>>);

impl Remembered {
    /// Whether it is known of this one.
    pub(crate) fn contains(&self, directory: &FileHandle) -> bool {
        self.lock().contains(directory)
    }

    /// It is known of this one.
    pub(crate) fn insert(&self, directory: FileHandle) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(directory);
    }

    /// Nothing is known any more.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<FileHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
