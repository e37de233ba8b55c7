//! Who holds a custom place.

use nfs_client::{Compound, ObjectState, SetAttributes};
use volume::{PlaceKey, Record, RecordKey, SubPath};

use super::folders::Store;
use super::form::Text;
use super::layout::{FOLDER_MODE, PLACES, ROOT, unique_tree};
use super::registry::About;
use crate::error::{Occupied, OperationError};

/// What the folder of holds holds.
pub(super) const ABOUT: About =
    About { folder: &[ROOT, PLACES], reading: "read the hold", not_one: "holds something that is no hold on a place" };

/// A hold whose volume has no record is left alone for so many seconds: its volume may be in the making. Longer than any
/// attempt goes on, be it that each of its requests takes all of the time that the NFS client gives it.
const UNFINISHED: i64 = 1800;

/// Who holds a custom place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nobody,
    /// Our volume, by an entry that was in this state.
    Us(Option<ObjectState>),
    /// Another volume, which exists or is being made.
    Other(Occupied),
    /// Nobody can tell which volume: the entry has no text yet. It was in this state.
    Begun(Option<ObjectState>),
    /// Another volume, or nobody can tell which, which was begun and given up; its entry was in this state.
    Abandoned(ObjectState),
}

impl Store {
    /// The key under which a custom place is held.
    pub(crate) fn place_key(&self, path: &SubPath) -> PlaceKey {
        if self.ignores_case { PlaceKey::folded(path) } else { PlaceKey::new(path) }
    }

    /// Whether an earlier release would hold a custom place under another key than this one.
    pub(crate) fn has_earlier_key(&self, path: &SubPath) -> bool {
        self.place_key(path) != PlaceKey::new(path)
    }

    /// Who holds a custom place, seen from the volume `ours`, and under which key. Where case is ignored, an earlier release has
    /// taken places under the key of exactly what was written.
    pub(crate) async fn hold(&self, path: &SubPath, ours: &RecordKey) -> Result<(PlaceKey, Hold), OperationError> {
        let (key, exact) = (self.place_key(path), PlaceKey::new(path));
        match self.hold_of(&key, ours).await? {
            Hold::Nobody if exact != key => match self.hold_of(&exact, ours).await? {
                Hold::Nobody => Ok((key, Hold::Nobody)),
                hold => Ok((exact, hold)),
            },
            hold => Ok((key, hold)),
        }
    }

    async fn hold_of(&self, place: &PlaceKey, ours: &RecordKey) -> Result<Hold, OperationError> {
        let Some(entry) = self.places.read(place.as_str()).await? else { return Ok(Hold::Nobody) };
        let held = match &entry.text {
            Text::Begun => Hold::Begun(entry.state),
            Text::Whole(text) => match text.parse::<RecordKey>() {
                Ok(key) if key == *ours => return Ok(Hold::Us(entry.state)),
                // A volume that was made elsewhere has left the hold behind.
                Ok(key) if !self.is_recorded_at(&key, place).await? => {
                    Hold::Other(Occupied::Unfinished(key.to_string()))
                }
                Ok(key) => return Ok(Hold::Other(Occupied::Volume(key.to_string()))),
                Err(_) => return Err(self.places.foreign(place.as_str())),
            },
        };
        match (entry.state, entry.written) {
            (Some(state), Some(written)) if self.is_given_up(written).await => Ok(Hold::Abandoned(state)),
            _ => Ok(held),
        }
    }

    /// Whether the record of a volume names this place.
    async fn is_recorded_at(&self, key: &RecordKey, place: &PlaceKey) -> Result<bool, OperationError> {
        let is_of = |record: &Record| *place == self.place_key(&record.path) || *place == PlaceKey::new(&record.path);
        Ok(self.record(key).await?.as_ref().is_some_and(is_of))
    }

    /// Puts a hold of `ours` in the place of that of a volume that was begun and given up, if it is still the one that was
    /// seen. At no moment is the place without a hold: what the other volume has begun there would be somebody else's for
    /// ever then.
    pub(crate) async fn take_over(
        &self,
        place: &PlaceKey,
        ours: &RecordKey,
        seen: ObjectState,
    ) -> Result<(), OperationError> {
        let replaced = self.places.replace(place.as_str(), seen, ours.as_str(), &self.trash).await;
        replaced.map_err(|error| self.site.failed("take over the hold", format!("{ROOT}/{PLACES}/{place}"), error))
    }

    /// Whether no attempt that wrote something at that time, in seconds since 1970 by the server's clock, can be at work any more.
    pub(crate) async fn is_given_up(&self, written: i64) -> bool {
        self.server_time().await.is_some_and(|now| is_abandoned(written, now))
    }

    /// What time it is on the server, in seconds since 1970: NFS has no operation for that, so something is made and removed.
    /// The controller's own clock may be minutes off. None where that fails, as on a full disk: nobody is hurried then.
    async fn server_time(&self) -> Option<i64> {
        let name = unique_tree();
        let request = Compound::new().put_handle(&self.trash).create_dir(&name, SetAttributes::mode(FOLDER_MODE));
        match self.site.client().call(request.get_attr().put_handle(&self.trash).remove(&name)).await {
            Ok(replies) => replies.attributes(0)?.modified.map(|(seconds, _)| seconds),
            Err(error) => {
                tracing::debug!(share = self.site.location(), %error, "cannot read the server's clock");
                None
            }
        }
    }
}

fn is_abandoned(made: i64, now: i64) -> bool {
    now.saturating_sub(made) > UNFINISHED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hold_that_is_older_than_any_attempt_is_abandoned() {
        assert!(!is_abandoned(10_000, 10_000));
        assert!(!is_abandoned(8_200, 10_000));
        assert!(is_abandoned(8_199, 10_000));
        assert!(!is_abandoned(20_000, 10_000), "a clock that was put back");
        assert!(!is_abandoned(i64::MAX, i64::MIN));
    }
}
