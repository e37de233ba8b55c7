//! `NodeUnpublishVolume`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::Instant;

use crate::mounter::{COVER, Mounter, Unmount};
use crate::mountinfo::{Entry, MountTable};
use crate::node::Node;
use crate::recognise::lane_of;
use crate::server::Servers;
use crate::target::{self, TargetError};
use crate::worker::{Lane, Purpose, WorkError};

/// Pause between two attempts on a mount that is in use.
const AGAIN: Duration = Duration::from_millis(200);

/// More mounts on top of each other than anybody makes by mistake.
const DEEPEST_STACK: usize = 64;

/// Why a target is still mounted, or still there.
#[derive(Debug, thiserror::Error)]
pub enum UnpublishError {
    /// The target path, or what is there.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Something is being done with the target.
    #[error("another operation on {} is under way", .0.display())]
    Busy(PathBuf),
    /// The kernel refuses.
    #[error("cannot unmount {}", target.display())]
    Unmount {
        /// The target.
        target: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A thread.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// New mounts appear as fast as they are undone.
    #[error("{} is mounted over and over", .0.display())]
    Endless(PathBuf),
    /// The node's mount table.
    #[error("cannot read the mount table")]
    Table(#[source] io::Error),
}

/// What became of an attempt.
enum Attempt {
    Done,
    InUse,
}

impl<M: Mounter, S: Servers> Node<M, S> {
    /// Undoes every mount at the target, whoever made it, and removes the directory. Fine if there is none.
    ///
    /// Returns within a bound whatever the server does: a mount that cannot be unmounted is detached. `MNT_FORCE` is never used, because it would
    /// fail the requests of every other volume on the superblock.
    pub async fn unpublish(&self, target: &Path) -> Result<(), UnpublishError> {
        let Some(target) = target::resolve(target)? else { return Ok(()) };
        let guard = self.inner.targets.try_acquire(target.clone());
        // A publish that waits for its server gives up the target; it holds nothing else that is needed here.
        if guard.is_none() && !self.inner.tickets.revoke(&target) {
            return Err(UnpublishError::Busy(target));
        }
        if guard.is_some() && self.undo_known(&target).await {
            self.inner.forget(&target);
            return Ok(());
        }
        for _ in 0..DEEPEST_STACK {
            let table = self.inner.pool.known().map_err(UnpublishError::Table)?;
            let Some(entry) = table.top(&target) else {
                target::remove(&target)?;
                self.inner.forget(&target);
                return Ok(());
            };
            self.undo(entry, &table).await?;
        }
        Err(UnpublishError::Endless(target))
    }

    /// The usual case, without a look at the mount table: this process published the target, and nothing else has happened there. If anything has, the
    /// unmount fails or the directory cannot be removed.
    async fn undo_known(&self, target: &Path) -> bool {
        let Some(published) = self.inner.published_at(target) else { return false };
        let undone = self.attempt(&published.lane, target, Unmount::Plain).await;
        matches!(undone, Ok(Attempt::Done)) && target::remove(target).is_ok()
    }

    /// Unmounts, or detaches what cannot be unmounted in time.
    async fn undo(&self, entry: &Entry, table: &MountTable) -> Result<(), UnpublishError> {
        let lane = lane_of(entry, table, self.inner.pool.root());
        // To unmount the cover first, umount(2) would walk into the volume, and may wait there for the server.
        if is_covered(entry, table) {
            return self.take_off(entry, &lane).await;
        }
        let until = Instant::now() + self.inner.deadlines.busy;
        loop {
            match self.attempt(&lane, &entry.mount_point, Unmount::Plain).await {
                Ok(Attempt::Done) => return Ok(()),
                Ok(Attempt::InUse) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                Ok(Attempt::InUse) => return self.detach(entry, &lane, "it is in use").await,
                Err(UnpublishError::Work(error)) if self.is_gone(entry)? => {
                    tracing::info!(target = %entry.mount_point.display(), reason = %error, "unmounted; the kernel has not let go of it yet");
                    return Ok(());
                }
                Err(UnpublishError::Work(error)) => return self.detach(entry, &lane, &error.to_string()).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn detach(&self, entry: &Entry, lane: &Lane, reason: &str) -> Result<(), UnpublishError> {
        tracing::warn!(target = %entry.mount_point.display(), share = lane.label, reason, "detaching a mount");
        self.inner.metrics.detached.inc();
        self.take_off(entry, lane).await
    }

    async fn take_off(&self, entry: &Entry, lane: &Lane) -> Result<(), UnpublishError> {
        let lane = Lane { purpose: Purpose::Detach, ..lane.clone() };
        match self.attempt(&lane, &entry.mount_point, Unmount::Detach).await {
            // The kernel takes it off the tree first and waits for the server afterwards.
            Err(UnpublishError::Work(_)) if self.is_gone(entry)? => Ok(()),
            detached => detached.map(|_| ()),
        }
    }

    async fn attempt(&self, lane: &Lane, target: &Path, how: Unmount) -> Result<Attempt, UnpublishError> {
        let (inner, at) = (Arc::clone(&self.inner), target.to_owned());
        let work = move || inner.pool.mounter().unmount(&at, how);
        let undone = self.inner.pool.workers().run(lane, "unmount", self.inner.deadlines.unmount, work).await?;
        match undone {
            Ok(()) => Ok(Attempt::Done),
            Err(error) => match Errno::from_io_error(&error) {
                // Somebody else was faster; the table will show what is left.
                Some(Errno::INVAL | Errno::NOENT) => Ok(Attempt::Done),
                Some(Errno::BUSY) => Ok(Attempt::InUse),
                _ => Err(UnpublishError::Unmount { target: target.to_owned(), source: error }),
            },
        }
    }

    fn is_gone(&self, entry: &Entry) -> Result<bool, UnpublishError> {
        let table = self.inner.pool.mounter().table().map_err(UnpublishError::Table)?;
        Ok(!table.entries().iter().any(|other| other.id == entry.id && other.mount_point == entry.mount_point))
    }
}

/// Whether all that is mounted in a mount covers what the driver keeps there.
fn is_covered(entry: &Entry, table: &MountTable) -> bool {
    let mut within = table.entries().iter().filter(|other| other.parent == entry.id).peekable();
    within.peek().is_some() && within.all(|other| other.source == COVER)
}
