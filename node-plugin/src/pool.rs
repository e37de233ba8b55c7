//! One superblock per share: mounted when the first volume needs it, cloned for every further one, unmounted when no clone has been left for a while.
//!
//! The pool is the directory that it is mounted in. Which shares are in it, and which have clones, is read from the mount table each time; what is
//! remembered besides saves work, and losing it costs time and nothing else.
//!
//! A share's mount is in one of three states. *Absent*: it is made by the next publish. *Mounted*: volumes are cloned from it. *Retired*: it has gone bad,
//! is taken off, and the next publish begins with a new generation, in a directory and on a thread of its own; pods keep their clones of the old one.

mod error;
mod former;
mod fresh;
mod leftover;
mod place;
mod replace;
mod sweep;
mod trunking;
mod whereabouts;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::DirBuilder;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use error::MountError;
use replace::Reason;
use rustix::io::Errno;
use volume::SubPath;
pub(crate) use whereabouts::Look;

use crate::metrics::NodeMetrics;
use crate::mounter::{Cause, Fault, Mounter};
use crate::mountinfo::Entry;
use crate::node::Config;
use crate::recognise::pooled;
use crate::server::Servers;
use crate::share::{Share, Wanted};
use crate::worker::{Lane, Purpose, Workers};

/// For how long a share whose root may not be mounted is not tried again.
const UNPOOLABLE: Duration = Duration::from_mins(10);

/// How long what was found of a share is believed where a volume is missing, and where the share's thread is stuck.
const LOOK_IN_DOUBT: Duration = Duration::from_secs(2);

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
    /// How long it is believed that a share's name and path lead to what is mounted.
    look: Duration,
    /// How long an unmount may take.
    patience: Duration,
    /// How long the resolver may take where nobody needs its answer at once.
    resolve: Duration,
    /// By [`Share::pool_name`].
    shares: Mutex<HashMap<String, Slot<M::Root>>>,
    /// Retired mounts.
    former: Mutex<Vec<Entry>>,
    /// Where the kernel's clients bear another identity than the one in force.
    parted: Mutex<HashSet<SocketAddr>>,
}

/// What is remembered of a share.
struct Slot<R> {
    /// How many of its mounts have been retired.
    generation: u64,
    state: State<R>,
    /// When it was last seen in use.
    used: Instant,
    /// Where the resolver has said last that the server is, and when, to who wanted to look.
    told: Option<(Instant, Vec<SocketAddr>)>,
    /// When it was last seen that name and path lead to what is mounted.
    looked: Option<Instant>,
    /// The same where a volume was missing.
    doubted: Option<Instant>,
    /// When it was last asked whether a stuck share can be replaced.
    asked: Option<Instant>,
    /// Why it was retired last, until it is mounted afresh.
    retired: Option<Reason>,
    /// The address at which it is being mounted, or was last.
    address: Option<SocketAddr>,
    /// Where its retired mounts had their servers.
    past: BTreeSet<IpAddr>,
}

/// What comes of looking for a volume in the pool.
pub(crate) enum Found<T> {
    /// A tree of it, attached nowhere, and the lane in which a mount of it is to be undone.
    Tree(T, Lane),
    /// The share's mount had gone bad and is retired: to be looked for again, in the share's new lane.
    Retired,
    /// The share has no such directory, or is not the one that is mounted any more: to be looked for again with where its server's name leads.
    Missing(MountError),
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
        Self {
            generation: 0,
            state: State::Absent,
            used: Instant::now(),
            told: None,
            looked: None,
            doubted: None,
            asked: None,
            retired: None,
            address: None,
            past: BTreeSet::new(),
        }
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
        let shares = generations(&mounter, &config.pool);
        Self(Arc::new(Inside {
            mounter,
            servers,
            workers,
            metrics,
            root: config.pool,
            idle: config.pool_idle,
            look: config.look,
            patience: config.deadlines.unmount,
            resolve: config.deadlines.resolve,
            shares: Mutex::new(shares),
            former: Mutex::default(),
            parted: Mutex::default(),
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

    /// The lane in which the share's work is done now.
    pub(crate) fn lane(&self, share: &Share) -> Lane {
        let generation = self.slot(share.pool_name(), |slot| slot.generation);
        Lane { key: file_name(share.pool_name(), generation), purpose: Purpose::Work, label: share.location() }
    }

    fn path(&self, share: &Share) -> PathBuf {
        self.root.join(self.lane(share).key)
    }

    /// Does something with what is remembered of a share.
    fn slot<T>(&self, name: &str, with: impl FnOnce(&mut Slot<M::Root>) -> T) -> T {
        let mut shares = lock(&self.shares);
        with(shares.entry(name.to_owned()).or_insert_with(Slot::new))
    }

    /// Does something with what is remembered of a share, unless the mount of this lane has been retired.
    fn current<T>(&self, lane: &Lane, with: impl FnOnce(&mut Slot<M::Root>) -> T) -> Option<T> {
        let (name, generation) = name_and_generation(Path::new(&lane.key));
        self.slot(&name, |slot| (slot.generation == generation).then(|| with(slot)))
    }
}

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// Looks for what is wanted, and before that at the share, if that is due. Runs in the share's lane; may hang.
    pub(crate) fn find(&self, wanted: &Wanted, lane: &Lane, look: Option<&Look>) -> Result<Found<M::Tree>, MountError> {
        let share = &wanted.share;
        if self.is_retired(lane) {
            // While this waited for its turn.
            return Ok(Found::Retired);
        }
        if !self.slot(share.pool_name(), |slot| slot.is_refused(Instant::now())) {
            match self.find_in(share, wanted.below.as_ref(), wanted, lane, look) {
                // An export may allow a directory and not what is above it.
                Err(MountError::Refused { source, .. })
                    if wanted.below.is_some()
                        && matches!(source.cause(), Cause::AccessDenied | Cause::NoSuchDirectory) =>
                {
                    tracing::info!(share = share.location(), reason = %source, "the share cannot be mounted as a whole: mounting volumes one by one");
                    self.current(lane, |slot| slot.state = State::Refused(Instant::now()));
                }
                found => return found,
            }
        }
        let alone = wanted.alone().ok_or_else(|| MountError::Directory {
            location: wanted.location(),
            source: Fault::new("mount", Errno::NAMETOOLONG),
        })?;
        self.find_in(&alone, None, wanted, lane, look)
    }

    /// A tree from the share's mount in the pool, which is made if need be. `turn` is the lane in which this runs.
    ///
    /// What was retired while this waited for its server has brought a tree, a mount or a refusal of the past: it changes nothing, and is not told.
    fn find_in(
        &self,
        share: &Share,
        below: Option<&SubPath>,
        wanted: &Wanted,
        turn: &Lane,
        look: Option<&Look>,
    ) -> Result<Found<M::Tree>, MountError> {
        let lane = self.lane(share);
        let found = self.find_now(share, below, wanted, &lane, look);
        if self.is_retired(turn) || self.is_retired(&lane) { Ok(Found::Retired) } else { found }
    }

    fn find_now(
        &self,
        share: &Share,
        below: Option<&SubPath>,
        wanted: &Wanted,
        lane: &Lane,
        look: Option<&Look>,
    ) -> Result<Found<M::Tree>, MountError> {
        let clone_from = |root: &M::Root| {
            let cloned = self.mounter.clone_tree(root, below, wanted.attributes);
            cloned.map_err(|source| MountError::Directory { location: wanted.location(), source })
        };
        if let Some(root) = self.current(lane, |slot| slot.root()).flatten() {
            if let Some(look) = look
                && self.current(lane, |slot| slot.is_due(look)) == Some(true)
                && self.has_gone_bad(share, lane, &root, look)?
            {
                return Ok(Found::Retired);
            }
            match clone_from(&root) {
                // The mount was undone behind our back: look again.
                Err(MountError::Directory { source, .. }) if source.cause() == Cause::Option => {
                    self.current(lane, |slot| slot.state = State::Absent);
                }
                // Perhaps it is there under the path, in what has taken the share's place.
                Err(MountError::Directory { location, source })
                    if source.cause() == Cause::NoSuchDirectory && look.is_none() =>
                {
                    return Ok(Found::Missing(MountError::Directory { location, source }));
                }
                Err(MountError::Directory { source, .. }) if source.cause() == Cause::Stale => {
                    self.retire(lane, Reason::Forgotten);
                    return Ok(Found::Retired);
                }
                cloned => return cloned.map(|tree| Found::Tree(tree, lane.clone())),
            }
        }
        let Some(root) = self.ensure_pooled(share, wanted, lane)? else { return Ok(Found::Retired) };
        let tree = match clone_from(&root) {
            Err(MountError::Directory { source, .. }) if source.cause() == Cause::Stale => {
                self.retire(lane, Reason::Forgotten);
                return Ok(Found::Retired);
            }
            cloned => cloned?,
        };
        // Not before: attempts in vain must not keep alive what the server has forgotten.
        self.current(lane, |slot| slot.used = Instant::now());
        Ok(Found::Tree(tree, lane.clone()))
    }

    /// Mounts the share in the pool unless it is there, and opens it; none if it was retired meanwhile. May hang.
    fn ensure_pooled(&self, share: &Share, wanted: &Wanted, lane: &Lane) -> Result<Option<Arc<M::Root>>, MountError> {
        let path = self.root.join(&lane.key);
        let failed = |source| MountError::Pool { path: path.clone(), source };
        // Perhaps it was taken off before it was there.
        let too_late = || {
            self.take_off(&path, lane);
            Ok(None)
        };
        let table = self.mounter.table().map_err(failed)?;
        if table.top(&path).is_none() {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
            self.mount_fresh(share, lane, &path)?;
            if self.is_retired(lane) {
                return too_late();
            }
            self.set_read_ahead(share, &path);
            tracing::info!(share = share.location(), at = %path.display(), "share mounted");
        }
        let root = Arc::new(self.open_pooled(share, wanted, &path)?);
        let kept = self.current(lane, |slot| {
            slot.state = State::Mounted(Arc::clone(&root));
            // Not at an attempt: the next one must distrust the same.
            slot.retired = None;
            slot.looked.get_or_insert_with(Instant::now);
        });
        if kept.is_some() { Ok(Some(root)) } else { too_late() }
    }
}

/// The shares whose mounts an earlier process has left in the pool, each with its latest generation.
fn generations<M: Mounter>(mounter: &M, pool: &Path) -> HashMap<String, Slot<M::Root>> {
    let mut shares: HashMap<String, Slot<M::Root>> = HashMap::new();
    let table = mounter.table().unwrap_or_default();
    for entry in pooled(&table, pool) {
        let (name, generation) = name_and_generation(&entry.mount_point);
        let slot = shares.entry(name).or_insert_with(Slot::new);
        slot.generation = slot.generation.max(generation);
    }
    shares
}

/// Name of the directory, and key of the lane, of a generation of a share's mount.
fn file_name(name: &str, generation: u64) -> String {
    if generation == 0 { name.to_owned() } else { format!("{name}.{generation}") }
}

fn name_and_generation(path: &Path) -> (String, u64) {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let parts = file_name.split_once('.').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    parts.unwrap_or_else(|| (file_name.into_owned(), 0))
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
