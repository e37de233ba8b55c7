//! Whether the driver's folders on a share are the driver's.
//!
//! Whoever can write records could have any directory of the share deleted. On a share that everybody may write to,
//! anybody can make `.berth` before the driver does, or rename it and put his own in its place.

use nfs_client::{Attributes, Error, FileHandle, Found, NfsStatus, Principal, SetAttributes};

use super::form::Form;
use super::layout::{CLOSED, CLOSED_MODE, FOLDER_MODE, IDENTITY, PERMISSIONS, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::reopened;
use super::site::Site;
use crate::error::OperationError;

/// What others may do. The driver has always made its folders for its own use alone; directories that it makes for others
/// are root's too, and could be renamed.
const OTHERS: u32 = 0o077;

/// With which of that they could write records.
const OTHERS_WRITE: u32 = 0o022;

/// Why the folders are not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    NoDirectory,
    OpenToOthers,
    /// Somebody else's than the user's for whom the server takes the controller.
    Anothers,
}

impl Distrust {
    pub(crate) fn into_error(self, site: &Site, folder: &str) -> OperationError {
        let problem = match self {
            Self::NoDirectory => "is no directory",
            Self::OpenToOthers => "is open to others",
            Self::Anothers => "belongs to another user than the controller",
        };
        OperationError::Untrusted { location: site.at(folder), problem }
    }
}

/// Judges `.berth`. What belongs to root is the driver's: root may do everything on the share anyway. What belongs to
/// another user is, if the server takes the controller for that user.
///
/// Nothing is made but, the first time, one directory: a full disk must not stand in the way of a delete. What a pod's `fsGroup`
/// has opened passes; whoever asks has it closed. So do permissions of `forced`, which the server gives to others on everything.
pub(crate) async fn judge(site: &Site, ours: &Found, forced: u32) -> Result<Option<Distrust>, OperationError> {
    if !ours.attributes.is_directory() {
        return Ok(Some(Distrust::NoDirectory));
    }
    if is_open(&ours.attributes, forced) && !reopened::is_opened(&ours.attributes, FOLDER_MODE) {
        return Ok(Some(Distrust::OpenToOthers));
    }
    if ours.attributes.owner.as_ref().is_none_or(is_root) {
        return Ok(None);
    }
    match is_owner_there(site, ours).await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(Distrust::Anothers)),
        Err(error) if is_refused(&error) => Ok(Some(Distrust::Anothers)),
        Err(error) => Err(site.failed("look into", format!("{ROOT}/{CLOSED}"), error)),
    }
}

/// Judges a folder in `.berth`.
pub(crate) fn judge_folder(ours: &Found, folder: &Found, forced: u32) -> Option<Distrust> {
    if is_open(&folder.attributes, forced) {
        return Some(Distrust::OpenToOthers);
    }
    (folder.attributes.owner != ours.attributes.owner).then_some(Distrust::Anothers)
}

/// Whether others than the owner may do anything there but what is `forced`.
pub(crate) fn is_open(attributes: &Attributes, forced: u32) -> bool {
    attributes.mode.is_some_and(|mode| mode & OTHERS & !forced != 0)
}

/// Whether others than the owner may write to a directory of this mode.
pub(crate) fn is_writable(mode: u32) -> bool {
    mode & OTHERS_WRITE != 0
}

/// Whether both are the same user. Servers that map ids tell root by name or by number, as the mapping works at the moment.
pub(crate) fn is_same(one: &Principal, other: &Principal) -> bool {
    one == other || (is_root(one) && is_root(other))
}

fn is_root(owner: &Principal) -> bool {
    match owner {
        Principal::Id(id) => *id == 0,
        Principal::Name(name) => name.split('@').next() == Some("root"),
    }
}

/// Whether the server takes the controller for the owner, who is not root: only root may look into a directory that nobody
/// may enter, and nobody else but the owner may set the mode. NFS has no way to ask.
async fn is_owner_there(site: &Site, ours: &Found) -> Result<bool, Error> {
    let client = site.client();
    let mut closed = client.ensure_dir(&ours.handle, CLOSED, CLOSED_MODE).await?;
    if reopened::is_opened(&closed.attributes, CLOSED_MODE) {
        closed.attributes = client.setattr(&closed.handle, SetAttributes::mode(CLOSED_MODE)).await?;
    }
    if closed.attributes.mode.is_none_or(|mode| mode & PERMISSIONS != 0) {
        return Ok(false);
    }
    match client.lookup(&closed.handle, "nothing").await {
        Err(error) if is_refused(&error) => {}
        Err(error) if !error.is_status(NfsStatus::NoEnt) => return Err(error),
        _ => return Ok(false),
    }
    // The one it has: it may have to be closed after what lies in it.
    let mode = ours.attributes.mode.unwrap_or(FOLDER_MODE);
    client.setattr(&ours.handle, SetAttributes::mode(mode)).await.map(|_| true)
}

fn is_refused(error: &Error) -> bool {
    error.is_status(NfsStatus::Access) || error.is_status(NfsStatus::Perm)
}

/// Removes folders that hold nothing, as an export leaves them that was made to take the controller for somebody else:
/// nothing can be forged there, so they may be made anew. Says nothing of what it could not remove.
pub(crate) async fn remove_empty(site: &Site, root: &FileHandle, ours: &FileHandle) {
    match are_empty(site, ours).await {
        Ok(Some(names)) => {
            let client = site.client();
            for name in names {
                if client.remove(ours, &name).await.is_err() {
                    return;
                }
            }
            if client.remove(root, ROOT).await.is_ok() {
                tracing::warn!(folder = site.at(ROOT), "made anew: it was another user's, and empty");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(folder = site.at(ROOT), %error, "cannot see what is in it"),
    }
}

/// The names of what is in `.berth`, if that is nothing but folders of the driver in which nothing is, and the
/// share's identity.
async fn are_empty(site: &Site, ours: &FileHandle) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let client = site.client();
    let mut names = Vec::new();
    for entry in client.read_dir(ours).await? {
        let is_entry = |form: Form| entry.attributes.file_type == Some(form.file_type());
        if entry.name == IDENTITY.as_bytes() && [Form::Link, Form::File].into_iter().any(is_entry) {
            names.push(entry.name);
            continue;
        }
        let known = [RECORDS, PLACES, RETAINED, TRASH, CLOSED].iter().any(|name| name.as_bytes() == entry.name);
        let Some(handle) = entry.attributes.handle.as_ref().filter(|_| known && entry.attributes.is_directory()) else {
            return Ok(None);
        };
        if !client.read_dir_page(handle, None).await?.entries.is_empty() {
            return Ok(None);
        }
        names.push(entry.name);
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_root_by_name_and_by_number_and_nobody_else_is() {
        let named = |name: &str| Principal::Name(name.to_owned());
        assert!(is_same(&Principal::Id(0), &named("root@example.com")));
        assert!(is_same(&named("app@example.com"), &named("app@example.com")));
        assert!(!is_same(&Principal::Id(0), &Principal::Id(1000)));
        assert!(!is_same(&named("root@example.com"), &named("rooted@example.com")));
        assert!(!is_same(&named("app@example.com"), &Principal::Id(1000)), "nobody can tell");
    }
}
