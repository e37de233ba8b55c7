//! Deleting a volume: its directory is moved to the trash, then its claim and its record go.
//!
//! Only what a record names is ever moved, and only where nothing contradicts the record. The record goes last: as long
//! as there is one, a repetition finds what is left to do.

use nfs_client::{Attributes, Compound, Error, FileHandle, NfsStatus, ObjectState, OpCode};
use volume::{OnDelete, PlaceKey, Record, RecordKey, SubPath, VolumeId};

use super::faults::Step;
use super::folders::Folders;
use super::layout::unique;
use super::pair::call_both;
use super::place::{Leaf, walk};
use super::records::{self, Claim};
use super::share::Share;
use super::steps::{At, Failure, Steps};
use crate::error::{Occupied, OperationError};

/// How often a delete starts over when a handle was stale or a session was lost.
const ATTEMPTS: u32 = 4;

/// A volume as its record tells, and what is in its place.
pub(crate) struct Located {
    pub(crate) record: Record,
    pub(super) place: Place,
    /// State of its record.
    state: Option<ObjectState>,
    /// Whether a claim on the place is the volume's.
    claimed: bool,
}

/// What is where a record says that a volume's directory is.
pub(super) enum Place {
    /// The directory, in this parent.
    Here(FileHandle),
    /// Nothing.
    Gone,
    /// A directory, but the place is held by another volume, or its claim is gone: not ours to touch.
    Lost,
    /// Something that is no directory.
    Other(Occupied),
}

impl Located {
    /// Whether the volume can be used.
    pub(crate) fn exists(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }
}

/// Finds a volume; `None` if there is no record of it. One round trip for a volume in its default place.
pub(crate) async fn find(share: &Share, key: &RecordKey) -> Result<Option<Located>, OperationError> {
    let mut round = 1;
    loop {
        let Some(folders) = share.existing_folders().await? else { return Ok(None) };
        match find_in(share, &folders, key).await {
            Err(error) if error.is_lost_handle() && round < ATTEMPTS => share.forget(&folders).await,
            result => return result,
        }
        round += 1;
    }
}

async fn find_in(share: &Share, folders: &Folders, key: &RecordKey) -> Result<Option<Located>, OperationError> {
    let default = key.default_place();
    let claim = PlaceKey::new(&default);
    let request = Compound::new().put_handle(&folders.records).lookup(key.as_str()).read_link().get_attr();
    let request = request.put_handle(&folders.root).lookup(key.as_str()).get_attr();
    // Expected to fail: nobody should have claimed another volume's default place.
    let claimed = Compound::new().put_handle(&folders.places).lookup(claim.as_str());
    let (completed, error) = call_both(share, request, claimed).await;
    let state = completed.attributes(0).and_then(Attributes::state);
    let Some(error) = error else {
        return located(share, folders, key, completed.target(0).unwrap_or_default(), state, None).await;
    };
    let Some(text) = completed.target(0) else {
        return match error.failed_op() {
            Some((_, OpCode::Lookup)) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            _ => Err(records::unreadable(share, key, error)),
        };
    };
    if !error.is_status(NfsStatus::NoEnt) {
        return Err(share.failed("look up", default.as_str(), error));
    }
    let place = match completed.attributes(1) {
        None => Place::Gone,
        Some(attributes) if attributes.is_directory() => Place::Here(folders.root.clone()),
        Some(attributes) if attributes.is_symlink() => Place::Other(Occupied::Symlink),
        Some(_) => Place::Other(Occupied::Other),
    };
    located(share, folders, key, text, state, Some(place)).await
}

/// Reads the record; `default` is what is in the default place, unless somebody else has claimed that.
async fn located(
    share: &Share,
    folders: &Folders,
    key: &RecordKey,
    text: &[u8],
    state: Option<ObjectState>,
    default: Option<Place>,
) -> Result<Option<Located>, OperationError> {
    let record = records::parse(share, key, text)?;
    if record.path == key.default_place() {
        return Ok(Some(Located { record, place: default.unwrap_or(Place::Lost), state, claimed: false }));
    }
    let claim = records::claim(share, folders, &PlaceKey::new(&record.path), key).await?;
    let claimed = matches!(claim, Claim::Us(_));
    let place = custom(share, folders, &record.path, claimed).await?;
    Ok(Some(Located { record, place, state, claimed }))
}

/// What is in a custom place, and whether it is still the volume's.
async fn custom(share: &Share, folders: &Folders, path: &SubPath, claimed: bool) -> Result<Place, OperationError> {
    let walk = match walk(share, folders, path).await {
        Ok(walk) => walk,
        Err(OperationError::Occupied { by, .. }) => return Ok(Place::Other(by)),
        Err(error) => return Err(error),
    };
    match walk.leaf {
        Leaf::Free => return Ok(Place::Gone),
        Leaf::Other(by) => return Ok(Place::Other(by)),
        Leaf::Directory(..) => {}
    }
    let ours = claimed && records::default_holder(share, folders, path).await?.is_none();
    Ok(if ours { Place::Here(walk.parent) } else { Place::Lost })
}

/// Deletes a volume. One without a record is deleted already, unless the share has nothing of the driver's at all.
///
/// Two round trips for a volume in its default place: what there is, and its end.
pub(crate) async fn delete(share: &Share, id: &VolumeId) -> Result<(), OperationError> {
    let _waiting = share.wait();
    let mut unsure = None;
    for _ in 0..ATTEMPTS {
        let found = find(share, id.key()).await?;
        let Some(folders) = share.existing_folders().await? else {
            // A server that came up without its disk would have everything counted as deleted that is on it.
            return Err(OperationError::ShareEmpty { location: share.location() });
        };
        let Some(located) = found else { return absent(share, &folders, id).await };
        let _busy = share.occupy(&located.record.path)?;
        let Err(failure) = remove(share, &folders, id, &located).await? else { return Ok(()) };
        let lost = failure.error.status().is_some_and(NfsStatus::is_lost_handle);
        // Something that was there a moment ago is gone: somebody else deletes the same volume, or did so before us. Or it is
        // a folder of ours, which a server that still has it open lets nothing be moved into.
        let gone = failure.error.is_status(NfsStatus::NoEnt);
        if lost || gone {
            share.forget(&folders).await;
        }
        let again = lost || gone || matches!(failure.error, Error::OutcomeUnknown { may_still_happen: false, .. });
        let doing = failure.step.map_or("remove the record of", Step::doing);
        let error = share.failed(doing, located.record.path.as_str(), failure.error);
        if !again {
            return Err(error);
        }
        unsure = Some(error);
    }
    Err(unsure.unwrap_or_else(|| OperationError::Contended(share.location())))
}

async fn remove(
    share: &Share,
    folders: &Folders,
    id: &VolumeId,
    located: &Located,
) -> Result<Result<(), Failure>, OperationError> {
    let (key, record) = (id.key(), &located.record);
    let directory = share.at(record.path.as_str());
    // A delete that comes late, from a controller that has lost its lease meanwhile, must not touch the next volume in the
    // same place, be it of the same name: without the record that was seen nothing of a request happens.
    let recorded = Compound::new().put_handle(&folders.records).lookup(key.as_str());
    let recorded = located.state.into_iter().fold(recorded, Compound::verify);
    let mut steps = Steps::default().only_if(recorded, None);
    match (&located.place, record.on_delete) {
        (Place::Other(by), OnDelete::Delete) => {
            return Err(OperationError::Occupied { location: directory, by: by.clone() });
        }
        (Place::Here(parent), OnDelete::Delete) => {
            let compound = Compound::new().save_handle().put_handle(&folders.trash);
            let compound = compound.rename(record.path.leaf(), unique(key));
            steps = steps.then(Step::Trash, At::Handle(parent.clone()), compound);
        }
        (Place::Gone, _) => tracing::info!(volume = %id, directory, "the directory is gone already"),
        (Place::Lost, _) => {
            tracing::warn!(volume = %id, directory, "the directory is left: its claim is not this volume's");
        }
        (_, OnDelete::Retain) => tracing::info!(volume = %id, directory, "the directory is retained"),
    }
    if located.claimed {
        let compound = Compound::new().remove(PlaceKey::new(&record.path).as_str());
        steps = steps.then(Step::Unclaim, At::Handle(folders.places.clone()), compound);
    }
    let records = At::Handle(folders.records.clone());
    steps = match record.on_delete {
        OnDelete::Delete => steps.then(Step::Forget, records, Compound::new().remove(key.as_str())),
        OnDelete::Retain => {
            let compound = Compound::new().save_handle().put_handle(&folders.retained);
            steps.then(Step::Retain, records, compound.rename(key.as_str(), unique(key)))
        }
    };
    let sent = steps.finally(Step::Deleted).send(share).await.map(drop);
    match &sent {
        Ok(()) if matches!((&located.place, record.on_delete), (Place::Here(_), OnDelete::Delete)) => share.ring(),
        Ok(()) => {}
        // The directory may have been moved, and nobody may learn of it later.
        Err(_) => share.nudge(),
    }
    Ok(sent)
}

/// A volume without a record: nothing is removed. A directory under its name is named in the log, because whoever
/// removed the record by hand gave it up.
async fn absent(share: &Share, folders: &Folders, id: &VolumeId) -> Result<(), OperationError> {
    let path = id.key().default_place();
    match walk(share, folders, &path).await {
        Ok(found) if !matches!(found.leaf, Leaf::Free) => tracing::warn!(
            volume = %id,
            directory = share.at(path.as_str()),
            "there is no record of the volume, so what lies under its name is not touched; remove it by hand if it is not needed"
        ),
        Ok(_) => {}
        // The answer does not depend on it.
        Err(error) => {
            tracing::debug!(volume = %id, error = error.message(), "cannot look for a directory without a record");
        }
    }
    Ok(())
}
