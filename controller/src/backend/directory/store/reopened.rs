//! The driver's folders after a pod's `fsGroup` has opened them.
//!
//! A static volume may be the whole share. If a pod with an `fsGroup` uses it, kubelet walks over all of it, `.berth` included:
//! everything gets that group, and directories and files what the group needs to use them. What lies in the folders keeps its
//! owner, and only root, or the user for whom the server takes the controller, can have made a link of that owner: so what the
//! group's members have written meanwhile is told apart when it is read (`registry`), and the folders can be closed again.

use nfs_client::{Attributes, FileHandle, Found, NfsStatus, SetAttributes};

use super::layout::{FOLDER_MODE, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::modes::refuses_mode;
use super::site::Site;
use super::trust::{self, Distrust};
use crate::error::OperationError;

/// What kubelet adds to the mode of a directory (`changeFilePermission` of its `pkg/volume/volume_linux.go`): set-gid, and
/// everything for owner and group.
const ADDED: u32 = 0o2770;

/// The same for a volume that is read-only.
const ADDED_READ_ONLY: u32 = 0o2550;

/// The permission bits, with set-uid, set-gid and sticky.
const ALL: u32 = 0o7777;

/// Whether a directory of this mode has exactly the one that kubelet makes of it.
pub(crate) fn is_opened(attributes: &Attributes, mode: u32) -> bool {
    let opened = [ADDED, ADDED_READ_ONLY].map(|added| mode | added);
    attributes.mode.is_some_and(|found| opened.contains(&(found & ALL)))
}

/// Closes `.berth`, which is the controller's, and the folders in it. None is made: what lacks one of them may be a directory
/// that the driver has made for others. Nothing is changed unless all can be closed; `.berth` goes last, so that after a crash
/// all of it is looked at again.
pub(crate) async fn close(site: &Site, ours: &Found) -> Result<Option<Distrust>, OperationError> {
    let client = site.client();
    let mut opened: Vec<(&str, FileHandle)> = Vec::new();
    for name in [RECORDS, PLACES, RETAINED, TRASH] {
        let folder = match client.entry(&ours.handle, name).await {
            Ok(folder) => folder,
            Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(Some(Distrust::OpenToOthers)),
            Err(error) => return Err(site.failed("look at", format!("{ROOT}/{name}"), error)),
        };
        if !folder.attributes.is_directory() {
            return Ok(Some(Distrust::NoDirectory));
        }
        if is_opened(&folder.attributes, FOLDER_MODE) {
            opened.push((name, folder.handle));
        } else if trust::is_open(&folder.attributes, 0) {
            return Ok(Some(Distrust::OpenToOthers));
        }
        if folder.attributes.owner != ours.attributes.owner {
            return Ok(Some(Distrust::Anothers));
        }
    }
    opened.push(("", ours.handle.clone()));
    for (name, handle) in opened {
        let closed = client.setattr(&handle, SetAttributes::mode(FOLDER_MODE)).await;
        if closed.as_ref().is_err_and(|error| error.status().is_some_and(refuses_mode)) {
            // Then it was not kubelet's doing.
            return Ok(Some(Distrust::OpenToOthers));
        }
        closed.map_err(|error| site.failed("close", format!("{ROOT}/{name}").trim_end_matches('/'), error))?;
    }
    tracing::warn!(
        folder = site.at(ROOT),
        group = ours.attributes.group.as_ref().map(tracing::field::display),
        "closed again: it was open to a group, as kubelet leaves it for a pod with an fsGroup whose volume is the whole share; \
         what others have written there does not count, and what they may have removed is lost. Give such volumes a \"subDir\""
    );
    Ok(None)
}
