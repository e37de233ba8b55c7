//! The driver's folders on a share: found, or made when the first volume is.

use nfs_client::{Client, Error, FileHandle, Found, NfsStatus};

use super::layout::{FOLDER_MODE, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::share::Share;
use super::trust::{self, Distrust};
use crate::error::OperationError;

/// Ports below may be bound by privileged processes alone.
const LOWEST_UNRESERVED_PORT: u16 = 1024;

/// Handles of the share's root and of the folders in `.berth`.
pub(super) struct Folders {
    /// The share itself.
    pub(super) root: FileHandle,
    /// File system of the root, if the server says.
    pub(super) fsid: Option<(u64, u64)>,
    pub(super) records: FileHandle,
    pub(super) places: FileHandle,
    pub(super) retained: FileHandle,
    pub(super) trash: FileHandle,
}

impl Folders {
    /// Finds the folders and makes those that are missing.
    pub(super) async fn make(share: &Share) -> Result<Self, OperationError> {
        let root = open(share).await?;
        let mut ours = ensure(share, &root).await?;
        let mut distrust = trust::judge(share, &ours).await?;
        if distrust == Some(Distrust::Anothers) {
            trust::remove_empty(share, &root, &ours.handle).await;
            ours = ensure(share, &root).await?;
            distrust = trust::judge(share, &ours).await?;
        }
        match distrust {
            None => Self::below(share, root, &ours).await,
            Some(distrust) => Err(distrust.into_error(share, ROOT)),
        }
    }

    /// Finds the folders; `None` if the share has none.
    pub(super) async fn find(share: &Share) -> Result<Option<Self>, OperationError> {
        let root = open(share).await?;
        match share.client().lookup(&root, ROOT).await {
            Ok(found) => match trust::judge(share, &found).await? {
                None => Self::below(share, root, &found).await.map(Some),
                Some(distrust) => Err(distrust.into_error(share, ROOT)),
            },
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(not_usable(share, error)),
        }
    }

    async fn below(share: &Share, root: FileHandle, ours: &Found) -> Result<Self, OperationError> {
        let client = share.client();
        let attributes = client.getattr(&root).await;
        let attributes = attributes.map_err(|error| opening(share, error))?;
        Ok(Self {
            records: folder(share, client, ours, RECORDS).await?,
            places: folder(share, client, ours, PLACES).await?,
            retained: folder(share, client, ours, RETAINED).await?,
            trash: folder(share, client, ours, TRASH).await?,
            fsid: attributes.fsid,
            root,
        })
    }
}

async fn ensure(share: &Share, root: &FileHandle) -> Result<Found, OperationError> {
    share.client().ensure_dir(root, ROOT, FOLDER_MODE).await.map_err(|error| not_writable(share, error))
}

async fn folder(share: &Share, client: &Client, ours: &Found, name: &str) -> Result<FileHandle, OperationError> {
    let made = client.ensure_dir(&ours.handle, name, FOLDER_MODE).await;
    let made = made.map_err(|error| share.failed("make the folder", format!("{ROOT}/{name}"), error))?;
    match trust::judge_folder(ours, &made) {
        None => Ok(made.handle),
        Some(distrust) => Err(distrust.into_error(share, &format!("{ROOT}/{name}"))),
    }
}

/// Walks to the share.
async fn open(share: &Share) -> Result<FileHandle, OperationError> {
    let components: Vec<&str> = share.path().components().collect();
    share.client().open_dir(&components).await.map_err(|error| {
        let missing = matches!(error.status(), Some(NfsStatus::NoEnt | NfsStatus::NotDir | NfsStatus::Symlink))
            || matches!(error, Error::Symlink { .. } | Error::NotDirectory { .. });
        if missing {
            let high_port = share.client().source_port().is_some_and(|port| port >= LOWEST_UNRESERVED_PORT);
            return OperationError::ShareMissing { location: share.location(), high_port, source: error };
        }
        opening(share, error)
    })
}

fn opening(share: &Share, error: Error) -> OperationError {
    OperationError::Storage { doing: "open the share", location: share.location(), source: error }
}

fn not_writable(share: &Share, error: Error) -> OperationError {
    match error.status() {
        Some(NfsStatus::Access | NfsStatus::Perm | NfsStatus::RoFs) => {
            OperationError::ShareReadOnly { location: share.location(), source: error }
        }
        _ => not_usable(share, error),
    }
}

fn not_usable(share: &Share, error: Error) -> OperationError {
    match error {
        Error::Symlink { .. } => OperationError::Untrusted { location: share.at(ROOT), problem: "is a symbolic link" },
        Error::NotDirectory { .. } => {
            OperationError::Untrusted { location: share.at(ROOT), problem: "is no directory" }
        }
        error => share.failed("make the folder", ROOT, error),
    }
}
