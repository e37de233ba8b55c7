//! The driver's folders on a share: found, or made when the first volume is.

use std::sync::Arc;

use nfs_client::{Attributes, Compound, Error, FileHandle, Found, NfsStatus};

use volume::ShareIdentity;

use super::expected::Expected;
use super::form::Form;
use super::layout::{FOLDER_MODE, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::registry::Registry;
use super::site::Site;
use super::trust::{self, Distrust};
use super::{aside, holds, identity, modes, records, reopened};
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
    /// Whether names that differ in case alone are one there.
    pub(crate) ignores_case: bool,
    /// Which share this is; none as long as an earlier release made its folders and no volume was made since.
    pub(crate) identity: Option<ShareIdentity>,
    pub(crate) records: Registry,
    pub(crate) places: Registry,
    pub(crate) retained: FileHandle,
    pub(crate) trash: FileHandle,
    /// Where directories of the trash are that could not be moved there.
    pub(crate) notes: Registry,
}

impl Store {
    /// Finds the folders and makes those that are missing, unless volumes are expected there: then a share without any is not
    /// the one that it should be.
    pub(crate) async fn make(site: &Arc<Site>, expected: &Expected) -> Result<Self, OperationError> {
        let root = open(site).await?;
        if expected.has_volumes() && look(site, &root).await?.is_none() {
            return Err(OperationError::ShareEmpty { location: site.location() });
        }
        let (mut ours, mut judged) = ensure(site, &root).await?;
        if judged == Err(Distrust::Anothers) {
            trust::remove_empty(site, &root, &ours.handle).await;
            (ours, judged) = ensure(site, &root).await?;
        }
        let forced = judged.map_err(|distrust| distrust.into_error(site, ROOT))?;
        let (form, found) = identity::read(site, &ours).await?;
        expected.admits(found).map_err(|expected| replaced(site, found, expected))?;
        let (form, found) = match found {
            Some(found) => (form, found),
            None => identity::give(site, &ours, form).await?,
        };
        expected.found(found);
        Self::below(site, root, (&ours, forced), (form, Some(found))).await
    }

    /// Finds the folders; `None` if the share has none.
    pub(crate) async fn find(site: &Arc<Site>) -> Result<Option<Self>, OperationError> {
        let root = open(site).await?;
        let Some(mut ours) = look(site, &root).await? else { return Ok(None) };
        let judged = judge(site, &root, &mut ours).await?;
        let forced = judged.map_err(|distrust| distrust.into_error(site, ROOT))?;
        let identity = identity::read(site, &ours).await?;
        Self::below(site, root, (&ours, forced), identity).await.map(Some)
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
        (ours, forced): (&Found, u32),
        (form, identity): (Form, Option<ShareIdentity>),
    ) -> Result<Self, OperationError> {
        let (attributes, ignores_case) = look_at(site, &root, &ours.handle).await?;
        let registry =
            |handle: FileHandle, about| Registry::new(site, handle, ours.attributes.owner.clone(), form, about);
        let [records, places, retained, trash] =
            [RECORDS, PLACES, RETAINED, TRASH].map(|name| folder(site, (ours, forced), name));
        let (records, places) = (records.await?, places.await?);
        let (retained, trash) = (retained.await?, trash.await?);
        Ok(Self {
            records: registry(records, records::ABOUT),
            places: registry(places, holds::ABOUT),
            retained,
            notes: registry(trash.clone(), aside::ABOUT),
            trash,
            fsid: attributes.fsid,
            ignores_case,
            identity,
            site: Arc::clone(site),
            root,
        })
    }
}

/// The share's own attributes, and whether `.berth` is found there by a name that differs in case as well.
async fn look_at(site: &Site, root: &FileHandle, ours: &FileHandle) -> Result<(Attributes, bool), OperationError> {
    let request = Compound::new().put_handle(root).get_attr().lookup(ROOT.to_uppercase()).get_handle();
    let (replies, other) = match site.client().call(request).await {
        Ok(replies) => (replies.clone(), replies.handle(0).cloned()),
        Err(error) => match error.completed() {
            Some(replies) if replies.attributes(0).is_some() && !error.is_transient() => (replies.clone(), None),
            _ => return Err(opening(site, error)),
        },
    };
    Ok((replies.attributes(0).cloned().unwrap_or_default(), other.as_ref() == Some(ours)))
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

/// Whether `.berth` is the driver's, and what others may do there because the server lets them do so everywhere. It is closed if a
/// pod's `fsGroup` has opened it.
async fn judge(site: &Site, root: &FileHandle, ours: &mut Found) -> Result<Result<u32, Distrust>, OperationError> {
    match trust::judge(site, ours, 0).await? {
        None if !trust::is_open(&ours.attributes, 0) => return Ok(Ok(0)),
        None => match reopened::close(site, ours).await? {
            None => {
                // As long as it was open, somebody may have put something else in its place.
                *ours = site.client().lookup(root, ROOT).await.map_err(|error| not_usable(site, error))?;
                if !trust::is_open(&ours.attributes, 0) {
                    return Ok(trust::judge(site, ours, 0).await?.map_or(Ok(0), Err));
                }
            }
            Some(Distrust::OpenToOthers) => {}
            Some(distrust) => return Ok(Err(distrust)),
        },
        Some(Distrust::OpenToOthers) => {}
        Some(distrust) => return Ok(Err(distrust)),
    }
    let forced = match modes::overruled(site, &ours.handle).await {
        // A full disk must not stand in the way of a delete: what nobody else may write to holds nothing of anybody else's.
        Err(error) if is_without_room(&error) && ours.attributes.mode.is_some_and(|mode| !trust::is_writable(mode)) => {
            ours.attributes.mode
        }
        forced => forced.map_err(|error| site.failed("look into", ROOT, error))?,
    };
    match (forced, ours.attributes.mode) {
        (Some(forced), Some(found)) if trust::is_writable(found & forced) => {
            Err(OperationError::ModesOverruled { location: site.at(ROOT), wanted: FOLDER_MODE, found })
        }
        (Some(forced), _) => Ok(trust::judge(site, ours, forced).await?.map_or(Ok(forced), Err)),
        (None, _) => Ok(Err(Distrust::OpenToOthers)),
    }
}

fn is_without_room(error: &Error) -> bool {
    error.is_status(NfsStatus::NoSpc) || error.is_status(NfsStatus::DQuot)
}

/// Finds `.berth`, or makes it. What the server does not let be the driver's is removed again if it was made just now.
async fn ensure(site: &Site, root: &FileHandle) -> Result<(Found, Result<u32, Distrust>), OperationError> {
    let found = look(site, root).await?;
    let is_new = found.is_none();
    let mut ours = match found {
        Some(found) => found,
        None => modes::ensure(site, root, ROOT).await.map_err(|error| not_writable(site, error))?,
    };
    let judged = judge(site, root, &mut ours).await;
    if is_new && matches!(judged, Err(OperationError::ModesOverruled { .. })) {
        // It stays if somebody has put something into it by now.
        let _either_way = site.client().remove(root, ROOT).await;
    }
    Ok((ours, judged?))
}

async fn folder(site: &Site, (ours, forced): (&Found, u32), name: &str) -> Result<FileHandle, OperationError> {
    let made = modes::ensure(site, &ours.handle, name).await;
    let made = made.map_err(|error| site.failed("make the folder", format!("{ROOT}/{name}"), error))?;
    match trust::judge_folder(ours, &made, forced) {
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
