//! One superblock per share: mounted when the first volume needs it, cloned for every further one, unmounted when no clone has been left for a while.
//!
//! The pool is the directory that it is mounted in. Which shares are in it, and which have clones, is read from the mount table each time; what is
//! remembered besides saves work, and losing it costs time and nothing else.

mod error;
mod fresh;
mod sweep;

use std::collections::HashMap;
use std::fmt;
use std::fs::DirBuilder;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use error::MountError;
use rustix::io::Errno;
use volume::SubPath;

use crate::metrics::NodeMetrics;
use crate::mounter::{Cause, Fault, Mounter};
use crate::node::Config;
use crate::server::Servers;
use crate::share::{Share, Wanted};
use crate::worker::{Lane, Workers};

/// For how long a share whose root may not be mounted is not tried again.
const UNPOOLABLE: Duration = Duration::from_mins(10);

/// The shares of a node: who mounts them, from whom, on which threads. Clones are the same pool.
pub struct Pool<M: Mounter, S>(Arc<Inside<M, S>>);

/// What is in a [`Pool`].
pub struct Inside<M: Mounter, S> {
    mounter: M,
    servers: S,
    workers: Workers,
    metrics: NodeMetrics,
    root: PathBuf,
    idle: Duration,
    /// How long an unmount may take.
    patience: Duration,
    /// By [`Share::pool_name`].
    shares: Mutex<HashMap<String, Slot<M::Root>>>,
}

/// What is remembered of a share.
struct Slot<R> {
    state: State<R>,
    /// When it was last seen in use.
    used: Instant,
}

enum State<R> {
    /// Not mounted as far as is known: the table tells.
    Absent,
    /// Mounted, and held open, so that a publish has neither to find nor to check it.
    Mounted(Arc<R>),
    /// The server did not let its root be mounted.
    Refused(Instant),
}

impl<R> Slot<R> {
    fn new() -> Self {
        Self { state: State::Absent, used: Instant::now() }
    }

    fn root(&self) -> Option<Arc<R>> {
        match &self.state {
            State::Mounted(root) => Some(Arc::clone(root)),
            State::Absent | State::Refused(_) => None,
        }
    }

    fn is_refused(&self, now: Instant) -> bool {
        matches!(self.state, State::Refused(since) if now.duration_since(since) < UNPOOLABLE)
    }
}

impl<M: Mounter, S: Servers> Pool<M, S> {
    pub(crate) fn new(mounter: M, servers: S, metrics: NodeMetrics, config: Config) -> Self {
        let workers = Workers::new(config.thread_idle);
        metrics.watch(&workers);
        Self(Arc::new(Inside {
            mounter,
            servers,
            workers,
            metrics,
            root: config.pool,
            idle: config.pool_idle,
            patience: config.deadlines.unmount,
            shares: Mutex::default(),
        }))
    }
}

impl<M: Mounter, S> Inside<M, S> {
    /// The directory in which shares are mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Who mounts.
    pub(crate) fn mounter(&self) -> &M {
        &self.mounter
    }

    /// The threads that may hang.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    fn path(&self, share: &Share) -> PathBuf {
        self.root.join(share.pool_name())
    }

    /// Does something with what is remembered of a share.
    fn slot<T>(&self, name: &str, with: impl FnOnce(&mut Slot<M::Root>) -> T) -> T {
        let mut shares = lock(&self.shares);
        with(shares.entry(name.to_owned()).or_insert_with(Slot::new))
    }
}

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// A tree of what is wanted, attached nowhere, and the lane in which a mount of it is to be undone. Runs in the share's lane; may hang.
    pub(crate) fn tree(&self, wanted: &Wanted) -> Result<(M::Tree, Lane), MountError> {
        let share = &wanted.share;
        if !self.slot(&share.pool_name(), |slot| slot.is_refused(Instant::now())) {
            match self.tree_of(share, wanted.below.as_ref(), wanted) {
                // An export may allow a directory and not what is above it.
                Err(MountError::Refused { source, .. })
                    if wanted.below.is_some()
                        && matches!(source.cause(), Cause::AccessDenied | Cause::NoSuchDirectory) =>
                {
                    tracing::info!(share = share.location(), reason = %source, "the share cannot be mounted as a whole: mounting volumes one by one");
                    self.slot(&share.pool_name(), |slot| slot.state = State::Refused(Instant::now()));
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
        let name = share.pool_name();
        if let Some(root) = self.slot(&name, |slot| slot.root()) {
            match clone_from(&root) {
                // The mount was undone behind our back, or its server is another one by now: look again.
                Err(MountError::Directory { source, .. }) if matches!(source.cause(), Cause::Option | Cause::Stale) => {
                    self.slot(&name, |slot| slot.state = State::Absent);
                }
                cloned => return cloned,
            }
        }
        let root = self.ensure_pooled(share)?;
        let tree = clone_from(&root)?;
        // Not before: attempts in vain must not keep alive what the server has forgotten.
        self.slot(&name, |slot| slot.used = Instant::now());
        Ok(tree)
    }

    /// Mounts the share in the pool unless it is there, and opens it. May hang.
    fn ensure_pooled(&self, share: &Share) -> Result<Arc<M::Root>, MountError> {
        let path = self.path(share);
        let failed = |source| MountError::Pool { path: path.clone(), source };
        let table = self.mounter.table().map_err(failed)?;
        if table.top(&path).is_none() {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
            self.mount_fresh(share, &path)?;
            self.set_read_ahead(share, &path);
            tracing::info!(share = share.location(), at = %path.display(), "share mounted");
        }
        let root = Arc::new(self.open_pooled(share, &path)?);
        self.slot(&share.pool_name(), |slot| slot.state = State::Mounted(Arc::clone(&root)));
        Ok(root)
    }
}

impl<M: Mounter, S> Deref for Pool<M, S> {
    type Target = Inside<M, S>;

    fn deref(&self) -> &Inside<M, S> {
        &self.0
    }
}

impl<M: Mounter, S> Clone for Pool<M, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Mounter, S> fmt::Debug for Pool<M, S> {
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
