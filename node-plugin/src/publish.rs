//! `NodePublishVolume`.

use std::path::PathBuf;
use std::sync::Arc;

use volume::{AccessMode, MountOptions, VolumeContext};

use crate::mounter::{Fault, Mounter};
use crate::node::{Inner, Node, Published};
use crate::pool::MountError;
use crate::recognise::Verdict;
use crate::server::Servers;
use crate::share::{Share, Wanted};
use crate::target::{self, TargetError};
use crate::ticket::Ticket;
use crate::worker::{Lane, WorkError};

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
    /// Makes the volume visible at the target; does nothing if it is, in the same way.
    ///
    /// Returns within the deadline for mounts, whatever the server does. After an error nothing is mounted at the target, unless the error says that
    /// the work goes on.
    pub async fn publish(&self, request: Publish) -> Result<(), PublishError> {
        let target = target::prepare_parent(&request.target)?;
        let guard = self.inner.targets.try_acquire(target.clone()).ok_or_else(|| PublishError::Busy(target.clone()))?;
        let single = request.mode.is_single_target().then(|| request.volume.clone());
        let wanted = wanted(&request, target.clone());
        let (lane, ticket) = (wanted.share.lane(), self.inner.tickets.issue(&target));

        let (inner, job) = (Arc::clone(&self.inner), wanted.clone());
        let work = move || {
            let published = inner.publish(&job, single, &ticket);
            // In this order and not before: an unpublish must find either the ticket or a target that is free.
            drop(ticket);
            drop(guard);
            published
        };
        let lane = match self.inner.workers.run(&lane, "mount", self.inner.deadlines.mount, work).await {
            Ok(published) => published?,
            // What is mounted already needs no server.
            Err(WorkError::Stuck { .. }) if self.is_published(&wanted) => lane,
            Err(error) => return Err(error.into()),
        };
        self.inner.remember(target, Published { volume: request.volume, lane });
        Ok(())
    }

    fn is_published(&self, wanted: &Wanted) -> bool {
        let pool = self.inner.pool.root();
        self.inner.mounter.table().is_ok_and(|table| wanted.judge(&table, pool) == Verdict::Published)
    }
}

fn wanted(request: &Publish, target: PathBuf) -> Wanted {
    let mut attributes = request.options.attributes();
    attributes.read_only |= request.read_only || request.mode.is_read_only();
    Wanted {
        share: Share {
            server: request.context.server.clone(),
            path: request.context.share.clone(),
            options: request.options.clone(),
        },
        below: request.context.sub_dir.clone(),
        attributes,
        target,
    }
}

impl<M: Mounter, S: Servers> Inner<M, S> {
    /// Runs in the share's lane. `single`: the volume's id if it may be at one place only. Returns the lane in which the new mount is to be undone.
    fn publish(&self, wanted: &Wanted, single: Option<String>, ticket: &Ticket) -> Result<Lane, PublishError> {
        let revoked = || PublishError::Revoked(wanted.target.clone());
        let made = ticket.redeem(|| target::make(&wanted.target)).ok_or_else(revoked)??;
        let published = self.publish_at(wanted, made, single, ticket);
        if made && published.is_err() {
            // Unless it was revoked: then the target is somebody else's by now.
            let removed = ticket.redeem(|| target::remove(&wanted.target));
            if let Some(Err(error)) = removed {
                tracing::debug!(error = %error, "a target that was made for nothing stays");
            }
        }
        published
    }

    /// A target that did not exist a moment ago is free: only otherwise, and for the question of who else has the volume, the mount table is read.
    fn publish_at(
        &self,
        wanted: &Wanted,
        made: bool,
        single: Option<String>,
        ticket: &Ticket,
    ) -> Result<Lane, PublishError> {
        if !made || single.is_some() {
            let table = self.mounter.table().map_err(PublishError::Table)?;
            match wanted.judge(&table, self.pool.root()) {
                Verdict::Published => return Ok(wanted.share.lane()),
                Verdict::Other(found) => {
                    return Err(PublishError::OtherMount { target: wanted.target.clone(), found });
                }
                Verdict::Free => target::check(&wanted.target)?,
            }
            if let Some(volume) = single
                && let Some(elsewhere) = wanted.elsewhere(&table, self.pool.root())
            {
                return Err(PublishError::InUse { volume, elsewhere });
            }
        }
        let (tree, lane) = self.tree(wanted)?;
        let attached = ticket.redeem(|| self.mounter.attach(tree, &wanted.target));
        attached
            .ok_or_else(|| PublishError::Revoked(wanted.target.clone()))?
            .map_err(|source| PublishError::Attach { target: wanted.target.clone(), source })?;
        if lane != wanted.share.lane() {
            // A superblock of its own, which the pool has not seen.
            self.set_read_ahead(&wanted.share, &wanted.target);
        }
        Ok(lane)
    }
}
