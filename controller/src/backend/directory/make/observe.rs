//! What is on a share of a volume that is to be made: nothing, all of it, or what an interrupted attempt has left.

use nfs_client::{Attributes, Compound, FileHandle, NfsStatus, ObjectState};
use volume::{PlaceKey, Record};

use super::wanted::Wanted;
use crate::backend::directory::place::{Leaf, Walk, is_begun, walk};
use crate::backend::directory::store::{Hold, Recorded, Store};
use crate::error::{Occupied, OperationError};

/// How far a volume is made.
pub(crate) struct Draft {
    /// The deepest directory on the way to the place.
    pub(crate) parent: FileHandle,
    /// The directories on the way that exist, outermost first.
    pub(crate) ancestors: Vec<FileHandle>,
    /// Names of the directories on the way that have to be made.
    pub(crate) missing: Vec<String>,
    /// The directory, if it was made.
    pub(crate) place: Option<Made>,
    /// Whether the place is held for it.
    pub(crate) held: bool,
    /// State of the hold.
    pub(crate) hold: Option<ObjectState>,
    /// The key of the hold that a custom place needs; a default place needs none.
    pub(crate) key: Option<PlaceKey>,
    /// Whether its record is written.
    pub(crate) recorded: bool,
    /// File system of the share.
    pub(crate) fsid: Option<(u64, u64)>,
}

/// A directory that was made.
pub(crate) struct Made {
    pub(crate) handle: FileHandle,
    pub(crate) state: Option<ObjectState>,
    pub(crate) stage: Stage,
    /// Whether its owner and group are as asked for.
    pub(crate) is_owned: bool,
}

/// How far a directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It bears the mark: owner and mode are not set.
    Begun,
    /// They are set to other ones than were asked for, and it is empty.
    Differing,
    /// They are as asked for, or it is in use.
    Complete,
}

/// What was seen.
pub(crate) enum Seen {
    /// The volume, complete and as asked for.
    Complete(Record),
    /// Something to go on from.
    Draft(Draft),
    /// Something that a closer look has to explain.
    Unclear,
}

impl Draft {
    fn new(store: &Store, wanted: &Wanted, walk: Walk) -> Self {
        Self {
            parent: walk.parent,
            ancestors: walk.ancestors,
            missing: walk.missing,
            place: None,
            held: false,
            hold: None,
            key: wanted.is_custom().then(|| store.place_key(&wanted.record.path)),
            recorded: false,
            fsid: store.fsid,
        }
    }

    /// How far the directory is, if it was made.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.place.as_ref().map(|made| made.stage)
    }

    /// Whether anything of the volume is there.
    pub(crate) fn holds_something(&self) -> bool {
        self.place.is_some() || self.held || self.recorded
    }
}

/// What is expected of a volume that nobody has asked for before: nothing. No round trip for a default place, one for a
/// custom one.
pub(crate) async fn outset(store: &Store, wanted: &Wanted) -> Result<Seen, OperationError> {
    let path = &wanted.record.path;
    // Under another key than the one that this release writes, an earlier one may have taken the place.
    if wanted.is_custom() && store.has_earlier_key(path) && store.hold(path, wanted.id.key()).await?.1 != Hold::Nobody {
        return Ok(Seen::Unclear);
    }
    if path.parent().is_some() {
        let walk = walk(store, path).await?;
        return Ok(if matches!(walk.leaf, Leaf::Free) {
            Seen::Draft(Draft::new(store, wanted, walk))
        } else {
            Seen::Unclear
        });
    }
    if wanted.is_custom() {
        refuse_default_holder(store, wanted).await?;
    }
    let walk = Walk { parent: store.root.clone(), ancestors: Vec::new(), missing: Vec::new(), leaf: Leaf::Free };
    Ok(Seen::Draft(Draft::new(store, wanted, walk)))
}

/// Looks at everything that there may be of a volume. `made` is the state in which an earlier attempt has left its directory.
pub(crate) async fn observe(store: &Store, wanted: &Wanted, made: Option<ObjectState>) -> Result<Seen, OperationError> {
    // The place before the record: a complete directory of ours has its record by then, whoever else is at work on it.
    let looked = walk(store, &wanted.record.path).await;
    let key = wanted.id.key();
    let record = match store.recorded(key).await? {
        Recorded::Nothing => None,
        Recorded::Begun(begun) => {
            store.require_given_up(key, &begun).await?;
            store.discard_record(key, &begun).await?;
            return Ok(Seen::Unclear);
        }
        Recorded::Record(found) => {
            wanted.accept(&store.site, &found)?;
            Some(found)
        }
    };
    let (key, hold) = if wanted.is_custom() {
        refuse_default_holder(store, wanted).await?;
        let (key, hold) = store.hold(&wanted.record.path, wanted.id.key()).await?;
        (Some(key), hold)
    } else {
        (None, Hold::Nobody)
    };
    let (ours, link) = match hold {
        Hold::Other(by) => return Err(occupied(store, wanted, by)),
        Hold::Begun(_) => return Err(occupied(store, wanted, Occupied::Begun)),
        Hold::Abandoned(state) => {
            let place = store.site.at(wanted.record.path.as_str());
            tracing::warn!(place, "taking over a place whose volume was never finished");
            if let Some(key) = key {
                store.take_over(&key, wanted.id.key(), state).await?;
            }
            return Ok(Seen::Unclear);
        }
        Hold::Nobody => (false, None),
        Hold::Us(state) => (true, state),
    };
    let mut walk = looked?;
    let leaf = std::mem::replace(&mut walk.leaf, Leaf::Free);
    let mut draft = Draft::new(store, wanted, walk);
    (draft.key, draft.held, draft.hold, draft.recorded) = (key, ours, link, record.is_some());
    match leaf {
        Leaf::Free => {}
        Leaf::Other(by) => return Err(occupied(store, wanted, by)),
        Leaf::Directory(place, attributes) => {
            if record.is_none() && !is_begun_by_us(store, wanted, &draft, (&place, &attributes), made).await? {
                return Ok(Seen::Unclear);
            }
            let stage = stage(store, wanted, &place, &attributes).await?;
            let is_owned = wanted.owns(&attributes);
            draft.place = Some(Made { handle: place, state: attributes.state(), stage, is_owned });
        }
    }
    let whole = draft.stage() == Some(Stage::Complete) && draft.recorded && (draft.held || draft.key.is_none());
    Ok(record.filter(|_| whole).map_or(Seen::Draft(draft), Seen::Complete))
}

/// How far a directory is. In one that holds something, or that its users have closed to the controller, owner and mode are
/// their business.
async fn stage(
    store: &Store,
    wanted: &Wanted,
    place: &FileHandle,
    attributes: &Attributes,
) -> Result<Stage, OperationError> {
    if is_begun(attributes) {
        return Ok(Stage::Begun);
    }
    if wanted.verify(&store.site, attributes).is_ok() {
        return Ok(Stage::Complete);
    }
    Ok(match is_empty(store, wanted, place).await? {
        Some(true) => Stage::Differing,
        Some(false) | None => Stage::Complete,
    })
}

/// Whether nothing is in a directory; none if the controller may not list it, as one without permissions on a share where it
/// is not root.
pub(crate) async fn is_empty(
    store: &Store,
    wanted: &Wanted,
    place: &FileHandle,
) -> Result<Option<bool>, OperationError> {
    match store.site.client().read_dir_page(place, None).await {
        Ok(content) => Ok(Some(content.entries.is_empty())),
        Err(error) if error.is_status(NfsStatus::Access) || error.is_status(NfsStatus::Perm) => Ok(None),
        Err(error) => Err(store.site.failed("list", wanted.record.path.as_str(), error)),
    }
}

/// A directory without a record is ours only if it bears the mark of one that we began, or is as an attempt of ours has `made` it,
/// and is empty. Whether it is empty may
/// not be for us to see: then it is removed, which proves it, and false says to look again.
async fn is_begun_by_us(
    store: &Store,
    wanted: &Wanted,
    draft: &Draft,
    (place, attributes): (&FileHandle, &Attributes),
    made: Option<ObjectState>,
) -> Result<bool, OperationError> {
    let foreign = || occupied(store, wanted, Occupied::Directory);
    if draft.key.is_none() {
        if let (_, Hold::Other(by)) = store.hold(&wanted.record.path, wanted.id.key()).await? {
            return Err(occupied(store, wanted, by));
        }
    } else if !draft.held {
        return Err(foreign());
    }
    if !is_begun(attributes) && (made.is_none() || attributes.state() != made) {
        return Err(foreign());
    }
    match is_empty(store, wanted, place).await? {
        Some(true) => Ok(true),
        None if remove_closed(store, wanted, &draft.parent, attributes).await? => Ok(false),
        Some(false) | None => Err(foreign()),
    }
}

/// Removes a directory with the mark into which the controller may not look, if it is still as it was seen. False if it
/// holds something.
pub(crate) async fn remove_closed(
    store: &Store,
    wanted: &Wanted,
    parent: &FileHandle,
    seen: &Attributes,
) -> Result<bool, OperationError> {
    let (leaf, Some(seen)) = (wanted.record.path.leaf(), seen.state()) else { return Ok(false) };
    let request = Compound::new().put_handle(parent).lookup(leaf).verify(seen);
    match store.site.client().call(request.put_handle(parent).remove(leaf)).await {
        Err(error) if error.is_status(NfsStatus::NotEmpty) || error.is_status(NfsStatus::Exist) => Ok(false),
        Err(error) if !error.is_status(NfsStatus::NoEnt) && !error.is_status(NfsStatus::NotSame) => {
            Err(store.site.failed("make anew", wanted.record.path.as_str(), error))
        }
        _ => Ok(true),
    }
}

/// A custom place with one component may be another volume's default place.
async fn refuse_default_holder(store: &Store, wanted: &Wanted) -> Result<(), OperationError> {
    match store.default_holder(&wanted.record.path).await? {
        Some(holder) => Err(occupied(store, wanted, Occupied::Volume(holder.to_string()))),
        None => Ok(()),
    }
}

fn occupied(store: &Store, wanted: &Wanted, by: Occupied) -> OperationError {
    OperationError::Occupied { location: store.site.at(wanted.record.path.as_str()), by }
}
