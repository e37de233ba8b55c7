//! The driver's folders on a share: found, or made when the first volume is.

use std::sync::Arc;

use nfs_client::{Client, Error, FileHandle, Found, NfsStatus};

use volume::ShareIdentity;

use super::expected::Expected;
use super::identity;
use super::layout::{FOLDER_MODE, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::site::Site;
use super::trust::{self, Distrust};
use crate::error::OperationError;

/// Ports below may be bound by privileged processes alone.
const LOWEST_UNRESERVED_PORT: u16 = 1024;

/// What the driver keeps on a share: handles of the share's root and of the folders in `.berth`.
pub(crate) struct Store {
    /// Where the share is.
    pub(crate) site: Arc<Site>,
    /// The share itself.
    pub(crate) root: FileHandle,
    /// File system of the root, if the server says.
    pub(crate) fsid: Option<(u64, u64)>,
    /// Which share this is; none as long as an earlier release made its folders and no volume was made since.
    pub(crate) identity: Option<ShareIdentity>,
    pub(crate) records: FileHandle,
    pub(crate) places: FileHandle,
    pub(crate) retained: FileHandle,
    pub(crate) trash: FileHandle,
}

impl Store {
    /// Finds the folders and makes those that are missing, unless volumes are expected there: then a share without any is not
    /// the one that it should be.
    pub(crate) async fn make(site: &Arc<Site>, expected: &Expected) -> Result<Self, OperationError> {
        let root = open(site).await?;
        if expected.has_volumes() && look(site, &root).await?.is_none() {
            return Err(OperationError::ShareEmpty { location: site.location() });
        }
        let mut ours = ensure(site, &root).await?;
        let mut distrust = trust::judge(site, &ours).await?;
        if distrust == Some(Distrust::Anothers) {
            trust::remove_empty(site, &root, &ours.handle).await;
            ours = ensure(site, &root).await?;
            distrust = trust::judge(site, &ours).await?;
        }
        if let Some(distrust) = distrust {
            return Err(distrust.into_error(site, ROOT));
        }
        let found = identity::read(site, &ours.handle).await?;
        expected.admits(found).map_err(|expected| replaced(site, found, expected))?;
        let found = match found {
            Some(found) => found,
            None => identity::give(site, &ours.handle).await?,
        };
        expected.found(found);
        Self::below(site, root, &ours, Some(found)).await
    }

    /// Finds the folders; `None` if the share has none.
    pub(crate) async fn find(site: &Arc<Site>) -> Result<Option<Self>, OperationError> {
        let root = open(site).await?;
        let Some(ours) = look(site, &root).await? else { return Ok(None) };
        if let Some(distrust) = trust::judge(site, &ours).await? {
            return Err(distrust.into_error(site, ROOT));
        }
        let identity = identity::read(site, &ours.handle).await?;
        Self::below(site, root, &ours, identity).await.map(Some)
    }

    /// Whether the volume that was made on a share of the identity `made_on` can be on this one, where that is known, or else
    /// whether the volumes `expected` there can.
    pub(crate) fn admits(&self, made_on: Option<ShareIdentity>, expected: &Expected) -> Result<(), OperationError> {
        match made_on {
            Some(made_on) if self.identity == Some(made_on) => Ok(()),
            Some(made_on) => Err(made_on),
            None => expected.admits(self.identity),
        }
        .map_err(|expected| replaced(&self.site, self.identity, expected))
    }

    async fn below(
        site: &Arc<Site>,
        root: FileHandle,
        ours: &Found,
        identity: Option<ShareIdentity>,
    ) -> Result<Self, OperationError> {
        let client = site.client();
        let attributes = client.getattr(&root).await;
        let attributes = attributes.map_err(|error| opening(site, error))?;
        Ok(Self {
            records: folder(site, client, ours, RECORDS).await?,
            places: folder(site, client, ours, PLACES).await?,
            retained: folder(site, client, ours, RETAINED).await?,
            trash: folder(site, client, ours, TRASH).await?,
            fsid: attributes.fsid,
            identity,
            site: Arc::clone(site),
            root,
        })
    }
}

/// `.berth`, if the share has it.
async fn look(site: &Site, root: &FileHandle) -> Result<Option<Found>, OperationError> {
    match site.client().lookup(root, ROOT).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
        Err(error) => Err(not_usable(site, error)),
    }
}

fn replaced(site: &Site, found: Option<ShareIdentity>, expected: ShareIdentity) -> OperationError {
    OperationError::ShareReplaced { location: site.location(), found, expected }
}

async fn ensure(site: &Site, root: &FileHandle) -> Result<Found, OperationError> {
    site.client().ensure_dir(root, ROOT, FOLDER_MODE).await.map_err(|error| not_writable(site, error))
}

async fn folder(site: &Site, client: &Client, ours: &Found, name: &str) -> Result<FileHandle, OperationError> {
    let made = client.ensure_dir(&ours.handle, name, FOLDER_MODE).await;
    let made = made.map_err(|error| site.failed("make the folder", format!("{ROOT}/{name}"), error))?;
    match trust::judge_folder(ours, &made) {
        None => Ok(made.handle),
        Some(distrust) => Err(distrust.into_error(site, &format!("{ROOT}/{name}"))),
    }
}

/// Walks to the site.
async fn open(site: &Site) -> Result<FileHandle, OperationError> {
    let components: Vec<&str> = site.path().components().collect();
    site.client().open_dir(&components).await.map_err(|error| {
        let missing = matches!(error.status(), Some(NfsStatus::NoEnt | NfsStatus::NotDir | NfsStatus::Symlink))
            || matches!(error, Error::Symlink { .. } | Error::NotDirectory { .. });
        if missing {
            let high_port = site.client().source_port().is_some_and(|port| port >= LOWEST_UNRESERVED_PORT);
            return OperationError::ShareMissing { location: site.location(), high_port, source: error };
        }
        opening(site, error)
    })
}

fn opening(site: &Site, error: Error) -> OperationError {
    OperationError::Storage { doing: "open the share", location: site.location(), source: error }
}

fn not_writable(site: &Site, error: Error) -> OperationError {
    match error.status() {
        Some(NfsStatus::Access | NfsStatus::Perm | NfsStatus::RoFs) => {
            OperationError::ShareReadOnly { location: site.location(), source: error }
        }
        _ => not_usable(site, error),
    }
}

fn not_usable(site: &Site, error: Error) -> OperationError {
    match error {
        Error::Symlink { .. } => OperationError::Untrusted { location: site.at(ROOT), problem: "is a symbolic link" },
        Error::NotDirectory { .. } => OperationError::Untrusted { location: site.at(ROOT), problem: "is no directory" },
        error => site.failed("make the folder", ROOT, error),
    }
}
