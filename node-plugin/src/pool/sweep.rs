//! Shares that no volume uses any more.

use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::{Inside, Pool, Slot, State, lock, name_and_generation};
use crate::mounter::{Mounter, Unmount};
use crate::mountinfo::MountTable;
use crate::recognise::{is_below, lane_of, pooled};
use crate::server::Servers;
use crate::worker::Lane;

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// Unmounts the shares that no volume has used for a while. To be called from time to time.
    pub(crate) async fn sweep(&self) -> io::Result<()> {
        let table = self.mounter.table()?;
        for entry in pooled(&table, &self.root) {
            let (pool, path) = (self.clone(), entry.mount_point.clone());
            let lane = lane_of(entry, &table, &self.root);
            // It was to be taken off before: there was no thread, or it was killed.
            if self.is_retired(&lane) {
                self.take_off(&path, &lane);
                continue;
            }
            if !self.is_idle(&path, &table) {
                continue;
            }
            let turn = lane.clone();
            let swept = self.workers.run(&lane, "unmount", self.patience, move || pool.unpool(&path, &turn));
            match swept.await {
                Ok(Ok(true)) => tracing::info!(share = lane.label, "idle share unmounted"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(share = lane.label, error = %error, "cannot unmount an idle share"),
                Err(error) => tracing::warn!(error = %error, "cannot unmount an idle share"),
            }
        }
        Ok(())
    }
}

impl<M: Mounter, S> Inside<M, S> {
    /// Whether a mount of the pool has had no clone for so long that it may go. Called from time to time.
    fn is_idle(&self, path: &Path, table: &MountTable) -> bool {
        let in_use = has_clones(path, table, &self.root);
        self.slot(&name_and_generation(path).0, |slot| {
            if in_use {
                slot.used = Instant::now();
            }
            slot.used.elapsed() >= self.idle
        })
    }

    /// Runs in the share's lane, where no publish can come between the look and the unmount. What was retired meanwhile is not unpooled: it is taken off
    /// already, and what is remembered is of what came after it.
    fn unpool(&self, path: &Path, lane: &Lane) -> io::Result<bool> {
        if self.is_retired(lane) || has_clones(path, &self.mounter.table()?, &self.root) {
            return Ok(false);
        }
        // Our own descriptor would keep it busy.
        self.current(lane, |slot| slot.state = State::Absent);
        self.mounter.unmount(path, Unmount::Plain)?;
        fs::remove_dir(path)?;
        let (name, generation) = name_and_generation(path);
        let mut shares = lock(&self.shares);
        if let Entry::Occupied(mut slot) = shares.entry(name)
            && slot.get().generation == generation
        {
            // The number of a generation that was retired is never used again: something of it may still come back.
            if generation == 0 { drop(slot.remove()) } else { drop(slot.insert(Slot { generation, ..Slot::new() })) }
        }
        Ok(true)
    }
}

/// Whether directories of the share at `path` are mounted outside the pool, or something is mounted inside it.
///
/// The superblock alone does not tell: the kernel uses one for everything that it mounts from one file system of a server in one way.
pub(super) fn has_clones(path: &Path, table: &MountTable, root: &Path) -> bool {
    let Some(own) = table.top(path) else { return false };
    let share = own.location();
    table.of_device(own.device).any(|entry| !entry.mount_point.starts_with(root) && is_below(&entry.location(), &share))
        || table.entries().iter().any(|entry| entry.mount_point != path && entry.mount_point.starts_with(path))
}
