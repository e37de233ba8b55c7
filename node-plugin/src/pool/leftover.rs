//! What an earlier process has left mounted: the pool of a release that kept it elsewhere, and stages of mount(2) that were never taken down.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Inside, Pool};
use crate::mounter::{Mounter, Unmount};
use crate::server::Servers;
use crate::worker::{Lane, Purpose};

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// Detaches everything that is mounted below these directories, and removes what is empty then. Pods' mounts are clones and live on. Nobody waits: a
    /// thread may, where a server does not answer and nobody else uses the superblock.
    pub(crate) fn clear(&self, places: &[PathBuf]) {
        let table = match self.mounter.table() {
            Ok(table) => table,
            Err(error) => return tracing::warn!(error = %error, "what an earlier process has left mounted stays"),
        };
        for place in places {
            for entry in table.entries().iter().filter(|entry| entry.mount_point.starts_with(place)) {
                let label = entry.location();
                let lane =
                    Lane { key: format!("left at {}", entry.mount_point.display()), purpose: Purpose::Detach, label };
                let (pool, at) = (self.clone(), entry.mount_point.clone());
                tracing::info!(share = lane.label, at = %at.display(), "detaching what an earlier process has left mounted");
                let detach = move || pool.clear_away(&at);
                if let Err(error) = self.workers.start_job(&lane, "detach", self.patience, detach) {
                    tracing::warn!(share = lane.label, error = %error, "what an earlier process has left mounted stays");
                }
            }
        }
    }
}

impl<M: Mounter, S> Inside<M, S> {
    fn clear_away(&self, at: &Path) {
        if let Err(error) = self.mounter.unmount(at, Unmount::Detach) {
            return tracing::warn!(at = %at.display(), error = %error, "what an earlier process has left mounted stays");
        }
        // The pool's own directory goes with the last; another may still be mounted.
        let _ = fs::remove_dir(at);
        let _ = at.parent().map(fs::remove_dir);
    }
}
