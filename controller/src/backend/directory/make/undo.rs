//! Taking back what an attempt has made and no repetition will go on from.
//!
//! Another controller may have taken over what was begun and completed it. Directory and hold are therefore removed only as
//! they were seen (VERIFY), the directory only if it was still begun or as the attempt left it, and the record only in the
//! same request after it.

use nfs_client::{Compound, FileHandle, NfsStatus, ObjectState};
use volume::PlaceKey;

use super::observe::{Draft, Stage};
use super::wanted::Wanted;
use crate::backend::directory::place::{Leaf, is_begun, walk};
use crate::backend::directory::step::Step;
use crate::backend::directory::steps::Failure;
use crate::backend::directory::store::{Hold, Recorded, Store, call_both};

/// A directory that may be removed, if it is still as it was seen.
struct Begun {
    parent: FileHandle,
    state: ObjectState,
}

/// Removes directory, record and hold as far as they exist in the draft or `done` made them. If the directory holds something
/// or is not the attempt's any more, all of it stays; a repetition of the create finds it.
///
/// `left` is the state in which the attempt left the directory, if it got as far as completing it.
pub(crate) async fn undo(store: &Store, wanted: &Wanted, draft: &Draft, done: &[Step], left: Option<ObjectState>) {
    let made = |step| done.contains(&step);
    if draft.stage() == Some(Stage::Complete) && draft.recorded {
        return;
    }
    let mut place = None;
    if draft.place.is_some() || made(Step::Place) {
        place = begun(store, wanted, left).await;
        if place.is_none() {
            tracing::warn!(
                directory = store.site.at(wanted.record.path.as_str()),
                "a directory that was begun stays behind"
            );
            return;
        }
    }
    // A record without a directory that this attempt did not write is somebody's who may be at work.
    let record = made(Step::Record) || (draft.recorded && place.is_some());
    let is_held = draft.key.is_some() && (draft.held || made(Step::Hold));
    let hold = if is_held && (place.is_some() || is_without_record(store, wanted).await) {
        own_hold(store, wanted).await
    } else {
        None
    };
    remove(store, wanted, place, record, hold).await;
}

/// Gives up a place that turned out not to be the volume's: removes the hold and what was begun there.
/// `made` is the state in which the attempts have left the directory.
pub(crate) async fn release(store: &Store, wanted: &Wanted, made: Option<ObjectState>) {
    let (key, path) = (wanted.id.key(), &wanted.record.path);
    match store.own_record(key).await {
        Ok(record) if record.as_ref().is_none_or(|record| record.path != *path) => {}
        _ => return,
    }
    let hold = match store.hold(path, key).await {
        Ok((hold, Hold::Us(Some(state)))) if wanted.is_custom() => Some((hold, state)),
        Ok((_, Hold::Nobody)) if !wanted.is_custom() => None,
        _ => return,
    };
    let place = begun(store, wanted, made).await;
    if remove(store, wanted, place, false, hold.clone()).await == Removed::HoldsSomething {
        // The directory is not the volume's, so the place need not be either.
        remove(store, wanted, None, false, hold).await;
    }
}

/// Gives up the record that this attempt has made and found no room to write, if it is still without its text. Only the attempt itself
/// may: it knows that nobody is about to write it.
pub(crate) async fn give_up_begun_record(store: &Store, wanted: &Wanted, failure: &mut Failure) {
    let key = wanted.id.key();
    let given_up = match store.recorded(key).await {
        Ok(Recorded::Begun(begun)) => store.discard_record(key, &begun).await,
        Ok(_) => return,
        Err(error) => Err(error),
    };
    match given_up {
        // There is none any more to be taken back.
        Ok(()) => failure.done.retain(|step| *step != Step::Record),
        Err(error) => {
            tracing::warn!(volume = %wanted.id, error = error.message(), "a record that was begun stays");
        }
    }
}

/// Gives up the hold that this attempt has made, if it is still without its text.
pub(crate) async fn give_up_begun(store: &Store, wanted: &Wanted) {
    if let Ok((hold, Hold::Begun(Some(state)))) = store.hold(&wanted.record.path, wanted.id.key()).await
        && let Err(error) = store.places.discard(hold.as_str(), state).await
    {
        tracing::warn!(
            place = store.site.at(wanted.record.path.as_str()),
            error = error.message(),
            "a hold that was begun stays"
        );
    }
}

async fn is_without_record(store: &Store, wanted: &Wanted) -> bool {
    matches!(store.own_record(wanted.id.key()).await, Ok(None))
}

/// The volume's hold, as it is now.
async fn own_hold(store: &Store, wanted: &Wanted) -> Option<(PlaceKey, ObjectState)> {
    match store.hold(&wanted.record.path, wanted.id.key()).await {
        Ok((hold, Hold::Us(Some(state)))) => Some((hold, state)),
        _ => None,
    }
}

/// The directory, if it bears the mark of one that was begun, or is still as the attempt has `left` it.
async fn begun(store: &Store, wanted: &Wanted, left: Option<ObjectState>) -> Option<Begun> {
    let walk = walk(store, &wanted.record.path).await.ok()?;
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
    store: &Store,
    wanted: &Wanted,
    place: Option<Begun>,
    record: bool,
    hold: Option<(PlaceKey, ObjectState)>,
) -> Removed {
    let mut request = Compound::new();
    if let Some(Begun { parent, state }) = place {
        let leaf = wanted.record.path.leaf();
        request = request.put_handle(&parent).lookup(leaf).verify(state).put_handle(&parent).remove(leaf);
    }
    if record {
        request = request.put_handle(store.records.handle()).remove(wanted.id.key().as_str());
    }
    let hold = hold.map(|(hold, state)| store.places.remove(hold.as_str(), state));
    if request.is_empty() && hold.is_none() {
        return Removed::Other;
    }
    match call_both(&store.site, request, hold.unwrap_or_default()).await {
        (_, Some(error)) if !error.is_status(NfsStatus::NoEnt) => {
            tracing::warn!(directory = store.site.at(wanted.record.path.as_str()), %error, "what was begun stays behind");
            if error.is_status(NfsStatus::NotEmpty) { Removed::HoldsSomething } else { Removed::Other }
        }
        _ => Removed::Other,
    }
}
