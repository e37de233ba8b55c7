//! What is known of retired mounts once they have left the pool.
//!
//! Pods keep their clones of them. The kernel may name those after another name of the server, or after what a link on it leads to; then only the
//! superblock, and where on it the share was, tell what they are.

use std::io;

use super::{Inside, lock};
use crate::mounter::Mounter;
use crate::mountinfo::{Entry, MountTable};
use crate::recognise::is_of_one_server;

impl<M: Mounter, S> Inside<M, S> {
    /// The mount table, and in it the retired mounts of whose superblocks something is mounted still, as if they were in the pool. For whoever is to
    /// recognise a mount; what is really in the pool tells [`Mounter::table`].
    ///
    /// It is known to the process that has retired them, not to its successor.
    pub(crate) fn known(&self) -> io::Result<MountTable> {
        let table = self.mounter.table()?;
        let mut former = lock(&self.former);
        // The number of a superblock is given to another one when it is gone.
        former.retain(|gone| table.of_device(gone.device).any(|entry| is_of_one_server(entry, gone)));
        if former.is_empty() {
            return Ok(table);
        }
        let taken_off = former.iter().filter(|gone| table.top(&gone.mount_point).is_none());
        Ok(MountTable::new(table.entries().iter().chain(taken_off).cloned().collect()))
    }

    /// Remembers a mount of the pool that is going to be taken off.
    pub(super) fn remember_former(&self, entry: Option<Entry>) {
        lock(&self.former).extend(entry);
    }
}
