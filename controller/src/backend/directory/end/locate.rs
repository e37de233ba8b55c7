//! Finding what there is of a volume that exists.

use nfs_client::{FileHandle, NfsStatus, ObjectState, OpCode};
use volume::{PlaceKey, Record, RecordKey, ShareIdentity, SubPath};

use crate::backend::directory::place::{Leaf, walk};
use crate::backend::directory::store::{BegunRecord, Hold, Share, Store, call_both};
use crate::error::{Occupied, OperationError};

/// How often an operation starts over when a handle was stale or a session was lost.
pub(super) const ATTEMPTS: u32 = 4;

/// A volume as its record tells, and what is in its place.
pub(crate) struct Located {
    pub(crate) record: Record,
    /// The share on which it is.
    pub(crate) identity: Option<ShareIdentity>,
    pub(super) place: Place,
    /// State of its record.
    pub(super) state: Option<ObjectState>,
    /// The volume's hold on its place.
    pub(super) held: Option<PlaceKey>,
}

/// What is where a record says that a volume's directory is.
pub(super) enum Place {
    /// The directory, in this parent.
    Here(FileHandle),
    /// Nothing.
    Gone,
    /// A directory, but the place is held by another volume, or its hold is gone: not ours to touch.
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

/// What there is of a volume by its record.
pub(super) enum Found {
    Nothing,
    /// A record that has no text yet.
    Begun(BegunRecord),
    Volume(Located),
}

/// Finds a volume; `None` if there is no record of it. One round trip for a volume in its default place.
pub(crate) async fn find(share: &Share, key: &RecordKey) -> Result<Option<Located>, OperationError> {
    let mut round = 1;
    loop {
        let Some(store) = share.existing_store().await? else { return Ok(None) };
        match find_in(&store, key).await {
            Err(error) if error.is_lost_handle() && round < ATTEMPTS => share.forget(&store).await,
            Ok(Found::Volume(located)) => return Ok(Some(located)),
            Ok(Found::Nothing | Found::Begun(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        round += 1;
    }
}

/// The same in folders that are open.
pub(super) async fn find_in(store: &Store, key: &RecordKey) -> Result<Found, OperationError> {
    let default = key.default_place();
    let place = store.place_key(&default);
    let request = store.records.look(key.as_str()).put_handle(&store.root).lookup(key.as_str()).get_attr();
    // Expected to fail: nobody should hold another volume's default place.
    let held = store.places.unchanged(place.as_str(), None);
    let (completed, error) = call_both(&store.site, request, held).await;
    let record = || {
        let entry = store.records.seen(key.as_str(), &completed)?;
        Ok::<_, OperationError>(match store.read_record(key, &entry)? {
            Some(record) => Ok((record, entry.state)),
            None => Err(store.begun_record(key, &entry)?),
        })
    };
    let Some(error) = error else {
        return match record()? {
            Ok(record) => located(store, key, record, None).await.map(Found::Volume),
            Err(begun) => Ok(Found::Begun(begun)),
        };
    };
    if !store.records.is_read(&completed) {
        return match error.failed_op() {
            Some((_, OpCode::Lookup)) if error.is_status(NfsStatus::NoEnt) => Ok(Found::Nothing),
            _ => Err(store.records.unreadable(key.as_str(), error)),
        };
    }
    let record = match record()? {
        Ok(record) => record,
        Err(begun) => return Ok(Found::Begun(begun)),
    };
    if !error.is_status(NfsStatus::NoEnt) {
        return Err(store.site.failed("look up", default.as_str(), error));
    }
    let place = match completed.attributes(1) {
        None => Place::Gone,
        Some(attributes) if attributes.is_directory() => Place::Here(store.root.clone()),
        Some(attributes) if attributes.is_symlink() => Place::Other(Occupied::Symlink),
        Some(_) => Place::Other(Occupied::Other),
    };
    located(store, key, record, Some(place)).await.map(Found::Volume)
}

/// Where the record says that the volume is; `default` is what is in the default place, unless somebody else has held that.
async fn located(
    store: &Store,
    key: &RecordKey,
    (record, state): (Record, Option<ObjectState>),
    default: Option<Place>,
) -> Result<Located, OperationError> {
    if record.path == key.default_place() {
        let place = default.unwrap_or(Place::Lost);
        return Ok(Located { record, identity: store.identity, place, state, held: None });
    }
    let (link, holder) = store.hold(&record.path, key).await?;
    let held = matches!(holder, Hold::Us(_)).then_some(link);
    let place = custom(store, &record.path, held.is_some()).await?;
    Ok(Located { record, identity: store.identity, place, state, held })
}

/// What is in a custom place, and whether it is still the volume's.
async fn custom(store: &Store, path: &SubPath, held: bool) -> Result<Place, OperationError> {
    let walk = match walk(store, path).await {
        Ok(walk) => walk,
        Err(OperationError::Occupied { by, .. }) => return Ok(Place::Other(by)),
        Err(error) => return Err(error),
    };
    match walk.leaf {
        Leaf::Free => return Ok(Place::Gone),
        Leaf::Other(by) => return Ok(Place::Other(by)),
        Leaf::Directory(..) => {}
    }
    let ours = held && store.default_holder(path).await?.is_none();
    Ok(if ours { Place::Here(walk.parent) } else { Place::Lost })
}
