//! Taking back what an attempt has made and no repetition will go on from.
//!
//! Another controller may have taken over what was begun and completed it. Directory and claim are therefore removed only as
//! they were seen (VERIFY), the directory only if it was still begun or as the attempt left it, and the record only in the
//! same request after it.

use nfs_client::{Compound, FileHandle, NfsStatus, ObjectState};
use volume::PlaceKey;

use super::faults::Step;
use super::folders::Folders;
use super::observe::{Site, Stage};
use super::pair::call_both;
use super::place::{Leaf, is_begun, walk};
use super::records::{self, Claim};
use super::share::Share;
use super::wanted::Wanted;

/// A directory that may be removed, if it is still as it was seen.
struct Begun {
    parent: FileHandle,
    state: ObjectState,
}

/// Removes directory, record and claim as far as they exist at `site` or `done` made them. If the directory holds something
/// or is not the attempt's any more, all of it stays; a repetition of the create finds it.
///
/// `left` is the state in which the attempt left the directory, if it got as far as completing it.
pub(super) async fn undo(
    share: &Share,
    folders: &Folders,
    wanted: &Wanted,
    site: &Site,
    done: &[Step],
    left: Option<ObjectState>,
) {
    let made = |step| done.contains(&step);
    if site.stage() == Some(Stage::Complete) {
        return;
    }
    let mut place = None;
    if site.place.is_some() || made(Step::Place) {
        place = begun(share, folders, wanted, left).await;
        if place.is_none() {
            tracing::warn!(
                directory = share.at(wanted.record.path.as_str()),
                "a directory that was begun stays behind"
            );
            return;
        }
    }
    // A record without a directory that this attempt did not write is somebody's who may be at work.
    let record = made(Step::Record) || (site.recorded && place.is_some());
    let claim = match wanted.claim().filter(|_| site.claimed || made(Step::Claim)) {
        Some(claim) if place.is_some() || is_without_record(share, folders, wanted).await => {
            own_claim(share, folders, wanted, claim).await
        }
        _ => None,
    };
    remove(share, folders, wanted, place, record, claim).await;
}

/// Gives up a place that turned out not to be the volume's: removes the claim and what was begun there.
pub(super) async fn release(share: &Share, folders: &Folders, wanted: &Wanted) {
    let (key, path) = (wanted.id.key(), &wanted.record.path);
    match records::record(share, folders, key).await {
        Ok(record) if record.as_ref().is_none_or(|record| record.path != *path) => {}
        _ => return,
    }
    let custom = wanted.claim();
    let holder = records::claim(share, folders, &PlaceKey::new(path), key).await;
    let claim = match (holder, custom) {
        (Ok(Claim::Us(Some(state))), Some(claim)) => Some((claim, state)),
        (Ok(Claim::Nobody), None) => None,
        _ => return,
    };
    let place = begun(share, folders, wanted, None).await;
    if remove(share, folders, wanted, place, false, claim.clone()).await == Removed::HoldsSomething {
        // The directory is not the volume's, so the place need not be either.
        remove(share, folders, wanted, None, false, claim).await;
    }
}

async fn is_without_record(share: &Share, folders: &Folders, wanted: &Wanted) -> bool {
    matches!(records::record(share, folders, wanted.id.key()).await, Ok(None))
}

/// The volume's claim, as it is now.
async fn own_claim(
    share: &Share,
    folders: &Folders,
    wanted: &Wanted,
    claim: PlaceKey,
) -> Option<(PlaceKey, ObjectState)> {
    match records::claim(share, folders, &claim, wanted.id.key()).await {
        Ok(Claim::Us(Some(state))) => Some((claim, state)),
        _ => None,
    }
}

/// The directory, if it bears the mark of one that was begun, or is still as the attempt has `left` it.
async fn begun(share: &Share, folders: &Folders, wanted: &Wanted, left: Option<ObjectState>) -> Option<Begun> {
    let walk = walk(share, folders, &wanted.record.path).await.ok()?;
    let Leaf::Directory(_, attributes) = walk.leaf else { return None };
    let state = attributes.state()?;
    (is_begun(&attributes) || left == Some(state)).then_some(Begun { parent: walk.parent, state })
}

/// What came of a removal.
#[derive(PartialEq, Eq)]
enum Removed {
    /// The directory holds something: nothing was removed.
    HoldsSomething,
    /// All of it, or not for another reason: what is left is looked at afterwards.
    Other,
}

async fn remove(
    share: &Share,
    folders: &Folders,
    wanted: &Wanted,
    place: Option<Begun>,
    record: bool,
    claim: Option<(PlaceKey, ObjectState)>,
) -> Removed {
    let mut request = Compound::new();
    if let Some(Begun { parent, state }) = place {
        let leaf = wanted.record.path.leaf();
        request = request.put_handle(&parent).lookup(leaf).verify(state).put_handle(&parent).remove(leaf);
    }
    if record {
        request = request.put_handle(&folders.records).remove(wanted.id.key().as_str());
    }
    let claim = claim.map(|(claim, state)| {
        let request = Compound::new().put_handle(&folders.places).lookup(claim.as_str()).verify(state);
        request.put_handle(&folders.places).remove(claim.as_str())
    });
    if request.is_empty() && claim.is_none() {
        return Removed::Other;
    }
    match call_both(share, request, claim.unwrap_or_default()).await {
        (_, Some(error)) if !error.is_status(NfsStatus::NoEnt) => {
            tracing::warn!(directory = share.at(wanted.record.path.as_str()), %error, "what was begun stays behind");
            if error.is_status(NfsStatus::NotEmpty) { Removed::HoldsSomething } else { Removed::Other }
        }
        _ => Removed::Other,
    }
}
