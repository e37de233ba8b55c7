//! The links in which the driver keeps records, and holds on custom places.

use nfs_client::{Attributes, Compound, NfsStatus, ObjectState, Replies};
use volume::{PlaceKey, Record, RecordKey, SubPath};

use super::folders::Store;
use super::layout::{PLACES, RECORDS, ROOT, unique_tree};
use super::pair::call_both;
use super::site::Site;
use super::trust::is_same;
use crate::error::{Occupied, OperationError};

/// A hold whose volume has no record is left alone for so many seconds: its volume may be in the making. Longer than any
/// attempt goes on, be it that each of its requests takes all of the time that the NFS client gives it.
const UNFINISHED: i64 = 1800;

/// Who holds a custom place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nobody,
    /// Our volume, by a link that was in this state.
    Us(Option<ObjectState>),
    /// Another volume, which exists or is being made.
    Other(Occupied),
    /// Another volume, which was begun and given up; its link was in this state.
    Abandoned(ObjectState),
}

impl Store {
    /// The record of a volume.
    pub(crate) async fn record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        let request = Compound::new().put_handle(&self.records).lookup(key.as_str()).read_link().get_attr();
        match self.site.client().call(request).await {
            Ok(replies) => self.read_record(key, &replies).map(Some),
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(unreadable(&self.site, key, error)),
        }
    }

    /// The same; one that does not count is none.
    pub(crate) async fn own_record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        match self.record(key).await {
            Err(OperationError::NotBelieved { .. }) => Ok(None),
            result => result,
        }
    }

    /// Reads a record from the text and the first attributes of a reply.
    pub(crate) fn read_record(&self, key: &RecordKey, replies: &Replies) -> Result<Record, OperationError> {
        self.require_ours(&path(key), replies)?;
        let text = String::from_utf8_lossy(replies.target(0).unwrap_or_default());
        let location = || self.site.at(path(key));
        let record =
            Record::from_text(&text).map_err(|source| OperationError::Record { location: location(), source })?;
        if !key.is_of(&record.name) {
            // Somebody has renamed it, so that what it names would go in the name of another.
            return Err(OperationError::NotBelieved { location: location(), problem: "it is another volume's" });
        }
        Ok(record)
    }

    /// Whether something belongs to the user to whom the folders belong, as far as the server says.
    pub(crate) fn is_ours(&self, found: &Attributes) -> bool {
        found.owner.as_ref().zip(self.owner.as_ref()).is_none_or(|(owner, ours)| is_same(owner, ours))
    }

    /// Refuses a link that is somebody else's than the folders: it was written while they were open to others.
    fn require_ours(&self, path: &str, replies: &Replies) -> Result<(), OperationError> {
        if replies.attributes(0).is_some_and(|found| !self.is_ours(found)) {
            let problem = "it belongs to another user than its folder";
            return Err(OperationError::NotBelieved { location: self.site.at(path), problem });
        }
        Ok(())
    }

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
        let request = Compound::new().put_handle(&self.places).lookup(place.as_str()).read_link().get_attr();
        let replies = match self.site.client().call(request).await {
            Ok(replies) => replies,
            Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(Hold::Nobody),
            Err(error) => return Err(self.site.failed("read the hold", hold_path(place), error)),
        };
        self.require_ours(&hold_path(place), &replies)?;
        let text = String::from_utf8_lossy(replies.target(0).unwrap_or_default()).into_owned();
        let Ok(key) = text.parse::<RecordKey>() else {
            let location = self.site.at(hold_path(place));
            return Err(OperationError::Untrusted { location, problem: "holds something that is no hold on a place" });
        };
        let state = replies.attributes(0).and_then(Attributes::state);
        if key == *ours {
            return Ok(Hold::Us(state));
        }
        // A volume that was made elsewhere has left the hold behind.
        let is_of = |record: &Record| *place == self.place_key(&record.path) || *place == PlaceKey::new(&record.path);
        if self.record(&key).await?.as_ref().is_some_and(is_of) {
            return Ok(Hold::Other(Occupied::Volume(key.to_string())));
        }
        let made = replies.attributes(0).and_then(|attributes| attributes.modified);
        if let (Some(state), Some((made, _))) = (state, made)
            && self.is_given_up(made).await
        {
            return Ok(Hold::Abandoned(state));
        }
        Ok(Hold::Other(Occupied::Unfinished(key.to_string())))
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
        let name = unique_tree();
        let make = Compound::new().put_handle(&self.trash).create_symlink(&name, ours.as_str());
        let put = Compound::new().put_handle(&self.places).lookup(place.as_str()).verify(seen);
        let put = put.put_handle(&self.trash).save_handle().put_handle(&self.places).rename(&name, place.as_str());
        let ended = call_both(&self.site, make, put).await;
        if ended.1.is_some() {
            // What stays there all the same is removed with the rest of the trash.
            let _either_way = self.site.client().call(Compound::new().put_handle(&self.trash).remove(&name)).await;
        }
        match ended {
            (_, Some(error)) if !error.is_status(NfsStatus::NoEnt) && !error.is_status(NfsStatus::NotSame) => {
                Err(self.site.failed("take over the hold", hold_path(place), error))
            }
            _ => Ok(()),
        }
    }

    /// The volume whose default place is this path, if there is one: it needs no hold, its key is the path.
    pub(crate) async fn default_holder(&self, path: &SubPath) -> Result<Option<RecordKey>, OperationError> {
        let key = if self.ignores_case { RecordKey::of_folded(path) } else { path.as_str().parse().ok() };
        let Some(key) = key else { return Ok(None) };
        let record = self.record(&key).await?;
        Ok(record.filter(|record| record.path == key.default_place()).map(|_| key))
    }

    /// Whether no attempt that wrote something at that time, in seconds since 1970 by the server's clock, can be at work any more.
    pub(crate) async fn is_given_up(&self, written: i64) -> bool {
        self.server_time().await.is_some_and(|now| is_abandoned(written, now))
    }

    /// What time it is on the server, in seconds since 1970: NFS has no operation for that, so something is made and removed.
    /// The controller's own clock may be minutes off. None where that fails, as on a full disk: nobody is hurried then.
    async fn server_time(&self) -> Option<i64> {
        let name = unique_tree();
        let request = Compound::new().put_handle(&self.trash).create_symlink(&name, "clock").get_attr();
        match self.site.client().call(request.put_handle(&self.trash).remove(&name)).await {
            Ok(replies) => replies.attributes(0)?.modified.map(|(seconds, _)| seconds),
            Err(error) => {
                tracing::debug!(share = self.site.location(), %error, "cannot read the server's clock");
                None
            }
        }
    }
}

/// The error for a record that is not even a link, or cannot be reached.
pub(crate) fn unreadable(site: &Site, key: &RecordKey, error: nfs_client::Error) -> OperationError {
    match error.status() {
        Some(NfsStatus::Inval | NfsStatus::BadType | NfsStatus::WrongType) => {
            OperationError::Untrusted { location: site.at(path(key)), problem: "holds something that is no record" }
        }
        _ => site.failed("read the record", path(key), error),
    }
}

fn path(key: &RecordKey) -> String {
    format!("{ROOT}/{RECORDS}/{key}")
}

fn hold_path(place: &PlaceKey) -> String {
    format!("{ROOT}/{PLACES}/{place}")
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
