//! The requests by which one directory of the trash is emptied.

use futures::future::try_join;
use nfs_client::{Compound, DirectoryPage, Entry, Error, FileHandle, NfsStatus};

use crate::backend::folders::Folders;
use crate::backend::layout::{ROOT, TRASH, unique_tree};
use crate::backend::share::Share;
use crate::error::OperationError;

/// Bytes of entries that are read at a time; some hundred entries, which several requests then remove.
const PAGE: u32 = 16 * 1024;

/// How often a directory that fills again while it is emptied is read anew.
const ROUNDS: u32 = 8;

/// Pages in a row of which something stays, after which a directory is given up for this pass.
const PAGES_KEPT: u32 = 1024;

/// A directory in the trash.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// Its path below the trash, for messages.
    pub(super) path: String,
    pub(super) name: Vec<u8>,
    pub(super) parent: FileHandle,
    pub(super) handle: FileHandle,
    /// Of what is listed up to here, something stays. None: of nothing yet.
    pub(super) kept: Option<DirectoryPage>,
}

/// How work on a directory ended.
pub(super) enum Emptied {
    /// It is gone.
    Gone,
    /// Directories in it have to go first.
    After(After),
    /// It cannot be removed.
    Stuck(String),
    /// Its handle leads nowhere any more: somebody else has removed it, or the server gives other handles now.
    Lost,
}

/// What of a page of a directory is left.
pub(super) struct After {
    pub(super) inner: Vec<Directory>,
    /// Why something else of it stays.
    pub(super) reason: Option<String>,
    /// Where the listing goes on, should something of it stay.
    pub(super) page: DirectoryPage,
}

/// Removes a directory and what is in it, unless that has directories. What the server says of this directory, or of
/// something in it, is no reason to stop anywhere else. An error is what concerns all of them: the connection or the session
/// has failed, or the server asks everybody to wait.
pub(super) async fn empty(share: &Share, folders: &Folders, directory: &Directory) -> Result<Emptied, OperationError> {
    match work(share, folders, directory).await {
        Err(error) => of_one(error),
        done => done,
    }
}

/// What a failed request says of the directory that it was about.
fn of_one(error: OperationError) -> Result<Emptied, OperationError> {
    match error.nfs_status() {
        Some(NfsStatus::NoEnt) => Ok(Emptied::Gone),
        Some(status) if status.is_lost_handle() => Ok(Emptied::Lost),
        Some(status) if !status.asks_to_wait() && !status.is_lost_session() => Ok(Emptied::Stuck(error.message())),
        _ => Err(error),
    }
}

async fn work(share: &Share, folders: &Folders, directory: &Directory) -> Result<Emptied, OperationError> {
    let (mut rounds, mut pages_kept) = (0, 0);
    let (mut previous, mut reason) = (directory.kept.clone(), None);
    while rounds < ROUNDS && pages_kept < PAGES_KEPT {
        let (mut page, same) = list(share, folders, directory, previous.as_ref()).await?;
        if !same {
            return Ok(Emptied::Stuck(format!(
                "{}: another file system of the server is mounted there",
                directory.path
            )));
        }
        let (mut inner, mut names, mut stays) = (Vec::new(), Vec::new(), None);
        for entry in std::mem::take(&mut page.entries) {
            match inner_directory(share, directory, &entry).await {
                Ok(Some(found)) => inner.push(found),
                Ok(None) => names.push(entry.name),
                // What is not there any more the next listing tells.
                Err(error) => {
                    if let Emptied::Stuck(why) = of_one(error)? {
                        stays = Some(why);
                    }
                }
            }
        }
        stays = remove(share, directory, &names).await?.or(stays);
        if !inner.is_empty() {
            return Ok(Emptied::After(After { inner, reason: stays.or(reason), page }));
        }
        if stays.is_some() {
            reason = reason.or(stays);
            pages_kept += 1;
            if page.end {
                break;
            }
            previous = Some(page);
            continue;
        }
        // A page that was not the last one is progress, however many there are.
        let seen_all = page.end || names.is_empty();
        if seen_all && previous.is_some() {
            break;
        }
        if seen_all && let Some(emptied) = rmdir(share, directory).await? {
            return Ok(emptied);
        }
        rounds += u32::from(seen_all);
    }
    let reason = match (reason, previous) {
        (Some(reason), _) => reason,
        (None, Some(_)) => format!("{}: something in it cannot be removed", directory.path),
        (None, None) => format!("{}: it fills again while it is emptied", directory.path),
    };
    Ok(Emptied::Stuck(reason))
}

/// The first entries, or those after `previous`, and whether the directory is on the trash's own file system.
async fn list(
    share: &Share,
    folders: &Folders,
    directory: &Directory,
    previous: Option<&DirectoryPage>,
) -> Result<(DirectoryPage, bool), OperationError> {
    share.give_way().await;
    let request = Compound::new().put_handle(&directory.handle).get_attr().read_dir(previous, PAGE);
    let replies = share.client().call(request).await;
    let replies = replies.map_err(|error| failed(share, "list", &directory.path, error))?;
    let fsid = replies.attributes(0).and_then(|attributes| attributes.fsid);
    let same = fsid.is_none() || folders.fsid.is_none() || fsid == folders.fsid;
    Ok((replies.page().cloned().unwrap_or_default(), same))
}

/// The entry as a directory, if it is one.
async fn inner_directory(
    share: &Share,
    directory: &Directory,
    entry: &Entry,
) -> Result<Option<Directory>, OperationError> {
    let mut attributes = entry.attributes.clone();
    if attributes.file_type.is_none() || (attributes.is_directory() && attributes.handle.is_none()) {
        match share.client().entry(&directory.handle, &entry.name).await {
            Ok(found) => {
                attributes = found.attributes;
                attributes.handle = Some(found.handle);
            }
            Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(None),
            Err(error) => return Err(failed(share, "look at", &directory.path, error)),
        }
    }
    let is_directory = attributes.is_directory();
    Ok(attributes.handle.filter(|_| is_directory).map(|handle| Directory {
        path: format!("{}/{}", directory.path, String::from_utf8_lossy(&entry.name)),
        name: entry.name.clone(),
        parent: directory.handle.clone(),
        handle,
        kept: None,
    }))
}

/// Removes entries that are no directories, in two requests at a time. The reason, if one stays.
async fn remove(share: &Share, directory: &Directory, names: &[Vec<u8>]) -> Result<Option<String>, OperationError> {
    if names.is_empty() {
        return Ok(None);
    }
    share.give_way().await;
    let (one, other) = names.split_at(names.len() / 2);
    let client = share.client();
    let both = try_join(client.remove_many(&directory.handle, one), client.remove_many(&directory.handle, other)).await;
    let (one, other) = both.map_err(|error| failed(share, "remove entries of", &directory.path, error))?;
    let kept = one.kept.into_iter().chain(other.kept).next();
    Ok(kept.map(|(name, status)| format!("{}/{}: {status}", directory.path, String::from_utf8_lossy(&name))))
}

/// Removes the directory itself; `None` if it has entries again.
pub(super) async fn rmdir(share: &Share, directory: &Directory) -> Result<Option<Emptied>, OperationError> {
    share.give_way().await;
    match share.client().remove(&directory.parent, &directory.name).await {
        Ok(()) => Ok(Some(Emptied::Gone)),
        Err(error) => match error.status() {
            Some(NfsStatus::NoEnt) => Ok(Some(Emptied::Gone)),
            Some(NfsStatus::NotEmpty | NfsStatus::Exist) => Ok(None),
            Some(status) if !error.is_transient() => Ok(Some(Emptied::Stuck(format!("{}: {status}", directory.path)))),
            _ => Err(failed(share, "remove", &directory.path, error)),
        },
    }
}

/// What became of a directory that lay too deep.
pub(super) enum Hoisted {
    /// It lies at the top of the trash now.
    Moved(Directory),
    Gone,
    /// The server does not let it be moved.
    Stuck(String),
}

/// Moves a directory that lies too deep to the top of the trash.
pub(super) async fn hoist(
    share: &Share,
    folders: &Folders,
    mut directory: Directory,
) -> Result<Hoisted, OperationError> {
    let name = unique_tree();
    match share.client().rename((&directory.parent, &directory.name), (&folders.trash, &name)).await {
        Ok(()) => {
            directory.name = name.clone().into_bytes();
            directory.path = name;
            directory.parent = folders.trash.clone();
            Ok(Hoisted::Moved(directory))
        }
        Err(error) => match of_one(failed(share, "move to the top of the trash", &directory.path, error))? {
            Emptied::Stuck(reason) => Ok(Hoisted::Stuck(reason)),
            // It was there a moment ago, so the next pass finds it where it is now.
            _ => Ok(Hoisted::Gone),
        },
    }
}

pub(super) fn failed(share: &Share, doing: &'static str, path: &str, error: Error) -> OperationError {
    share.failed(doing, format!("{ROOT}/{TRASH}/{path}"), error)
}
