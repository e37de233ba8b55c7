//! Whether the driver's folders on a share are the driver's.
//!
//! Whoever can write records could have any directory of the share deleted. On a share that everybody may write to,
//! anybody can make `.berth` before the driver does, or rename it and put his own in its place.

use nfs_client::{Error, FileHandle, Found, NfsStatus, Principal};

use super::layout::{CLOSED, PERMISSIONS, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::share::Share;
use crate::error::OperationError;

/// Who but the owner may write.
const OTHERS_WRITE: u32 = 0o022;
/// What others may do at all.
const OTHERS: u32 = 0o077;

/// Why the folders are not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distrust {
    NoDirectory,
    OpenToOthers,
    /// Somebody else's than the user's for whom the server takes the controller.
    Anothers,
}

impl Distrust {
    pub(super) fn into_error(self, share: &Share) -> OperationError {
        let problem = match self {
            Self::NoDirectory => "is no directory",
            Self::OpenToOthers => "is open to others",
            Self::Anothers => "belongs to another user than the controller",
        };
        OperationError::Untrusted { location: share.at(ROOT), problem }
    }
}

/// Judges `.berth`. What belongs to root is the driver's: root may do everything on the share anyway. What belongs to
/// another user is, if the server takes the controller for him and nobody else may enter.
///
/// Nothing is written but, the first time, one directory: a full disk must not stand in the way of a delete.
pub(super) async fn judge(share: &Share, ours: &Found) -> Result<Option<Distrust>, OperationError> {
    let mode = ours.attributes.mode.unwrap_or_default();
    if !ours.attributes.is_directory() {
        return Ok(Some(Distrust::NoDirectory));
    }
    if mode & OTHERS_WRITE != 0 {
        return Ok(Some(Distrust::OpenToOthers));
    }
    if ours.attributes.owner.as_ref().is_none_or(is_root) {
        return Ok(None);
    }
    if mode & OTHERS != 0 {
        return Ok(Some(Distrust::OpenToOthers));
    }
    match is_root_there(share, &ours.handle).await {
        // Not root, and inside a directory that its owner alone may enter.
        Ok(false) => Ok(None),
        Ok(true) => Ok(Some(Distrust::Anothers)),
        Err(error) if is_refused(&error) => Ok(Some(Distrust::Anothers)),
        Err(error) => Err(share.failed("look into", format!("{ROOT}/{CLOSED}"), error)),
    }
}

fn is_root(owner: &Principal) -> bool {
    match owner {
        Principal::Id(id) => *id == 0,
        Principal::Name(name) => name.split('@').next() == Some("root"),
    }
}

/// Whether the server takes the controller for root: only root may look into a directory that nobody may enter. NFS has
/// no other way to ask that changes nothing.
async fn is_root_there(share: &Share, ours: &FileHandle) -> Result<bool, Error> {
    let client = share.client();
    let closed = client.ensure_dir(ours, CLOSED, 0).await?;
    if closed.attributes.mode.is_none_or(|mode| mode & PERMISSIONS != 0) {
        return Ok(true);
    }
    match client.lookup(&closed.handle, "nothing").await {
        Err(error) if is_refused(&error) => Ok(false),
        Err(error) if !error.is_status(NfsStatus::NoEnt) => Err(error),
        _ => Ok(true),
    }
}

fn is_refused(error: &Error) -> bool {
    error.is_status(NfsStatus::Access) || error.is_status(NfsStatus::Perm)
}

/// Removes folders that hold nothing, as an export leaves them that was made to take the controller for somebody else:
/// nothing can be forged there, so they may be made anew. Says nothing of what it could not remove.
pub(super) async fn remove_empty(share: &Share, root: &FileHandle, ours: &FileHandle) {
    let client = share.client();
    for name in [RECORDS, PLACES, RETAINED, TRASH, CLOSED] {
        match client.remove(ours, name).await {
            Err(error) if !error.is_status(NfsStatus::NoEnt) => return,
            _ => {}
        }
    }
    if client.remove(root, ROOT).await.is_ok() {
        tracing::warn!(folder = share.at(ROOT), "made anew: it was another user's, and empty");
    }
}
