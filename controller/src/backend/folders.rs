//! The driver's folders on a share: found, or made when the first volume is.

use nfs_client::{Attributes, Client, Compound, Error, FileHandle, NfsStatus, Principal};

use super::layout::{FOLDER_MODE, PLACES, RECORDS, RETAINED, ROOT, TRASH, unique_tree};
use super::share::Share;
use crate::error::OperationError;

/// Who but the owner may write.
const OTHERS_WRITE: u32 = 0o022;

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
        let made = share.client().ensure_dir(&root, ROOT, FOLDER_MODE).await;
        let made = made.map_err(|error| not_writable(share, error))?;
        Self::below(share, root, &made).await
    }

    /// Finds the folders; `None` if the share has none.
    pub(super) async fn find(share: &Share) -> Result<Option<Self>, OperationError> {
        let root = open(share).await?;
        match share.client().lookup(&root, ROOT).await {
            Ok(found) => Self::below(share, root, &found).await.map(Some),
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(not_usable(share, error)),
        }
    }

    async fn below(share: &Share, root: FileHandle, ours: &nfs_client::Found) -> Result<Self, OperationError> {
        let client = share.client();
        let problem = match ours.attributes.mode {
            _ if !ours.attributes.is_directory() => Some("is no directory"),
            Some(mode) if mode & OTHERS_WRITE != 0 => Some("can be written to by others"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(OperationError::Untrusted { location: share.at(ROOT), problem });
        }
        let attributes = client.getattr(&root).await;
        let attributes = attributes.map_err(|error| opening(share, error))?;
        let trash = folder(share, client, &ours.handle, TRASH).await?;
        refuse_anothers(share, &trash, ours.attributes.owner.as_ref()).await?;
        Ok(Self {
            records: folder(share, client, &ours.handle, RECORDS).await?,
            places: folder(share, client, &ours.handle, PLACES).await?,
            retained: folder(share, client, &ours.handle, RETAINED).await?,
            trash,
            fsid: attributes.fsid,
            root,
        })
    }
}

/// Refuses folders that somebody made who may write to the share: with records of his own he could have any directory of
/// the share deleted. Only what is made by the controller belongs to the user that the server takes it for; root may do
/// everything on the share anyway, so what belongs to root needs no request.
async fn refuse_anothers(share: &Share, trash: &FileHandle, owner: Option<&Principal>) -> Result<(), OperationError> {
    let Some(owner) = owner.filter(|owner| !is_root(owner)) else { return Ok(()) };
    let made = sample(share, trash).await;
    let made = made.map_err(|error| share.failed("make something in", format!("{ROOT}/{TRASH}"), error))?;
    if made.owner.is_none_or(|ours| ours == *owner) {
        return Ok(());
    }
    Err(OperationError::Untrusted { location: share.at(ROOT), problem: "belongs to another user than the controller" })
}

fn is_root(owner: &Principal) -> bool {
    match owner {
        Principal::Id(id) => *id == 0,
        Principal::Name(name) => name.split('@').next() == Some("root"),
    }
}

/// Makes something and removes it: NFS has no other way to learn what time it is on the server, or for whom it takes the
/// caller.
pub(super) async fn sample(share: &Share, trash: &FileHandle) -> Result<Attributes, Error> {
    let name = unique_tree();
    let request = Compound::new().put_handle(trash).create_symlink(&name, "sample").get_attr();
    let replies = match share.client().call(request.put_handle(trash).remove(&name)).await {
        Ok(replies) => replies,
        // The reaper was faster.
        Err(error) if error.is_status(NfsStatus::NoEnt) => error.completed().cloned().unwrap_or_default(),
        Err(error) => return Err(error),
    };
    Ok(replies.attributes(0).cloned().unwrap_or_default())
}

async fn folder(share: &Share, client: &Client, parent: &FileHandle, name: &str) -> Result<FileHandle, OperationError> {
    match client.ensure_dir(parent, name, FOLDER_MODE).await {
        Ok(found) => Ok(found.handle),
        Err(error) => Err(share.failed("make the folder", format!("{ROOT}/{name}"), error)),
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
