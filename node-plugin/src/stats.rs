//! `NodeGetVolumeStats`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use volume::{MountOptions, VolumeId};

use crate::mounter::{Mounter, Usage};
use crate::mountinfo::{Entry, MountTable};
use crate::node::Node;
use crate::recognise::{lane_of, may_be_of};
use crate::server::Servers;
use crate::share::Share;
use crate::target::{self, TargetError};
use crate::worker::WorkError;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The path cannot be one of kubelet's.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nothing is mounted there.
    #[error("nothing is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    /// Something is, but not this volume.
    #[error("{} does not show volume {volume}", path.display())]
    OtherVolume {
        /// The path.
        path: PathBuf,
        /// The volume that was asked for.
        volume: String,
    },
    /// The share's thread.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The server's answer.
    #[error("cannot read how full {} is", path.display())]
    Statfs {
        /// The path.
        path: PathBuf,
        /// The answer.
        #[source]
        source: io::Error,
    },
    /// The node's mount table.
    #[error("cannot read the mount table")]
    Table(#[source] io::Error),
}

impl<M: Mounter, S: Servers> Node<M, S> {
    /// How full the file system of a published volume is. Returns within the deadline for statistics, whatever the server does.
    pub async fn stats(&self, volume: &str, path: &Path) -> Result<Usage, StatsError> {
        let not_mounted = || StatsError::NotMounted(path.to_owned());
        let at = match target::resolve(path) {
            Ok(resolved) => resolved.ok_or_else(not_mounted)?,
            // An odd path is one at which nothing is mounted.
            Err(TargetError::Shape(_)) => return Err(not_mounted()),
            Err(error) => return Err(error.into()),
        };
        let table = self.inner.pool.known().map_err(StatsError::Table)?;
        let entry = table.top(&at).ok_or_else(not_mounted)?;
        if !self.shows(volume, &at, entry, &table) {
            return Err(StatsError::OtherVolume { path: at, volume: volume.to_owned() });
        }
        let lane = lane_of(entry, &table, self.inner.pool.root());
        let (inner, place) = (Arc::clone(&self.inner), at.clone());
        let work = move || inner.pool.mounter().usage(&place);
        let usage = self.inner.pool.workers().run(&lane, "statfs", self.inner.deadlines.stats, work).await?;
        usage.map_err(|source| StatsError::Statfs { path: at, source })
    }

    /// What this process published it knows. Of what an earlier one published it knows what the id tells: the share; ids that people gave to
    /// volumes of their own tell nothing.
    fn shows(&self, volume: &str, at: &Path, entry: &Entry, table: &MountTable) -> bool {
        if let Some(published) = self.inner.published_at(at) {
            return published.volume == volume;
        }
        let Ok(id) = volume.parse::<VolumeId>() else { return true };
        let share = Share::new(id.server().clone(), id.share().clone(), MountOptions::default(), true);
        may_be_of(entry, &share, table, self.inner.pool.root())
    }
}
