//! Deleting a volume: its directory is moved to the trash, then its hold and its record go.
//!
//! Only what a record names is ever moved, and only where nothing contradicts the record. The record goes last: as long
//! as there is one, a repetition finds what is left to do.

use nfs_client::{Compound, Error, NfsStatus};
use volume::{OnDelete, ShareIdentity, VolumeId};

use super::locate::{ATTEMPTS, Found, Located, Place, find_in};
use crate::backend::directory::place::{Leaf, is_begun, walk};
use crate::backend::directory::step::Step;
use crate::backend::directory::steps::{At, Failure, Steps};
use crate::backend::directory::store::{Aside, BegunRecord, Share, Store, unique};
use crate::error::OperationError;

/// Deletes a volume. One without a record is deleted already, unless the share has nothing of the driver's at all.
///
/// Two round trips for a volume in its default place: what there is, and its end.
///
/// `made_on` is the share's identity when the volume was made, as far as the caller knows it; `end` is what becomes of the
/// directory, if not what its record says.
pub(crate) async fn delete(
    share: &Share,
    id: &VolumeId,
    made_on: Option<ShareIdentity>,
    end: Option<OnDelete>,
) -> Result<(), OperationError> {
    let _waiting = share.traffic().wait();
    let (mut unsure, mut is_apart) = (None, false);
    for _ in 0..ATTEMPTS {
        // On a share without its disk, or another one under the same path, everything would count as deleted.
        let Some(store) = share.store_of(made_on).await? else {
            return Err(OperationError::ShareEmpty { location: share.site().location() });
        };
        let found = match find_in(&store, id.key()).await {
            Err(error) if error.is_lost_handle() => {
                share.forget(&store).await;
                unsure = Some(error);
                continue;
            }
            found => found?,
        };
        let mut located = match found {
            Found::Volume(located) => located,
            Found::Nothing => return absent(&store, id).await,
            Found::Begun(begun) => {
                discard_begun(&store, id, &begun).await?;
                unsure = Some(OperationError::Contended(store.records.location(id.key().as_str())));
                continue;
            }
        };
        located.record.on_delete = end.unwrap_or(located.record.on_delete);
        let _busy = share.occupy(&located.record.path)?;
        let Err(failure) = remove(share, &store, id, &located, is_apart).await? else { return Ok(()) };
        let lost = failure.error.status().is_some_and(NfsStatus::is_lost_handle);
        // Something that was there a moment ago is gone: somebody else deletes the same volume, or did so before us. Or it is
        // a folder of ours, which a server that still has it open lets nothing be moved into.
        let gone = failure.error.is_status(NfsStatus::NoEnt);
        if lost || gone {
            share.forget(&store).await;
        }
        let apart = failure.step == Some(Step::Trash) && failure.error.is_status(NfsStatus::XDev);
        is_apart |= apart;
        let again =
            lost || gone || apart || matches!(failure.error, Error::OutcomeUnknown { may_still_happen: false, .. });
        let doing = failure.step.map_or("remove the record of", Step::doing);
        let error = store.site.failed(doing, located.record.path.as_str(), failure.error);
        if !again {
            return Err(error);
        }
        unsure = Some(error);
    }
    Err(unsure.unwrap_or_else(|| OperationError::Contended(share.site().location())))
}

/// Ends a volume as it was found; `is_apart` is whether its directory cannot be moved to the trash.
async fn remove(
    share: &Share,
    store: &Store,
    id: &VolumeId,
    located: &Located,
    is_apart: bool,
) -> Result<Result<(), Failure>, OperationError> {
    let (key, record) = (id.key(), &located.record);
    let directory = store.site.at(record.path.as_str());
    // A delete that comes late, from a controller that has lost its lease meanwhile, must not touch the next volume in the
    // same place, be it of the same name: without the record that was seen nothing of a request happens.
    let recorded = store.records.unchanged(key.as_str(), located.state);
    let mut steps = Steps::default().only_if(recorded, None);
    let mut aside = None;
    match (&located.place, record.on_delete) {
        (Place::Other(by), OnDelete::Delete) => {
            return Err(OperationError::Occupied { location: directory, by: by.clone() });
        }
        (Place::Here(parent), OnDelete::Delete) if is_apart || share.apart().contains(parent) => {
            let aside = aside.insert((Aside::new(key, &record.path), parent));
            let rename = Compound::new().save_handle().rename(record.path.leaf(), &aside.0.leaf);
            let making = store.notes.create(&aside.0.link, &aside.0.text, Compound::new());
            steps = steps.enter((Step::Note, Step::NoteText), &store.trash, making);
            steps = steps.then(Step::Aside, At::Handle(parent.clone()), rename);
        }
        (Place::Here(parent), OnDelete::Delete) => {
            let compound = Compound::new().save_handle().put_handle(&store.trash);
            let compound = compound.rename(record.path.leaf(), unique(key));
            steps = steps.then(Step::Trash, At::Handle(parent.clone()), compound);
        }
        (Place::Gone, _) => tracing::info!(volume = %id, directory, "the directory is gone already"),
        (Place::Lost, _) => {
            tracing::warn!(volume = %id, directory, "the directory is left: its hold is not this volume's");
        }
        (_, OnDelete::Retain) => tracing::info!(volume = %id, directory, "the directory is retained"),
    }
    if let Some(place) = &located.held {
        let compound = Compound::new().remove(place.as_str());
        steps = steps.then(Step::GiveUp, At::Handle(store.places.handle().clone()), compound);
    }
    let records = At::Handle(store.records.handle().clone());
    steps = match record.on_delete {
        OnDelete::Delete => steps.then(Step::Forget, records, Compound::new().remove(key.as_str())),
        OnDelete::Retain => {
            let compound = Compound::new().save_handle().put_handle(&store.retained);
            steps.then(Step::Retain, records, compound.rename(key.as_str(), unique(key)))
        }
    };
    let sent = steps.finally(Step::Deleted).send(&store.site).await.map(drop);
    match (aside, &sent) {
        (Some((_, parent)), Ok(())) => share.apart().insert(parent.clone()),
        // It cannot be renamed there either.
        (Some((aside, parent)), Err(failure)) if matches!(failure.step, Some(Step::NoteText | Step::Aside)) => {
            // Only if the directory is where it was: without its note nobody would find it. A note that stays all the same goes when
            // nobody can be at work any more.
            let there = Compound::new().put_handle(parent).lookup(record.path.leaf());
            let request = there.put_handle(&store.trash).remove(&aside.link);
            let _either_way = store.site.client().call(request).await;
        }
        _ => {}
    }
    match &sent {
        Ok(()) if matches!((&located.place, record.on_delete), (Place::Here(_), OnDelete::Delete)) => {
            share.traffic().ring();
        }
        Ok(()) => {}
        // The directory may have been moved, and nobody may learn of it later.
        Err(_) => share.traffic().nudge(),
    }
    Ok(sent)
}

/// A volume whose record was begun and given up is none, if nothing lies in its place: then the record goes. Refused otherwise: a
/// disk that lost what was written leaves such a record, too.
async fn discard_begun(store: &Store, id: &VolumeId, begun: &BegunRecord) -> Result<(), OperationError> {
    let key = id.key();
    store.require_given_up(key, begun).await?;
    let is_empty = match walk(store, &key.default_place()).await?.leaf {
        Leaf::Free => true,
        Leaf::Directory(_, attributes) => is_begun(&attributes),
        Leaf::Other(_) => false,
    };
    if is_empty {
        return store.discard_record(key, begun).await;
    }
    let problem = "it has no text, and something lies where the volume would be";
    Err(OperationError::NotBelieved { location: store.records.location(key.as_str()), problem })
}

/// A volume without a record: nothing is removed. A directory under its name is named in the log, because whoever
/// removed the record by hand gave it up.
async fn absent(store: &Store, id: &VolumeId) -> Result<(), OperationError> {
    let path = id.key().default_place();
    match walk(store, &path).await {
        Ok(found) if !matches!(found.leaf, Leaf::Free) => tracing::warn!(
            volume = %id,
            directory = store.site.at(path.as_str()),
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
