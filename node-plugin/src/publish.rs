//! `NodePublishVolume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use volume::names::layout;
use volume::{AccessMode, MountOptions, VolumeContext};

use crate::mounter::{Fault, Mounter};
use crate::mountinfo::{Entry, MountTable};
use crate::node::{Inner, Node, Published};
use crate::pool::{Found, Look, MountError};
use crate::recognise::{Verdict, Weaker, lane_of};
use crate::server::Servers;
use crate::share::{Share, Wanted};
use crate::target::{self, TargetError};
use crate::ticket::Ticket;
use crate::worker::{Lane, WorkError};

/// In so many generations of a share is a volume looked for.
const GENERATIONS: usize = 3;

/// A volume to be seen at a target.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The volume's id, as the caller calls it.
    pub volume: String,
    /// Where it is.
    pub context: VolumeContext,
    /// How to mount it.
    pub options: MountOptions,
    /// Who else may use it.
    pub mode: AccessMode,
    /// Whether writing is forbidden here, whatever the mode.
    pub read_only: bool,
    /// Where to mount it.
    pub target: PathBuf,
}

/// Why a volume is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The target path, or what is there.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Something is being done with the target.
    #[error("another operation on {} is under way", .0.display())]
    Busy(PathBuf),
    /// An unpublish of the same target came in between.
    #[error("{} was unpublished while it was being published", .0.display())]
    Revoked(PathBuf),
    /// The target shows something else.
    #[error("{} is taken by {found}", target.display())]
    OtherMount {
        /// The target.
        target: PathBuf,
        /// What is there.
        found: String,
    },
    /// The volume is for one pod, and another has it.
    #[error("volume {volume} may be used at one place only and is in use at {}", elsewhere.display())]
    InUse {
        /// The volume.
        volume: String,
        /// Where it is in use.
        elsewhere: PathBuf,
    },
    /// The target shows the volume, without a protection that was asked for.
    #[error(
        "{} shows the volume with {}, where {} is asked for: restart the pod, after every pod of this server on the node has ended",
        target.display(), weaker.found, weaker.asked
    )]
    Weaker {
        /// The target.
        target: PathBuf,
        /// What it lacks.
        weaker: Weaker,
    },
    /// The share's thread.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Server, export or directory.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The last step, on the node itself.
    #[error("cannot mount on {}", target.display())]
    Attach {
        /// The target.
        target: PathBuf,
        /// The call that failed.
        #[source]
        source: Fault,
    },
    /// The node's mount table.
    #[error("cannot read the mount table")]
    Table(#[source] std::io::Error),
}

impl<M: Mounter, S: Servers> Node<M, S> {
    /// Makes the volume visible at the target; does nothing if it is, in the same way, and then asks neither server nor resolver.
    ///
    /// Returns within the deadline for mounts, whatever the server does and in however many attempts. After an error nothing is mounted at the target, unless the error says that
    /// the work goes on; what was mounted there before stays.
    pub async fn publish(&self, request: Publish) -> Result<(), PublishError> {
        self.publish_until(request, self.deadline()).await
    }

    /// When a publish that begins now must have been answered.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.inner.deadlines.mount
    }

    /// The same as [`Self::publish`], for which some of the time has gone already.
    pub(crate) async fn publish_until(&self, request: Publish, until: Instant) -> Result<(), PublishError> {
        let (patience, left) = (self.inner.deadlines.mount, || until.saturating_duration_since(Instant::now()));
        let target = target::prepare_parent(&request.target)?;
        let wanted = wanted(&request, target.clone());
        let single = request.mode.is_single_target().then(|| request.volume.clone());
        let mut place = Some(self.take_place(&wanted, left()).await?);
        let pool = &self.inner.pool;
        if let Some(place) = place.as_mut().filter(|place| !place.made) {
            let table = pool.known().map_err(PublishError::Table)?;
            place.unknown = match self.inner.stands(&wanted, &table)? {
                Standing::Published(lane) => {
                    self.inner.remember(target, Published { volume: request.volume, lane });
                    return Ok(());
                }
                Standing::Free => false,
                Standing::Unknown => true,
            };
        }
        let (mut generations, mut doubted) = (0, None);
        while let Some(mut held) = place.take() {
            let lane = pool.usable_lane(&wanted.share, left()).await?;
            let look = match doubted.take() {
                Some(look) => Some(look),
                None => pool.look(&wanted, false, until).await,
            };
            let (inner, job, single, in_lane) = (Arc::clone(&self.inner), wanted.clone(), single.clone(), lane.clone());
            held.ticket.waits_in(&lane);
            let work = move || {
                let attempt = inner.publish(&job, single, &held, &in_lane, look.as_ref())?;
                held.kept = matches!(attempt, Attempt::Published(_));
                // Back to its owner where there is more to do; else given up before the answer goes out.
                Ok::<_, PublishError>((attempt, Some(held).filter(|held| !held.kept)))
            };
            let (attempt, again) = pool.workers().run_until(&lane, "mount", patience, until, work).await??;
            match attempt {
                Attempt::Published(lane) => {
                    self.inner.remember(target, Published { volume: request.volume, lane });
                    return Ok(());
                }
                Attempt::Retired => generations += 1,
                Attempt::Missing(error) => {
                    doubted = pool.look(&wanted, true, until).await;
                    if doubted.is_none() {
                        return Err(error.into());
                    }
                }
            }
            place = again.filter(|_| generations < GENERATIONS);
        }
        Err(PublishError::Mount(MountError::Restless { location: wanted.location() }))
    }

    /// Whether the target shows the volume already, as it is asked for. Only the mount table is asked.
    pub(crate) fn is_published(&self, request: &Publish) -> bool {
        let Ok(Some(target)) = target::resolve(&request.target) else { return false };
        let Ok(table) = self.inner.pool.known() else { return false };
        matches!(wanted(request, target).judge(&table, self.inner.pool.root()), Verdict::Published { .. })
    }

    /// Takes the target for this publish. One that an earlier publish has is taken from it where that waits for a server that is somewhere else by now.
    async fn take_place(&self, wanted: &Wanted, patience: Duration) -> Result<Place, PublishError> {
        let busy = || PublishError::Busy(wanted.target.clone());
        let (pool, targets) = (&self.inner.pool, &self.inner.targets);
        let guard = if let Some(guard) = targets.try_acquire(wanted.target.clone()) {
            guard
        } else {
            // Whatever comes of it: the question is whether the share has gone on without the other publish.
            let _ = pool.usable_lane(&wanted.share, patience).await;
            let is_past = |lane: Option<&Lane>| lane.is_some_and(|lane| pool.is_retired(lane));
            if !self.inner.tickets.revoke_if(&wanted.target, is_past) {
                return Err(busy());
            }
            targets.try_acquire(wanted.target.clone()).ok_or_else(busy)?
        };
        Place::take(self.inner.tickets.issue(&wanted.target, guard), wanted.target.clone())
    }
}

/// A target that is being published at. Dropped, it takes back the directory that was made for it.
struct Place {
    ticket: Ticket,
    target: PathBuf,
    /// Whether the directory was made just now, so that nothing can be mounted there.
    made: bool,
    /// Whether something is mounted there of which only the server can tell what it is.
    unknown: bool,
    kept: bool,
}

impl Place {
    fn take(ticket: Ticket, target: PathBuf) -> Result<Self, PublishError> {
        let made = ticket.redeem(|| target::make(&target)).ok_or_else(|| PublishError::Revoked(target.clone()))??;
        Ok(Self { ticket, target, made, unknown: false, kept: false })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made && !self.kept {
            // Unless it was revoked: then the target is somebody else's by now.
            let removed = self.ticket.redeem(|| target::remove(&self.target));
            if let Some(Err(error)) = removed {
                tracing::debug!(error = %error, "a target that was made for nothing stays");
            }
        }
    }
}

/// What came of an attempt in the share's lane.
enum Attempt {
    /// It is to be undone in this lane.
    Published(Lane),
    /// The share goes on in another lane from now on.
    Retired,
    /// Not there, as far as can be told without a look whether the share is.
    Missing(MountError),
}

/// What there is at a target that existed before.
enum Standing {
    Free,
    /// The volume; it is to be undone in this lane.
    Published(Lane),
    /// Perhaps the volume.
    Unknown,
}

pub(crate) fn wanted(request: &Publish, target: PathBuf) -> Wanted {
    let mut attributes = request.options.attributes();
    attributes.read_only |= request.read_only || request.mode.is_read_only();
    Wanted {
        share: Share::new(request.context.server.clone(), request.context.share.clone(), request.options.clone(), true),
        below: request.context.sub_dir.clone(),
        attributes,
        target,
    }
}

impl<M: Mounter, S: Servers> Inner<M, S> {
    /// What is at the target, if it is nothing that forbids to publish there.
    fn stands(&self, wanted: &Wanted, table: &MountTable) -> Result<Standing, PublishError> {
        let target = || wanted.target.clone();
        match wanted.judge(table, self.pool.root()) {
            Verdict::Free => {
                target::check(&wanted.target)?;
                Ok(Standing::Free)
            }
            Verdict::Unknown(_) => Ok(Standing::Unknown),
            Verdict::Published { otherwise } => {
                self.metrics.republished.inc();
                let volume = wanted.location();
                match otherwise {
                    None => tracing::info!(volume, target = %wanted.target.display(), "published already"),
                    Some(otherwise) => {
                        self.metrics.republished_otherwise.inc();
                        tracing::warn!(volume, target = %wanted.target.display(), otherwise, "published already, with other options: they change when the pod starts anew");
                    }
                }
                let entry = table.top(&wanted.target);
                Ok(Standing::Published(
                    entry
                        .map_or_else(|| self.pool.lane(&wanted.share), |entry| lane_of(entry, table, self.pool.root())),
                ))
            }
            Verdict::Weaker(weaker) => Err(PublishError::Weaker { target: target(), weaker }),
            Verdict::Other(found) => Err(PublishError::OtherMount { target: target(), found }),
        }
    }

    /// Runs in the share's lane. `single`: the volume's id if it may be at one place only. `look`: the one at the share that is due.
    ///
    /// The mount table is read only where it can matter: a target that did not exist a moment ago is free. And not before the share is in the pool,
    /// because its mounts are recognised by that.
    fn publish(
        &self,
        wanted: &Wanted,
        single: Option<String>,
        place: &Place,
        lane: &Lane,
        look: Option<&Look>,
    ) -> Result<Attempt, PublishError> {
        let (tree, undone_in) = match self.pool.find(wanted, lane, look)? {
            Found::Tree(tree, undone_in) => (tree, undone_in),
            Found::Retired => return Ok(Attempt::Retired),
            Found::Missing(error) => return Ok(Attempt::Missing(error)),
        };
        if place.unknown || single.is_some() {
            let table = self.pool.known().map_err(PublishError::Table)?;
            if place.unknown {
                match self.stands(wanted, &table)? {
                    Standing::Published(lane) => return Ok(Attempt::Published(lane)),
                    Standing::Free => {}
                    // The share is not in the pool even now: its volumes are mounted one by one, under their own names.
                    Standing::Unknown => {
                        let found = table.top(&wanted.target).map(Entry::location).unwrap_or_default();
                        return Err(PublishError::OtherMount { target: wanted.target.clone(), found });
                    }
                }
            }
            if let Some(volume) = single
                && let Some(elsewhere) = wanted.elsewhere(&table, self.pool.root())
            {
                return Err(PublishError::InUse { volume, elsewhere });
            }
        }
        let tree = match &wanted.below {
            Some(_) => tree,
            // What the driver keeps on the share is not for the pod that has all of it.
            None => self.pool.mounter().cover(tree, layout::ROOT).map_err(|source| {
                let location = format!("{}/{}", wanted.location().trim_end_matches('/'), layout::ROOT);
                MountError::Directory { location, source }
            })?,
        };
        // What was retired in this moment is not given to a pod any more.
        let is_past = || self.pool.is_retired(lane) || self.pool.is_retired(&undone_in);
        let attach = || (!is_past()).then(|| self.pool.mounter().attach(tree, &wanted.target));
        match place.ticket.redeem(attach) {
            None => Err(PublishError::Revoked(wanted.target.clone())),
            Some(None) => Ok(Attempt::Retired),
            Some(Some(Ok(()))) => Ok(Attempt::Published(undone_in)),
            Some(Some(Err(source))) => Err(PublishError::Attach { target: wanted.target.clone(), source }),
        }
    }
}
