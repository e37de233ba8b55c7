//! For whom requests speak in a directory of the trash.
//!
//! Where the server takes root for nobody, the private directory of a pod's user is closed to the controller. But `AUTH_SYS`
//! lets a client speak for any user, so the controller speaks for the owner of a directory as soon as it is refused there: by
//! the directory's handle, so that no path is walked, and nowhere but here. For root it cannot speak, and where the server takes
//! everybody for nobody it speaks in vain: such a directory stays, with the reason.

use std::sync::{Arc, OnceLock};

use nfs_client::{Attributes, Client, Error, FileHandle, NfsStatus, Principal, SetAttributes};

use tokio::sync::Mutex;

use super::work::failed;
use crate::backend::directory::store::{Share, Store};
use crate::error::OperationError;

/// What the owner of a directory needs to list and empty it.
const OWNERS: u32 = 0o700;

/// Only owners may remove what lies in such a directory: its own, and those of what lies there.
const STICKY: u32 = 0o1000;

/// What people can do about what the server lets nobody remove.
const REMEDY: &str = "export the share to the controller with no_root_squash, or remove it on the server";

/// Why nobody speaks for an owner whose number is not known.
const NAMED: &str = "the controller speaks for numbers, and the server tells its owner by name (knfsd: set \
                     nfs4_disable_idmapping=1; Ganesha: Only_Numeric_Owners=true)";

/// A directory in the trash, or the trash, as far as requests go that are about what lies in it.
#[derive(Debug)]
pub(super) struct Inside {
    /// Its path below the trash, for messages.
    pub(super) path: String,
    pub(super) handle: FileHandle,
    /// The trash itself, which is the controller's own: requests never speak for anybody else there.
    is_trash: bool,
    /// Who is tried first: whoever requests spoke for in the directory above.
    first: Client,
    /// What it was when it was listed.
    seen: OnceLock<Attributes>,
    /// Its owner, once another was refused.
    owner: OnceLock<Client>,
    /// Held by the one who makes that so.
    opening: Mutex<()>,
}

/// Whom requests speak for.
pub(super) struct Speaker {
    pub(super) client: Client,
    /// The owner of the directory, because another was refused.
    pub(super) is_owner: bool,
}

/// Why work on one directory cannot go on.
pub(super) enum Trouble {
    /// The server lets nobody do it for whom the controller can speak.
    Refused(Refusal),
    /// Anything else.
    Failed(OperationError),
}

/// What the server lets nobody do for whom the controller can speak.
pub(super) struct Refusal {
    /// Path of the directory.
    path: String,
    /// What the server said, whose the directory is, and what to do.
    text: String,
    /// The directory is sticky, so the owners of what lies in it may be let.
    pub(super) is_sticky: bool,
}

impl Refusal {
    /// Why the directory stays.
    pub(super) fn reason(&self) -> String {
        self.reason_for(&self.path)
    }

    /// Why something in the directory stays.
    pub(super) fn reason_for(&self, path: &str) -> String {
        format!("{path}: {}", self.text)
    }
}

impl From<OperationError> for Trouble {
    fn from(error: OperationError) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn is_refusal(error: &Error) -> bool {
    error.status().is_some_and(NfsStatus::is_refusal)
}

impl Inside {
    /// The trash of a share.
    pub(super) fn trash(share: &Share, handle: FileHandle) -> Arc<Self> {
        Self::new(String::new(), handle, true, share.site().client().clone())
    }

    /// A directory at this path from the trash in which one was put aside; nobody else is spoken for there either.
    pub(super) fn beside_trash(store: &Store, path: String, handle: FileHandle) -> Arc<Self> {
        Self::new(path, handle, true, store.site.client().clone())
    }

    /// A directory in this one.
    pub(super) fn directory(&self, name: &[u8], handle: FileHandle) -> Arc<Self> {
        Self::new(self.path_of(name), handle, false, self.speaker().client)
    }

    fn new(path: String, handle: FileHandle, is_trash: bool, first: Client) -> Arc<Self> {
        let (seen, owner, opening) = (OnceLock::new(), OnceLock::new(), Mutex::new(()));
        Arc::new(Self { path, handle, is_trash, first, seen, owner, opening })
    }

    /// Keeps what a listing says of the directory itself.
    pub(super) fn remember(&self, attributes: &Attributes) {
        // What it was at first will do.
        let _ = self.seen.set(attributes.clone());
    }

    /// The path of something in it.
    pub(super) fn path_of(&self, name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        if self.path.is_empty() { name.into_owned() } else { format!("{}/{name}", self.path) }
    }

    /// Whom requests speak for now.
    pub(super) fn speaker(&self) -> Speaker {
        match self.owner.get() {
            Some(owner) => Speaker { client: owner.clone(), is_owner: true },
            None => Speaker { client: self.first.clone(), is_owner: false },
        }
    }

    /// After a refusal: lets requests speak for the owner from now on, who gets all permissions first. Once the owner is
    /// refused too there is nobody left.
    pub(super) async fn open(&self, share: &Share, refused: &Speaker, status: NfsStatus) -> Result<(), Trouble> {
        let _turn = self.opening.lock().await;
        if !refused.is_owner && self.owner.get().is_some() {
            return Ok(());
        }
        let attributes = match self.seen.get() {
            Some(attributes) => attributes.clone(),
            None => match share.site().client().getattr(&self.handle).await {
                Ok(attributes) => attributes,
                Err(error) if is_refusal(&error) => return Err(Trouble::Refused(self.refusal(status, None, ""))),
                Err(error) => return Err(failed(share, "look at", &self.path, error).into()),
            },
        };
        let closed = |why: &str| Err(Trouble::Refused(self.refusal(status, Some(&attributes), why)));
        if self.is_trash {
            return closed("the trash is the controller's own");
        }
        if refused.is_owner {
            return closed("the server refuses its owner");
        }
        let uid = match attributes.owner {
            Some(Principal::Id(0)) => return closed("for root the controller cannot speak"),
            Some(Principal::Id(uid)) => uid,
            Some(Principal::Name(_)) => return closed(NAMED),
            None => return closed("the server does not tell whose it is"),
        };
        let gid = attributes.group.as_ref().and_then(Principal::id).unwrap_or(uid);
        let owner = share.site().client().on_behalf_of(uid, gid);
        let mode = attributes.mode.unwrap_or(0);
        if mode & OWNERS != OWNERS {
            match owner.setattr(&self.handle, SetAttributes::mode(mode | OWNERS)).await {
                Ok(_) => {}
                Err(error) if is_refusal(&error) => return closed("the server refuses its owner"),
                Err(error) => {
                    if error.status().is_some_and(NfsStatus::is_lost_handle) {
                        // Perhaps for this user alone: see `unknown_to_owner`.
                        let _ = self.owner.set(owner);
                    }
                    return Err(failed(share, "open", &self.path, error).into());
                }
            }
        }
        // Nobody else was faster.
        let _ = self.owner.set(owner);
        Ok(())
    }

    /// Why the directory stays, if its handle leads nowhere for its owner alone.
    pub(super) async fn unknown_to_owner(&self, share: &Share) -> Option<String> {
        self.owner.get()?;
        let attributes = share.site().client().getattr(&self.handle).await.ok()?;
        let why = "its handle means nothing when its owner uses it, as where the export has subtree_check";
        Some(self.refusal(NfsStatus::Stale, Some(&attributes), why).reason())
    }

    fn refusal(&self, status: NfsStatus, seen: Option<&Attributes>, why: &str) -> Refusal {
        let mode = seen.and_then(|attributes| attributes.mode);
        let owner = seen.and_then(|attributes| attributes.owner.as_ref());
        let text = match (owner, mode) {
            (Some(owner), Some(mode)) => {
                format!("{status}, in a directory with owner {owner} and mode {mode:04o}: {why}; {REMEDY}")
            }
            _ => format!("{status}; {REMEDY}"),
        };
        let is_sticky = mode.is_some_and(|mode| mode & STICKY != 0);
        let path = if self.path.is_empty() { "the trash".to_owned() } else { self.path.clone() };
        Refusal { path, text, is_sticky }
    }

    /// Removes an entry of a sticky directory for the entry's owner. Whether it is gone.
    pub(super) async fn remove_for_its_owner(&self, share: &Share, name: &[u8]) -> Result<bool, OperationError> {
        let failed = |error| failed(share, "remove", &self.path_of(name), error);
        let found = match self.speaker().client.entry(&self.handle, name).await {
            Ok(found) => found.attributes,
            Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(true),
            Err(error) if is_refusal(&error) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let Some(uid) = found.owner.as_ref().and_then(Principal::id).filter(|uid| *uid != 0) else { return Ok(false) };
        let gid = found.group.as_ref().and_then(Principal::id).unwrap_or(uid);
        match share.site().client().on_behalf_of(uid, gid).remove(&self.handle, name).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}
