//! A pod's group (`fsGroup`), given to the volume that the pod is about to use.
//!
//! kubelet does it for drivers that do not: it walks through the whole volume at each start of a pod, file by file. A driver that announces
//! `VOLUME_MOUNT_GROUP` is told the group instead, and kubelet leaves the files alone. Here the volume's root directory gets the group and passes it on to
//! what is made in it (set-gid); what lies below is given to the group only where the volume says so, once.
//!
//! What has been done is read from the root directory alone: it belongs to the group and has set-gid when all is done, and not before. So a walk that was
//! cut off is begun again by the next publish, and finds most of its work done.

mod claims;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::oneshot;
use volume::FsGroupChange;
use volume::mount_options::MountAttributes;

use self::claims::Claim;
pub(crate) use self::claims::Claims;
use self::walk::{Scope, Tally};
use crate::mounter::{Fault, Owned, Ownership};
use crate::node::{Inner, Node};
use crate::pool::{Found, Look, MountError};
use crate::publish::{self, Publish};
use crate::server::Servers;
use crate::share::Wanted;
use crate::worker::{Lane, WorkError};

/// What a group needs of a directory, and what passes it on. kubelet gives the same.
const DIRECTORY: u32 = 0o2770;
/// What a group needs of a file. kubelet gives the same.
const FILE: u32 = 0o660;
const SET_GID: u32 = 0o2000;

/// In so many generations of a share is a volume looked for.
const GENERATIONS: usize = 3;

/// Why a volume is not given to a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The share's thread.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Server, export or directory.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The server's answer to a change, other than a refusal.
    #[error("cannot give {location} to group {group} (fsGroup)")]
    Change {
        /// The volume.
        location: String,
        /// The group.
        group: u32,
        /// The call that failed.
        #[source]
        source: Fault,
    },
    /// It takes longer than a call may.
    #[error(
        "{location} is being given to a pod's group (fsGroup, fsGroupChange: always), which was not done within {} s: it goes on in the background, and the pod \
         starts when it is done",
        .allowed.as_secs()
    )]
    Walking {
        /// The volume.
        location: String,
        /// How long it was waited for.
        allowed: Duration,
    },
    /// So many volumes of the share are being given already.
    #[error(
        "{location} waits to be given to a pod's group (fsGroup, fsGroupChange: always): {} other volumes of its share are being given on this node; the pod starts \
         after them",
        claims::WALKS
    )]
    Waiting {
        /// The volume.
        location: String,
    },
    /// The node's mount table.
    #[error("cannot read the mount table")]
    Table(#[source] std::io::Error),
}

/// What is left to be done after a look at the root directory.
enum Prepared<E> {
    /// Nothing.
    Done,
    /// A walk through what is below it; it comes last itself. For as long as neither of these lanes is retired.
    Walk(E, Owned, [Lane; 2]),
    /// All of it, later: the share has been retired.
    Retired,
    /// The share that is mounted has no such directory.
    Missing,
}

impl<M: Ownership, S: Servers> Node<M, S> {
    /// Gives a volume to the group of a pod for which it is about to be published. Does nothing where the pod may not write, or has it already.
    ///
    /// Returns by the deadline, which is that of the publish, too. Never returns without an error before all is done, or refused: a server that lets this node change nothing
    /// (root is squashed) keeps no pod from starting; the log and a metric tell.
    pub async fn give(&self, request: &Publish, group: u32, deadline: Instant) -> Result<(), GroupError> {
        let change = request.context.terms.fs_group_change;
        // The target matters only where it is looked for other uses of the volume.
        let asked = publish::wanted(request, request.target.clone());
        if change == FsGroupChange::None || asked.attributes.read_only || self.is_published(request) {
            return Ok(());
        }
        let wanted = Wanted { attributes: MountAttributes::default(), ..asked };
        let single = request.mode.is_single_target();
        let (pool, patience) = (&self.inner.pool, self.inner.deadlines.mount);
        let left = || deadline.saturating_duration_since(Instant::now());
        // For what may take longer than any call; what follows has the rest.
        let (allowed, until) = (patience / 2, (Instant::now() + left().saturating_sub(patience / 2)).into());
        let too_late = || GroupError::Walking { location: wanted.location(), allowed };
        let (mut generations, mut doubted) = (0, None);
        while generations < GENERATIONS {
            let lane = pool.usable_lane(&wanted.share, left()).await?;
            let look = match doubted.take() {
                Some(look) => Some(look),
                None => pool.look(&wanted, false, deadline).await,
            };
            // Before the claim: who has it may wait for a server that is somewhere else by now.
            if let Some(look) = look
                && self.has_gone_on(&wanted, &lane, look, deadline).await?
            {
                generations += 1;
                continue;
            }
            let claim = self.inner.claims.take(&lane.key, &wanted.location(), until).await.ok_or_else(too_late)?;
            let (inner, job, in_lane) = (Arc::clone(&self.inner), wanted.clone(), lane.clone());
            let work = move || {
                let prepared = inner.prepare(&job, &in_lane, Gift { group, change, single })?;
                Ok::<_, GroupError>((prepared, claim))
            };
            match pool.workers().run_until(&lane, "change of group", patience, deadline, work).await?? {
                (Prepared::Done, _) => return Ok(()),
                (Prepared::Retired, _) => generations += 1,
                (Prepared::Missing, _) => {
                    doubted = pool.look(&wanted, true, deadline).await;
                    if doubted.is_none() {
                        // The publish that follows says so.
                        return Ok(());
                    }
                }
                (Prepared::Walk(root, now, lanes), claim) => {
                    let waiting = || GroupError::Waiting { location: wanted.location() };
                    let claim = claim.for_walk(until).await.ok_or_else(waiting)?;
                    let is_past = || lanes.iter().any(|lane| pool.is_retired(lane));
                    let walked = self.walk((root, now, lanes.clone()), group, &wanted, claim)?;
                    let walked = tokio::time::timeout_at(until, walked).await.map_err(|_| too_late())?;
                    // The thread has panicked, which is a defect; what it has done stays done.
                    let lost = || WorkError::Lost { share: wanted.location(), what: "change of group" };
                    let walked = walked.map_err(|_| lost())?;
                    if is_past() {
                        generations += 1;
                        continue;
                    }
                    return walked.map_err(|source| GroupError::Change { location: wanted.location(), group, source });
                }
            }
        }
        Err(MountError::Restless { location: wanted.location() }.into())
    }

    /// Makes a look that is due, in the share's lane: whether the share goes on in another one.
    async fn has_gone_on(
        &self,
        wanted: &Wanted,
        lane: &Lane,
        look: Look,
        deadline: Instant,
    ) -> Result<bool, GroupError> {
        let patience = self.inner.deadlines.mount;
        let (inner, job, in_lane) = (Arc::clone(&self.inner), wanted.clone(), lane.clone());
        let work = move || inner.pool.find(&job, &in_lane, Some(&look)).map(|found| matches!(found, Found::Retired));
        Ok(self.inner.pool.workers().run_until(lane, "look at a share", patience, deadline, work).await??)
    }

    /// Starts the walk on threads of its own, which goes on whether its end is waited for or not.
    fn walk(
        &self,
        (root, now, lanes): (M::Entry, Owned, [Lane; 2]),
        group: u32,
        wanted: &Wanted,
        claim: Claim,
    ) -> Result<oneshot::Receiver<Result<(), Fault>>, WorkError> {
        let (answer, answered) = oneshot::channel();
        let (inner, location) = (Arc::clone(&self.inner), wanted.location());
        // A volume that is the whole share holds what the driver keeps for itself.
        let is_share = wanted.below.is_none();
        walk::thread(group, move || {
            let is_past = || lanes.iter().any(|lane| inner.pool.is_retired(lane));
            let ended = inner.give_all(&root, now, group, is_share, &is_past).map(|tally| {
                tracing::info!(
                    volume = location,
                    group,
                    changed = tally.changed,
                    left = tally.left,
                    "volume given to a group"
                );
                inner.note_refusals(&location, group, tally.first_left.as_deref());
            });
            // Before the answer: whoever hears it may begin anew.
            drop(claim);
            // The caller may have gone meanwhile; the next one sees the mark.
            let _ = answer.send(ended);
        })?;
        Ok(answered)
    }
}

/// What is given, and how.
#[derive(Debug, Clone, Copy)]
struct Gift {
    group: u32,
    change: FsGroupChange,
    /// Whether the volume may be at one place only.
    single: bool,
}

impl<M: Ownership, S: Servers> Inner<M, S> {
    /// Looks at the root directory, and gives it to the group if nothing else is to be given. Runs in the share's lane.
    fn prepare(&self, wanted: &Wanted, lane: &Lane, gift: Gift) -> Result<Prepared<M::Entry>, GroupError> {
        let Gift { group, change, single } = gift;
        let mounter = self.pool.mounter();
        let (tree, mounted_in) = match self.pool.find(wanted, lane, None)? {
            Found::Tree(tree, mounted_in) => (tree, mounted_in),
            Found::Retired => return Ok(Prepared::Retired),
            Found::Missing(_) => return Ok(Prepared::Missing),
        };
        if single {
            let table = self.pool.known().map_err(GroupError::Table)?;
            if wanted.elsewhere(&table, self.pool.root()).is_some() {
                // The publish is going to be refused; what the other pod uses stays as it is.
                return Ok(Prepared::Done);
            }
        }
        let failed = |source| GroupError::Change { location: wanted.location(), group, source };
        let (root, now) = mounter.root(&tree).map_err(failed)?;
        if is_given(now, group) {
            return Ok(Prepared::Done);
        }
        if now.mode & SET_GID != 0 && now.group != group {
            tracing::warn!(
                volume = wanted.location(),
                from = now.group,
                to = group,
                "the volume changes its group: the last pod's counts"
            );
        }
        if change == FsGroupChange::Always {
            return Ok(Prepared::Walk(root, now, [lane.clone(), mounted_in]));
        }
        match self.finish(&root, now, group) {
            Err(fault) if !is_refusal(&fault) => Err(failed(fault)),
            finished => {
                self.note_refusals(&wanted.location(), group, finished.err().map(|fault| fault.to_string()).as_deref());
                Ok(Prepared::Done)
            }
        }
    }

    /// Gives all of a volume to a group, its root last. What is past, because the share was mounted afresh, changes nothing more: others may be giving the
    /// volume to another group by now.
    fn give_all(
        &self,
        root: &M::Entry,
        now: Owned,
        group: u32,
        is_share: bool,
        is_past: &(dyn Fn() -> bool + Sync),
    ) -> Result<Tally, Fault> {
        let mounter = self.pool.mounter();
        let walk = |is_again| walk::walk(mounter, root, group, Scope { is_share, is_again }, is_past);
        let changes_hands = now.group != group;
        if changes_hands && let Err(fault) = self.begin(root, now, group) {
            // Where not even the root may be given, nothing else may.
            return if is_refusal(&fault) { Ok(Tally::of(&fault)) } else { Err(fault) };
        }
        let mut tally = walk(false)?;
        if changes_hands || now.mode & SET_GID == 0 {
            // While the root did not pass the group on, others may have made something in it that the walk had passed.
            tally.add(walk(true)?);
        }
        // Another node may have begun to give it to another group, and an application have changed its permissions.
        let found = mounter.look(root)?;
        if found.group != group {
            return Err(Fault::new("statx, which tells that the volume has another group meanwhile", Errno::AGAIN));
        }
        if is_past() {
            return Err(walk::given_up());
        }
        match mounter.set_mode(root, found.mode | DIRECTORY) {
            Err(fault) if is_refusal(&fault) => tally.add(Tally::of(&fault)),
            marked => marked?,
        }
        Ok(tally)
    }

    /// Gives the root to the group, but for what tells that all is given; takes that away where another group has left it.
    fn begin(&self, root: &M::Entry, now: Owned, group: u32) -> Result<(), Fault> {
        let mounter = self.pool.mounter();
        let is_marked = now.mode & SET_GID != 0;
        if is_marked {
            mounter.set_mode(root, now.mode & !SET_GID)?;
        }
        let given = mounter.set_group(root, group);
        if given.is_err() && is_marked {
            mounter.set_mode(root, now.mode)?;
        }
        given
    }

    fn finish(&self, root: &M::Entry, now: Owned, group: u32) -> Result<(), Fault> {
        let mounter = self.pool.mounter();
        if now.group != group {
            mounter.set_group(root, group)?;
        }
        mounter.set_mode(root, now.mode | DIRECTORY)
    }

    fn note_refusals(&self, location: &str, group: u32, first: Option<&str>) {
        if let Some(first) = first {
            self.metrics.group_refused.inc();
            tracing::warn!(
                volume = location,
                group,
                first,
                "not all of the volume could be given to the pod's group; an export that squashes root allows none of it"
            );
        }
    }
}

/// Whether a directory has been given to a group, with all that is to be given.
fn is_given(now: Owned, group: u32) -> bool {
    now.group == group && now.mode & DIRECTORY == DIRECTORY
}

/// Whether a server does not let this node change something that it may let others change.
fn is_refusal(fault: &Fault) -> bool {
    // EINVAL: a version 4 server that knows no such group.
    matches!(fault.errno, Errno::PERM | Errno::ACCESS | Errno::ROFS | Errno::OPNOTSUPP | Errno::INVAL)
}
