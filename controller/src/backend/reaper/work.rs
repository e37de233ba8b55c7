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

/// A directory in the trash.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// Its path below the trash, for messages.
    pub(super) path: String,
    pub(super) name: Vec<u8>,
    pub(super) parent: FileHandle,
    pub(super) handle: FileHandle,
}

/// How work on a directory ended.
pub(super) enum Emptied {
    /// It is gone.
    Gone,
    /// These directories in it have to go first. Everything else that was seen is gone.
    After(Vec<Directory>),
    /// It cannot be removed.
    Stuck(String),
}

/// Removes a directory and what is in it, unless that has directories.
pub(super) async fn empty(share: &Share, folders: &Folders, directory: &Directory) -> Result<Emptied, OperationError> {
    let mut rounds = 0;
    while rounds < ROUNDS {
        let (page, same) = list(share, folders, directory).await?;
        if !same {
            return Ok(Emptied::Stuck(format!(
                "{}: another file system of the server is mounted there",
                directory.path
            )));
        }
        let mut inner = Vec::new();
        let mut names = Vec::new();
        for entry in page.entries {
            match inner_directory(share, directory, &entry).await? {
                Some(found) => inner.push(found),
                None => names.push(entry.name),
            }
        }
        if let Some(stuck) = remove(share, directory, &names).await? {
            return Ok(Emptied::Stuck(stuck));
        }
        if !inner.is_empty() {
            return Ok(Emptied::After(inner));
        }
        // A page that was not the last one is progress, however many there are.
        let seen_all = page.end || names.is_empty();
        if seen_all && let Some(emptied) = rmdir(share, directory).await? {
            return Ok(emptied);
        }
        rounds += u32::from(seen_all);
    }
    Ok(Emptied::Stuck(format!("{}: it fills again while it is emptied", directory.path)))
}

/// The first entries, and whether the directory is on the trash's own file system.
async fn list(
    share: &Share,
    folders: &Folders,
    directory: &Directory,
) -> Result<(DirectoryPage, bool), OperationError> {
    share.give_way().await;
    let request = Compound::new().put_handle(&directory.handle).get_attr().read_dir(None, PAGE);
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

/// Moves a directory that lies too deep to the top of the trash.
pub(super) async fn hoist(
    share: &Share,
    folders: &Folders,
    mut directory: Directory,
) -> Result<Option<Directory>, OperationError> {
    let name = unique_tree();
    match share.client().rename((&directory.parent, &directory.name), (&folders.trash, &name)).await {
        Ok(()) => {
            directory.name = name.clone().into_bytes();
            directory.path = name;
            directory.parent = folders.trash.clone();
            Ok(Some(directory))
        }
        Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
        Err(error) => Err(failed(share, "move to the top of the trash", &directory.path, error)),
    }
}

pub(super) fn failed(share: &Share, doing: &'static str, path: &str, error: Error) -> OperationError {
    share.failed(doing, format!("{ROOT}/{TRASH}/{path}"), error)
}
