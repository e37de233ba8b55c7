//! What is on a share of a volume that is to be made: nothing, all of it, or what an interrupted attempt has left.

use nfs_client::{Attributes, Compound, FileHandle, NfsStatus, ObjectState};
use volume::{PlaceKey, Record};

use super::folders::Folders;
use super::layout::{PLACES, ROOT, unique_tree};
use super::pair::call_both;
use super::place::{Leaf, Walk, is_begun, walk};
use super::records::{self, Claim};
use super::share::Share;
use super::wanted::Wanted;
use crate::error::{Occupied, OperationError};

/// How far a volume is made.
pub(super) struct Site {
    /// The deepest directory on the way to the place.
    pub(super) parent: FileHandle,
    /// The directories on the way that exist, outermost first.
    pub(super) ancestors: Vec<FileHandle>,
    /// Names of the directories on the way that have to be made.
    pub(super) missing: Vec<String>,
    /// The directory, if it was made.
    pub(super) place: Option<Made>,
    /// Whether the place is claimed for it.
    pub(super) claimed: bool,
    /// State of the claim.
    pub(super) claim: Option<ObjectState>,
    /// Whether its record is written.
    pub(super) recorded: bool,
    /// File system of the share.
    pub(super) fsid: Option<(u64, u64)>,
}

/// A directory that was made.
pub(super) struct Made {
    pub(super) handle: FileHandle,
    pub(super) state: Option<ObjectState>,
    pub(super) stage: Stage,
}

/// How far a directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It bears the mark: owner and mode are not set.
    Begun,
    /// They are set to other ones than were asked for, and it is empty.
    Differing,
    /// They are as asked for, or it is in use.
    Complete,
}

/// What was seen.
pub(super) enum Seen {
    /// The volume, complete and as asked for.
    Complete(Record),
    /// Something to go on from.
    Site(Site),
    /// Something that a closer look has to explain.
    Unclear,
}

impl Site {
    fn new(folders: &Folders, walk: Walk) -> Self {
        Self {
            parent: walk.parent,
            ancestors: walk.ancestors,
            missing: walk.missing,
            place: None,
            claimed: false,
            claim: None,
            recorded: false,
            fsid: folders.fsid,
        }
    }

    /// How far the directory is, if it was made.
    pub(super) fn stage(&self) -> Option<Stage> {
        self.place.as_ref().map(|made| made.stage)
    }

    /// Whether anything of the volume is there.
    pub(super) fn holds_something(&self) -> bool {
        self.place.is_some() || self.claimed || self.recorded
    }
}

/// What is expected of a volume that nobody has asked for before: nothing. No round trip for a default place, one for a
/// custom one.
pub(super) async fn outset(share: &Share, folders: &Folders, wanted: &Wanted) -> Result<Seen, OperationError> {
    let path = &wanted.record.path;
    if path.parent().is_some() {
        let walk = walk(share, folders, path).await?;
        return Ok(if matches!(walk.leaf, Leaf::Free) { Seen::Site(Site::new(folders, walk)) } else { Seen::Unclear });
    }
    if wanted.claim().is_some() {
        refuse_default_holder(share, folders, wanted).await?;
    }
    let walk = Walk { parent: folders.root.clone(), ancestors: Vec::new(), missing: Vec::new(), leaf: Leaf::Free };
    Ok(Seen::Site(Site::new(folders, walk)))
}

/// Looks at everything that there may be of a volume.
pub(super) async fn observe(share: &Share, folders: &Folders, wanted: &Wanted) -> Result<Seen, OperationError> {
    // The place before the record: a complete directory of ours has its record by then, whoever else is at work on it.
    let looked = walk(share, folders, &wanted.record.path).await;
    let record = records::record(share, folders, wanted.id.key()).await?;
    if let Some(found) = &record {
        wanted.accept(share, found)?;
    }
    let claim = match wanted.claim() {
        Some(place) => {
            refuse_default_holder(share, folders, wanted).await?;
            records::claim(share, folders, &place, wanted.id.key()).await?
        }
        None => Claim::Nobody,
    };
    let (claimed, claim) = match claim {
        Claim::Other(by) => return Err(occupied(share, wanted, by)),
        Claim::Abandoned(state) => {
            take_over(share, folders, wanted, state).await?;
            return Ok(Seen::Unclear);
        }
        Claim::Nobody => (false, None),
        Claim::Us(state) => (true, state),
    };
    let mut walk = looked?;
    let leaf = std::mem::replace(&mut walk.leaf, Leaf::Free);
    let mut site = Site::new(folders, walk);
    (site.claimed, site.claim, site.recorded) = (claimed, claim, record.is_some());
    match leaf {
        Leaf::Free => {}
        Leaf::Other(by) => return Err(occupied(share, wanted, by)),
        Leaf::Directory(place, attributes) => {
            if record.is_none() && !is_begun_by_us(share, folders, wanted, &site, &place, &attributes).await? {
                return Ok(Seen::Unclear);
            }
            let stage = stage(share, wanted, &place, &attributes).await?;
            site.place = Some(Made { handle: place, state: attributes.state(), stage });
        }
    }
    let whole = site.stage() == Some(Stage::Complete) && site.recorded && (site.claimed || wanted.claim().is_none());
    Ok(record.filter(|_| whole).map_or(Seen::Site(site), Seen::Complete))
}

/// How far a directory is. In one that holds something, or that its users have closed to the controller, owner and mode are
/// their business.
async fn stage(
    share: &Share,
    wanted: &Wanted,
    place: &FileHandle,
    attributes: &Attributes,
) -> Result<Stage, OperationError> {
    if is_begun(attributes) {
        return Ok(Stage::Begun);
    }
    if wanted.verify(share, attributes).is_ok() {
        return Ok(Stage::Complete);
    }
    Ok(match is_empty(share, wanted, place).await? {
        Some(true) => Stage::Differing,
        Some(false) | None => Stage::Complete,
    })
}

/// Whether nothing is in a directory; none if the controller may not list it, as one without permissions on a share where it
/// is not root.
pub(super) async fn is_empty(
    share: &Share,
    wanted: &Wanted,
    place: &FileHandle,
) -> Result<Option<bool>, OperationError> {
    match share.client().read_dir_page(place, None).await {
        Ok(content) => Ok(Some(content.entries.is_empty())),
        Err(error) if error.is_status(NfsStatus::Access) || error.is_status(NfsStatus::Perm) => Ok(None),
        Err(error) => Err(share.failed("list", wanted.record.path.as_str(), error)),
    }
}

/// A directory without a record is ours only if it bears the mark of one that we began and is empty. Whether it is empty may
/// not be for us to see: then it is removed, which proves it, and false says to look again.
async fn is_begun_by_us(
    share: &Share,
    folders: &Folders,
    wanted: &Wanted,
    site: &Site,
    place: &FileHandle,
    attributes: &Attributes,
) -> Result<bool, OperationError> {
    let foreign = || occupied(share, wanted, Occupied::Directory);
    if wanted.claim().is_none() {
        let custom = PlaceKey::new(&wanted.record.path);
        if let Claim::Other(by) = records::claim(share, folders, &custom, wanted.id.key()).await? {
            return Err(occupied(share, wanted, by));
        }
    } else if !site.claimed {
        return Err(foreign());
    }
    if !is_begun(attributes) {
        return Err(foreign());
    }
    match is_empty(share, wanted, place).await? {
        Some(true) => Ok(true),
        None if remove_closed(share, wanted, &site.parent, attributes).await? => Ok(false),
        Some(false) | None => Err(foreign()),
    }
}

/// Removes a directory with the mark into which the controller may not look, if it is still as it was seen. False if it
/// holds something.
pub(super) async fn remove_closed(
    share: &Share,
    wanted: &Wanted,
    parent: &FileHandle,
    seen: &Attributes,
) -> Result<bool, OperationError> {
    let (leaf, Some(seen)) = (wanted.record.path.leaf(), seen.state()) else { return Ok(false) };
    let request = Compound::new().put_handle(parent).lookup(leaf).verify(seen);
    match share.client().call(request.put_handle(parent).remove(leaf)).await {
        Err(error) if error.is_status(NfsStatus::NotEmpty) || error.is_status(NfsStatus::Exist) => Ok(false),
        Err(error) if !error.is_status(NfsStatus::NoEnt) && !error.is_status(NfsStatus::NotSame) => {
            Err(share.failed("make anew", wanted.record.path.as_str(), error))
        }
        _ => Ok(true),
    }
}

/// A custom place with one component may be another volume's default place.
async fn refuse_default_holder(share: &Share, folders: &Folders, wanted: &Wanted) -> Result<(), OperationError> {
    match records::default_holder(share, folders, &wanted.record.path).await? {
        Some(holder) => Err(occupied(share, wanted, Occupied::Volume(holder.to_string()))),
        None => Ok(()),
    }
}

/// Puts a claim of ours in the place of that of a volume that was begun and given up, if it is still the one that was seen. At
/// no moment is the place without a claim: what the other volume has begun there would be somebody else's for ever then.
async fn take_over(share: &Share, folders: &Folders, wanted: &Wanted, seen: ObjectState) -> Result<(), OperationError> {
    let (place, name) = (PlaceKey::new(&wanted.record.path), unique_tree());
    tracing::warn!(
        place = share.at(wanted.record.path.as_str()),
        "taking over a place whose volume was never finished"
    );
    let make = Compound::new().put_handle(&folders.trash).create_symlink(&name, wanted.id.key().as_str());
    let put = Compound::new().put_handle(&folders.places).lookup(place.as_str()).verify(seen);
    let put = put.put_handle(&folders.trash).save_handle().put_handle(&folders.places).rename(&name, place.as_str());
    let ended = call_both(share, make, put).await;
    if ended.1.is_some() {
        // What stays there all the same is removed with the rest of the trash.
        let _either_way = share.client().call(Compound::new().put_handle(&folders.trash).remove(&name)).await;
    }
    match ended {
        (_, Some(error)) if !error.is_status(NfsStatus::NoEnt) && !error.is_status(NfsStatus::NotSame) => {
            Err(share.failed("take over the claim", format!("{ROOT}/{PLACES}/{place}"), error))
        }
        _ => Ok(()),
    }
}

fn occupied(share: &Share, wanted: &Wanted, by: Occupied) -> OperationError {
    OperationError::Occupied { location: share.at(wanted.record.path.as_str()), by }
}
