//! What the operations share.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csi_runtime::InFlight;

use crate::group::Claims;
use crate::metrics::NodeMetrics;
use crate::mounter::Mounter;
use crate::pool::Pool;
use crate::server::Servers;
use crate::ticket::Tickets;
use crate::worker::{Lane, Workers};

/// How long each kind of work may take. All are shorter than the two minutes after which kubelet gives up a call, so that the caller hears the
/// reason and not just that time is up.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Publishing, with a fresh mount if need be.
    pub mount: Duration,
    /// statfs.
    pub stats: Duration,
    /// A plain unmount, before the mount is detached instead; and the detaching.
    pub unmount: Duration,
    /// How long a busy mount is tried again before it is detached.
    pub busy: Duration,
    /// How long the resolver may take to say where the server of a share is that is mounted already. Nobody needs the answer at once.
    pub resolve: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            mount: Duration::from_mins(1),
            stats: Duration::from_secs(10),
            unmount: Duration::from_secs(10),
            busy: Duration::from_secs(3),
            resolve: Duration::from_secs(5),
        }
    }
}

/// What differs between nodes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory in which one mount per share is kept; only the plugin uses it.
    pub pool: PathBuf,
    /// A share that no volume uses is unmounted after this time.
    pub pool_idle: Duration,
    /// How long it is believed that a share's name and path lead to what is mounted.
    pub look: Duration,
    /// A thread without work ends after this time.
    pub thread_idle: Duration,
    /// See there.
    pub deadlines: Deadlines,
}

impl Config {
    /// The usual times, with the pool at a place.
    pub fn new(pool: PathBuf) -> Self {
        Self {
            pool,
            pool_idle: Duration::from_mins(10),
            look: Duration::from_mins(1),
            thread_idle: Duration::from_mins(1),
            deadlines: Deadlines::default(),
        }
    }
}

/// A node. Clones are the same node.
///
/// What is mounted is known from the mount table alone, so a plugin that is started again, or killed in the middle of something, has nothing to
/// recover.
pub struct Node<M: Mounter, S> {
    pub(crate) inner: Arc<Inner<M, S>>,
}

pub(crate) struct Inner<M: Mounter, S> {
    pub(crate) pool: Pool<M, S>,
    pub(crate) deadlines: Deadlines,
    pub(crate) targets: InFlight<PathBuf>,
    pub(crate) tickets: Tickets,
    pub(crate) claims: Claims,
    pub(crate) metrics: NodeMetrics,
    /// What this process published where. It saves reading the mount table; nothing is wrong without it.
    published: Mutex<HashMap<PathBuf, Published>>,
}

/// A volume at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Its id.
    pub(crate) volume: String,
    /// Where its server is waited for.
    pub(crate) lane: Lane,
}

impl<M: Mounter, S: Servers> Node<M, S> {
    /// A node that mounts with `mounter` from `servers`.
    pub fn new(mounter: M, servers: S, config: Config, metrics: NodeMetrics) -> Self {
        let deadlines = config.deadlines;
        Self {
            inner: Arc::new(Inner {
                pool: Pool::new(mounter, servers, metrics.clone(), config),
                deadlines,
                targets: InFlight::new(),
                tickets: Tickets::default(),
                claims: Claims::default(),
                metrics,
                published: Mutex::default(),
            }),
        }
    }

    /// The threads that may hang.
    pub fn workers(&self) -> &Workers {
        self.inner.pool.workers()
    }

    /// Detaches everything that an earlier process has left mounted below these directories. Returns at once.
    pub fn clear(&self, places: &[PathBuf]) {
        self.inner.pool.clear(places);
    }

    /// Says in the log if what is mounted in the pool is seen outside the plugin's container, or might be, and what to do about it.
    pub fn check_pool(&self) {
        self.inner.pool.check_place();
    }

    /// Unmounts the shares that no volume has used for a while. To be called from time to time.
    pub async fn sweep(&self) -> io::Result<()> {
        self.inner.pool.sweep().await
    }
}

impl<M: Mounter, S> Inner<M, S> {
    pub(crate) fn remember(&self, target: PathBuf, published: Published) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).insert(target, published);
    }

    pub(crate) fn forget(&self, target: &Path) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    pub(crate) fn published_at(&self, target: &Path) -> Option<Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned()
    }
}

impl<M: Mounter, S> Clone for Node<M, S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M: Mounter, S> std::fmt::Debug for Node<M, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}
