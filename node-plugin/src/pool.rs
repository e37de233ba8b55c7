//! One superblock per share: mounted when the first volume needs it, cloned for every further one, unmounted when no clone has been left for a while.
//!
//! The pool is the directory that it is mounted in. Which shares are in it, and which have clones, is read from the mount table each time; after a
//! restart it is as it was.

mod error;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use volume::mount_options::MountAttributes;
use volume::{Server, SubPath};

pub use error::MountError;

use crate::mounter::{Cause, Fault, MountRequest, Mounter, Unmount};
use crate::mountinfo::MountTable;
use crate::node::{Inner, Node};
use crate::recognise::{Weaker, is_below, lane_of, pooled};
use crate::server::{Attempt, Attempts, Others, Servers};
use crate::share::{Share, Wanted};
use crate::worker::Lane;

/// The kernel reads ahead this many times `rsize`, as Amazon's driver sets it for EFS.
const READ_AHEAD_FACTOR: u64 = 15;

/// For how long a share whose root may not be mounted is not tried again.
const UNPOOLABLE: Duration = Duration::from_mins(10);

/// Where shares are mounted, and what is remembered to save work; losing it costs time and nothing else.
pub struct Pool<R> {
    root: PathBuf,
    idle: Duration,
    /// The mounts of the pool, held open by their names, so that a publish has neither to find nor to check them.
    roots: Mutex<HashMap<String, Arc<R>>>,
    /// Shares whose root the server did not let us mount, and when.
    unpoolable: Mutex<HashMap<String, Instant>>,
    /// When a share was last seen in use.
    used: Mutex<HashMap<PathBuf, Instant>>,
}

impl<R> Pool<R> {
    pub(crate) fn new(root: PathBuf, idle: Duration) -> Self {
        Self { root, idle, roots: Mutex::default(), unpoolable: Mutex::default(), used: Mutex::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, share: &Share) -> PathBuf {
        self.root.join(share.pool_name())
    }

    fn is_unpoolable(&self, share: &Share, now: Instant) -> bool {
        let mut unpoolable = lock(&self.unpoolable);
        unpoolable.retain(|_, since| now.duration_since(*since) < UNPOOLABLE);
        unpoolable.contains_key(&share.pool_name())
    }

    /// Whether a mount of the pool has had no clone for so long that it may go. Called from time to time.
    fn is_idle(&self, path: &Path, table: &MountTable) -> bool {
        let mut used = lock(&self.used);
        let last = used.entry(path.to_owned()).or_insert_with(Instant::now);
        if has_clones(path, table, &self.root) {
            *last = Instant::now();
        }
        last.elapsed() >= self.idle
    }

    fn touch(&self, path: PathBuf) {
        lock(&self.used).insert(path, Instant::now());
    }
}

/// Whether directories of the share at `path` are mounted outside the pool, or something is mounted inside it.
///
/// The superblock alone does not tell: the kernel uses one for everything that it mounts from one file system of a server in one way.
fn has_clones(path: &Path, table: &MountTable, root: &Path) -> bool {
    let Some(own) = table.top(path) else { return false };
    let share = own.location();
    table.of_device(own.device).any(|entry| !entry.mount_point.starts_with(root) && is_below(&entry.location(), &share))
        || table.entries().iter().any(|entry| entry.mount_point != path && entry.mount_point.starts_with(path))
}

impl<M: Mounter, S: Servers> Inner<M, S> {
    /// A tree of what is wanted, attached nowhere, and the lane in which a mount of it is to be undone. Runs in the share's lane; may hang.
    pub(crate) fn tree(&self, wanted: &Wanted) -> Result<(M::Tree, Lane), MountError> {
        let share = &wanted.share;
        let known = lock(&self.pool.roots).contains_key(&share.pool_name());
        if known || !self.pool.is_unpoolable(share, Instant::now()) {
            match self.tree_of(share, wanted.below.as_ref(), wanted) {
                // An export may allow a directory and not what is above it.
                Err(MountError::Refused { source, .. })
                    if wanted.below.is_some()
                        && matches!(source.cause(), Cause::AccessDenied | Cause::NoSuchDirectory) =>
                {
                    tracing::info!(share = share.location(), reason = %source, "the share cannot be mounted as a whole: mounting volumes one by one");
                    lock(&self.pool.unpoolable).insert(share.pool_name(), Instant::now());
                }
                pooled => return pooled.map(|tree| (tree, share.lane())),
            }
        }
        let alone = wanted.alone().ok_or_else(|| MountError::Directory {
            location: wanted.location(),
            source: Fault::new("mount", Errno::NAMETOOLONG),
        })?;
        self.tree_of(&alone, None, wanted).map(|tree| (tree, alone.lane()))
    }

    /// A tree from the share's mount in the pool, which is made if need be.
    fn tree_of(&self, share: &Share, below: Option<&SubPath>, wanted: &Wanted) -> Result<M::Tree, MountError> {
        let clone_from = |root: &M::Root| {
            let cloned = self.mounter.clone_tree(root, below, wanted.attributes);
            cloned.map_err(|source| MountError::Directory { location: wanted.location(), source })
        };
        let known = lock(&self.pool.roots).get(&share.pool_name()).cloned();
        if let Some(root) = known {
            match clone_from(&root) {
                // The mount was undone behind our back, or its server is another one by now: look again.
                Err(MountError::Directory { source, .. }) if matches!(source.cause(), Cause::Option | Cause::Stale) => {
                    lock(&self.pool.roots).remove(&share.pool_name());
                }
                cloned => return cloned,
            }
        }
        let root = self.ensure_pooled(share)?;
        let tree = clone_from(&root)?;
        // Not before: attempts in vain must not keep alive what the server has forgotten.
        self.pool.touch(self.pool.path(share));
        Ok(tree)
    }

    /// Mounts the share in the pool unless it is there, and opens it. May hang.
    fn ensure_pooled(&self, share: &Share) -> Result<Arc<M::Root>, MountError> {
        let path = self.pool.path(share);
        let failed = |source| MountError::Pool { path: path.clone(), source };
        let table = self.mounter.table().map_err(failed)?;
        if table.top(&path).is_none() {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
            self.mount_fresh(share, &path)?;
            self.set_read_ahead(share, &path);
            tracing::info!(share = share.location(), at = %path.display(), "share mounted");
        }
        let root = Arc::new(self.open_pooled(share, &path)?);
        lock(&self.pool.roots).insert(share.pool_name(), Arc::clone(&root));
        Ok(root)
    }

    /// Opens the share's mount in the pool, if it is what the table shows, and protected as was asked for. May hang.
    fn open_pooled(&self, share: &Share, path: &Path) -> Result<M::Root, MountError> {
        let failed = |source| MountError::Pool { path: path.to_owned(), source };
        let of_share = |source| MountError::Directory { location: share.location(), source };
        let root = self.mounter.open(path).map_err(of_share)?;
        let opened = self.mounter.device(&root).map_err(of_share)?;
        let table = self.mounter.table().map_err(failed)?;
        // A publish must never reach the node's own directory, which is what lies there when the mount is gone.
        let Some(entry) = table.top(path).filter(|entry| entry.device == opened) else {
            return Err(failed(io::Error::other("the mount has changed meanwhile")));
        };
        let Some(weaker) = Weaker::find(&share.options, &entry.options) else { return Ok(root) };
        drop(root);
        if let Err(error) = self.mounter.unmount(path, Unmount::Plain) {
            tracing::warn!(share = share.location(), error = %error, "a mount without its protection stays in the pool, unused");
        }
        Err(MountError::Weaker { location: share.location(), weaker })
    }

    /// Asks the addresses of the server one after the other, and mounts from the first that lets us. May hang.
    fn mount_fresh(&self, share: &Share, at: &Path) -> Result<(), MountError> {
        let location = share.location();
        let mut attempts = Attempts::default();
        for address in self.addresses(&share.server, &location)? {
            if let Err(fault) = self.servers.ping(address) {
                attempts.push(address, Attempt::Asked(fault));
                continue;
            }
            let options = share.options.superblock();
            let attributes = MountAttributes::default();
            let request = MountRequest { source: location.clone(), address, options, attributes };
            match self.mounter.mount(&request).and_then(|tree| self.mounter.attach(tree, at)) {
                Ok(()) => {
                    self.metrics.fresh_mounts.inc();
                    return Ok(());
                }
                Err(fault) => {
                    self.metrics.failed_mounts.inc();
                    if fault.cause() != Cause::Unreachable {
                        // The server has answered: its other addresses would say the same.
                        return Err(MountError::of(location, (Attempt::Mounted(fault), attempts.others())));
                    }
                    attempts.push(address, Attempt::Mounted(fault));
                }
            }
        }
        Err(MountError::of(location, attempts.none_of(share.server.host())))
    }

    fn addresses(&self, server: &Server, location: &str) -> Result<Vec<SocketAddr>, MountError> {
        let found = self.servers.addresses(server);
        found.map_err(|source| MountError::Server { location: location.to_owned(), others: Others::default(), source })
    }

    /// Best effort: a smaller read-ahead is slower, not wrong.
    fn set_read_ahead(&self, share: &Share, path: &Path) {
        let kib = READ_AHEAD_FACTOR * u64::from(share.options.rsize()) / 1024;
        let set = self.mounter.table().and_then(|table| match table.top(path) {
            Some(entry) => self.mounter.set_read_ahead(entry.device, kib),
            None => Ok(()),
        });
        if let Err(error) = set {
            tracing::debug!(share = share.location(), kib, error = %error, "cannot set the read-ahead");
        }
    }
}

impl<M: Mounter, S: Servers> Node<M, S> {
    /// Unmounts the shares that no volume has used for a while, and removes directories of the pool on which nothing is mounted. To be called from
    /// time to time.
    pub async fn sweep(&self) -> io::Result<()> {
        let table = self.inner.mounter.table()?;
        let root = self.inner.pool.root();
        for entry in pooled(&table, root).filter(|entry| self.inner.pool.is_idle(&entry.mount_point, &table)) {
            let (inner, path) = (Arc::clone(&self.inner), entry.mount_point.clone());
            let lane = lane_of(entry, &table, root);
            let swept =
                self.inner.workers.run(&lane, "unmount", self.inner.deadlines.unmount, move || inner.unpool(&path));
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

impl<M: Mounter, S> Inner<M, S> {
    /// Runs in the share's lane, where no publish can come between the look and the unmount.
    fn unpool(&self, path: &Path) -> io::Result<bool> {
        if has_clones(path, &self.mounter.table()?, self.pool.root()) {
            return Ok(false);
        }
        // Our own descriptor would keep it busy.
        if let Some(name) = path.file_name() {
            lock(&self.pool.roots).remove(&*name.to_string_lossy());
        }
        self.mounter.unmount(path, Unmount::Plain)?;
        lock(&self.pool.used).remove(path);
        fs::remove_dir(path)?;
        Ok(true)
    }
}

impl<R> fmt::Debug for Pool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("root", &self.root).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
