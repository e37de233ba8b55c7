//! The requests by which one directory of the trash is emptied.

use std::sync::Arc;

use futures::future::try_join;
use nfs_client::{Attributes, Compound, DirectoryPage, Entry, Error, FileHandle, NfsStatus, check_name};

use super::inside::{Inside, Trouble};
use crate::backend::directory::store::{ROOT, Share, Store, TRASH};
use crate::error::OperationError;

/// Bytes of entries that are read at a time, where the session allows; some hundred entries, which several requests then
/// remove.
const PAGE: u32 = 16 * 1024;

/// How often a directory that fills again while it is emptied is read anew.
const ROUNDS: u32 = 8;

/// Pages in a row of which something stays, after which a directory is given up for this pass.
const PAGES_KEPT: u32 = 1024;

/// A directory in the trash.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) name: Vec<u8>,
    /// The directory that it lies in.
    pub(super) parent: Arc<Inside>,
    pub(super) inside: Arc<Inside>,
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

impl Directory {
    /// A directory of this name and handle in another.
    pub(super) fn new(parent: &Arc<Inside>, name: Vec<u8>, handle: FileHandle) -> Self {
        let inside = parent.directory(&name, handle);
        Self { name, parent: Arc::clone(parent), inside, kept: None }
    }

    pub(super) fn path(&self) -> &str {
        &self.inside.path
    }
}

/// Removes a directory and what is in it, unless that has directories. What the server says of this directory, or of
/// something in it, is no reason to stop anywhere else. An error is what concerns all of them: the connection or the session
/// has failed, or the server asks everybody to wait.
pub(super) async fn empty(share: &Share, store: &Store, directory: &Directory) -> Result<Emptied, OperationError> {
    match work(share, store, directory).await.or_else(of_one)? {
        // Linux calls a handle stale where it checks the directories above (subtree_check) and finds one closed to the user.
        Emptied::Lost => Ok(directory.inside.unknown_to_owner(share).await.map_or(Emptied::Lost, Emptied::Stuck)),
        emptied => Ok(emptied),
    }
}

/// What trouble says of the directory that it was about.
pub(super) fn of_one(trouble: Trouble) -> Result<Emptied, OperationError> {
    let error = match trouble {
        Trouble::Refused(refusal) => return Ok(Emptied::Stuck(refusal.reason())),
        Trouble::Failed(error) => error,
    };
    match error.nfs_status() {
        Some(NfsStatus::NoEnt) => Ok(Emptied::Gone),
        Some(status) if status.is_lost_handle() => Ok(Emptied::Lost),
        // A server in its grace period puts everybody off; one that says DELAY speaks of this object alone, which a client that
        // is gone may still hold.
        Some(status) if status != NfsStatus::Grace && !status.is_lost_session() => Ok(Emptied::Stuck(error.message())),
        _ => Err(error),
    }
}

async fn work(share: &Share, store: &Store, directory: &Directory) -> Result<Emptied, Trouble> {
    let (mut rounds, mut pages_kept) = (0, 0);
    let (mut previous, mut reason) = (directory.kept.clone(), None);
    while rounds < ROUNDS && pages_kept < PAGES_KEPT {
        let (mut page, same) = list(share, store, &directory.inside, previous.as_ref()).await?;
        if !same {
            return Ok(Emptied::Stuck(format!(
                "{}: another file system of the server is mounted there",
                directory.path()
            )));
        }
        let (mut inner, mut names, mut stays) = (Vec::new(), Vec::new(), None);
        for entry in std::mem::take(&mut page.entries) {
            if let Some(why) = unsendable(share, &directory.inside, &entry) {
                stays = Some(why);
                continue;
            }
            match inner_directory(share, &directory.inside, &entry).await {
                Ok(Some(found)) => inner.push(found),
                Ok(None) => names.push(entry.name),
                // What is not there any more the next listing tells.
                Err(trouble) => {
                    if let Emptied::Stuck(why) = of_one(trouble)? {
                        stays = Some(why);
                    }
                }
            }
        }
        stays = remove(share, &directory.inside, &names).await?.or(stays);
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
        (None, Some(_)) => format!("{}: something in it cannot be removed", directory.path()),
        (None, None) => format!("{}: it fills again while it is emptied", directory.path()),
    };
    Ok(Emptied::Stuck(reason))
}

/// The first entries, or those after `previous`, and whether the directory is on the trash's own file system.
pub(super) async fn list(
    share: &Share,
    store: &Store,
    inside: &Inside,
    previous: Option<&DirectoryPage>,
) -> Result<(DirectoryPage, bool), Trouble> {
    let failed = |error| failed(share, "list", &inside.path, error);
    share.traffic().give_way().await;
    loop {
        let speaker = inside.speaker();
        let size = speaker.client.page_size(PAGE).await.map_err(failed)?;
        let request = Compound::new().put_handle(&inside.handle).get_attr().read_dir(previous, size);
        let error = match speaker.client.call(request).await {
            Ok(replies) => {
                let attributes = replies.attributes(0);
                attributes.inspect(|attributes| inside.remember(attributes));
                return Ok((replies.page().cloned().unwrap_or_default(), is_same(store, attributes)));
            }
            Err(error) => error,
        };
        match error.status().filter(|status| status.is_refusal()) {
            Some(status) => {
                let seen = error.completed().and_then(|completed| completed.attributes(0));
                seen.inspect(|attributes| inside.remember(attributes));
                if !is_same(store, seen) {
                    // Whoever speaks for its owner must not change what is mounted there.
                    return Ok((DirectoryPage::default(), false));
                }
                inside.open(share, &speaker, status).await?;
            }
            None => return Err(failed(error).into()),
        }
    }
}

/// Whether a directory lies on the file system of the share, as far as the server says.
fn is_same(store: &Store, seen: Option<&Attributes>) -> bool {
    let fsid = seen.and_then(|attributes| attributes.fsid);
    fsid.is_none() || store.fsid.is_none() || fsid == store.fsid
}

/// Why an entry stays that has a name which no request may have, such as one that was written by another protocol and is
/// too long for this one.
pub(super) fn unsendable(share: &Share, inside: &Inside, entry: &Entry) -> Option<String> {
    let error = check_name(&entry.name).err()?;
    Some(failed(share, "remove", &inside.path_of(&entry.name), error).message())
}

/// The entry as a directory, if it is one.
pub(super) async fn inner_directory(
    share: &Share,
    inside: &Arc<Inside>,
    entry: &Entry,
) -> Result<Option<Directory>, Trouble> {
    let mut attributes = entry.attributes.clone();
    while attributes.file_type.is_none() || (attributes.is_directory() && attributes.handle.is_none()) {
        let speaker = inside.speaker();
        let error = match speaker.client.entry(&inside.handle, &entry.name).await {
            Ok(found) => {
                attributes = found.attributes;
                attributes.handle = Some(found.handle);
                break;
            }
            Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(None),
            Err(error) => error,
        };
        match error.status().filter(|status| status.is_refusal()) {
            Some(status) => inside.open(share, &speaker, status).await?,
            None => return Err(failed(share, "look at", &inside.path, error).into()),
        }
    }
    let is_directory = attributes.is_directory();
    let handle = attributes.handle.filter(|_| is_directory);
    Ok(handle.map(|handle| Directory::new(inside, entry.name.clone(), handle)))
}

/// Removes entries that are no directories, in two requests at a time. The reason, if one stays.
async fn remove(share: &Share, inside: &Inside, names: &[Vec<u8>]) -> Result<Option<String>, OperationError> {
    if names.is_empty() {
        return Ok(None);
    }
    share.traffic().give_way().await;
    let (one, other) = names.split_at(names.len() / 2);
    let mut kept = Kept::default();
    let both = try_join(remove_part(share, inside, one), remove_part(share, inside, other)).await?;
    kept.add(both.0);
    kept.add(both.1);
    Ok(kept.reason)
}

/// Entries that stay.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) count: usize,
    /// Why the first one does.
    pub(super) reason: Option<String>,
}

impl Kept {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.reason = self.reason.take().or(more.reason);
    }

    fn one(&mut self, reason: String) {
        self.add(Self { count: 1, reason: Some(reason) });
    }
}

/// Removes entries that are no directories, one request after the other.
pub(super) async fn remove_part(share: &Share, inside: &Inside, mut names: &[Vec<u8>]) -> Result<Kept, OperationError> {
    let mut kept = Kept::default();
    while !names.is_empty() {
        let speaker = inside.speaker();
        let removed = speaker.client.remove_until_refused(&inside.handle, names).await;
        let mut removed = removed.map_err(|error| failed(share, "remove entries of", &inside.path, error))?;
        let refused = removed.kept.pop_if(|(_, status)| status.is_refusal());
        names = &names[removed.gone + removed.kept.len()..];
        for (name, status) in removed.kept {
            kept.one(format!("{}: {status}", inside.path_of(&name)));
        }
        let Some((name, status)) = refused else { break };
        let refusal = match inside.open(share, &speaker, status).await {
            Ok(()) => continue,
            Err(Trouble::Refused(refusal)) => refusal,
            Err(Trouble::Failed(error)) => return Err(error),
        };
        if status == NfsStatus::Access && !refusal.is_sticky {
            // Nobody who can be spoken for may write to the directory.
            kept.add(Kept { count: names.len(), reason: Some(refusal.reason()) });
            break;
        }
        if !(refusal.is_sticky && inside.remove_for_its_owner(share, &name).await?) {
            kept.one(refusal.reason_for(&inside.path_of(&name)));
        }
        names = &names[1..];
    }
    Ok(kept)
}

/// Removes the directory itself; `None` if it has entries again.
async fn rmdir(share: &Share, directory: &Directory) -> Result<Option<Emptied>, Trouble> {
    share.traffic().give_way().await;
    let parent = &directory.parent;
    loop {
        let speaker = parent.speaker();
        let Err(error) = speaker.client.remove(&parent.handle, &directory.name).await else {
            return Ok(Some(Emptied::Gone));
        };
        match error.status() {
            Some(NfsStatus::NoEnt) => return Ok(Some(Emptied::Gone)),
            Some(NfsStatus::NotEmpty | NfsStatus::Exist) => return Ok(None),
            Some(status) if status.is_refusal() => match parent.open(share, &speaker, status).await {
                Ok(()) => {}
                Err(Trouble::Refused(refusal)) => {
                    let is_gone = refusal.is_sticky && parent.remove_for_its_owner(share, &directory.name).await?;
                    let emptied =
                        if is_gone { Emptied::Gone } else { Emptied::Stuck(refusal.reason_for(directory.path())) };
                    return Ok(Some(emptied));
                }
                Err(trouble) => return Err(trouble),
            },
            Some(status) if !error.is_transient() => {
                return Ok(Some(Emptied::Stuck(format!("{}: {status}", directory.path()))));
            }
            _ => return Err(failed(share, "remove", directory.path(), error).into()),
        }
    }
}

pub(super) fn failed(share: &Share, doing: &'static str, path: &str, error: Error) -> OperationError {
    share.site().failed(doing, format!("{ROOT}/{TRASH}/{path}"), error)
}
