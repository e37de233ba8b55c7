//! The driver's folders on a share: found, or made when the first volume is.

use std::sync::Arc;

use nfs_client::{Client, Error, FileHandle, Found, NfsStatus};

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
    pub(crate) records: FileHandle,
    pub(crate) places: FileHandle,
    pub(crate) retained: FileHandle,
    pub(crate) trash: FileHandle,
}

impl Store {
    /// Finds the folders and makes those that are missing.
    pub(crate) async fn make(site: &Arc<Site>) -> Result<Self, OperationError> {
        let root = open(site).await?;
        let mut ours = ensure(site, &root).await?;
        let mut distrust = trust::judge(site, &ours).await?;
        if distrust == Some(Distrust::Anothers) {
            trust::remove_empty(site, &root, &ours.handle).await;
            ours = ensure(site, &root).await?;
            distrust = trust::judge(site, &ours).await?;
        }
        match distrust {
            None => Self::below(site, root, &ours).await,
            Some(distrust) => Err(distrust.into_error(site, ROOT)),
        }
    }

    /// Finds the folders; `None` if the share has none.
    pub(crate) async fn find(site: &Arc<Site>) -> Result<Option<Self>, OperationError> {
        let root = open(site).await?;
        match site.client().lookup(&root, ROOT).await {
            Ok(found) => match trust::judge(site, &found).await? {
                None => Self::below(site, root, &found).await.map(Some),
                Some(distrust) => Err(distrust.into_error(site, ROOT)),
            },
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(not_usable(site, error)),
        }
    }

    async fn below(site: &Arc<Site>, root: FileHandle, ours: &Found) -> Result<Self, OperationError> {
        let client = site.client();
        let attributes = client.getattr(&root).await;
        let attributes = attributes.map_err(|error| opening(site, error))?;
        Ok(Self {
            records: folder(site, client, ours, RECORDS).await?,
            places: folder(site, client, ours, PLACES).await?,
            retained: folder(site, client, ours, RETAINED).await?,
            trash: folder(site, client, ours, TRASH).await?,
            fsid: attributes.fsid,
            site: Arc::clone(site),
            root,
        })
    }
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
