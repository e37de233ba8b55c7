//! Reading what the driver keeps on a share: records, and claims on custom places.

use nfs_client::{Attributes, Compound, NfsStatus, ObjectState};
use volume::{PlaceKey, Record, RecordKey, SubPath};

use super::folders::Folders;
use super::layout::{PLACES, RECORDS, ROOT, unique_tree};
use super::share::Share;
use crate::error::{Occupied, OperationError};

/// A claim whose volume has no record is left alone for so many seconds: its volume may be in the making. Longer than any
/// attempt goes on, be it that each of its requests takes all of the time that the NFS client gives it.
const UNFINISHED: i64 = 1800;

/// Who has claimed a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Nobody,
    /// Our volume, by a link that was in this state.
    Us(Option<ObjectState>),
    /// Another volume, which exists or is being made.
    Other(Occupied),
    /// Another volume, which was begun and given up; its link was in this state.
    Abandoned(ObjectState),
}

/// The record of a volume.
pub(super) async fn record(
    share: &Share,
    folders: &Folders,
    key: &RecordKey,
) -> Result<Option<Record>, OperationError> {
    match share.client().read_link(&folders.records, key.as_str()).await {
        Ok(text) => parse(share, key, &text).map(Some),
        Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
        Err(error) => Err(unreadable(share, key, error)),
    }
}

/// Reads a record's text.
pub(super) fn parse(share: &Share, key: &RecordKey, text: &[u8]) -> Result<Record, OperationError> {
    Record::from_text(&String::from_utf8_lossy(text))
        .map_err(|source| OperationError::Record { location: share.at(path(key)), source })
}

/// The error for a record that is not even a link, or cannot be reached.
pub(super) fn unreadable(share: &Share, key: &RecordKey, error: nfs_client::Error) -> OperationError {
    match error.status() {
        Some(NfsStatus::Inval | NfsStatus::BadType | NfsStatus::WrongType) => {
            OperationError::Untrusted { location: share.at(path(key)), problem: "holds something that is no record" }
        }
        _ => share.failed("read the record", path(key), error),
    }
}

fn path(key: &RecordKey) -> String {
    format!("{ROOT}/{RECORDS}/{key}")
}

/// Who has claimed a custom place, seen from the volume `ours`.
pub(super) async fn claim(
    share: &Share,
    folders: &Folders,
    place: &PlaceKey,
    ours: &RecordKey,
) -> Result<Claim, OperationError> {
    let request = Compound::new().put_handle(&folders.places).lookup(place.as_str()).read_link().get_attr();
    let replies = match share.client().call(request).await {
        Ok(replies) => replies,
        Err(error) if error.is_status(NfsStatus::NoEnt) => return Ok(Claim::Nobody),
        Err(error) => return Err(share.failed("read the claim", format!("{ROOT}/{PLACES}/{place}"), error)),
    };
    let text = String::from_utf8_lossy(replies.target(0).unwrap_or_default()).into_owned();
    let Ok(key) = text.parse::<RecordKey>() else {
        return Err(OperationError::Untrusted {
            location: share.at(format!("{ROOT}/{PLACES}/{place}")),
            problem: "holds something that is no claim",
        });
    };
    let state = replies.attributes(0).and_then(Attributes::state);
    if key == *ours {
        return Ok(Claim::Us(state));
    }
    if record(share, folders, &key).await?.is_some() {
        return Ok(Claim::Other(Occupied::Volume(key.to_string())));
    }
    let made = replies.attributes(0).and_then(|attributes| attributes.modified);
    if let (Some(state), Some((made, _))) = (state, made)
        && server_time(share, folders).await.is_some_and(|now| is_abandoned(made, now))
    {
        return Ok(Claim::Abandoned(state));
    }
    Ok(Claim::Other(Occupied::Unfinished(key.to_string())))
}

fn is_abandoned(made: i64, now: i64) -> bool {
    now.saturating_sub(made) > UNFINISHED
}

/// What time it is on the server, in seconds since 1970: NFS has no operation for that, so something is made and removed.
/// The controller's own clock may be minutes off. None where that fails, as on a full disk: nobody is hurried then.
async fn server_time(share: &Share, folders: &Folders) -> Option<i64> {
    let name = unique_tree();
    let request = Compound::new().put_handle(&folders.trash).create_symlink(&name, "clock").get_attr();
    match share.client().call(request.put_handle(&folders.trash).remove(&name)).await {
        Ok(replies) => replies.attributes(0)?.modified.map(|(seconds, _)| seconds),
        Err(error) => {
            tracing::debug!(share = share.location(), %error, "cannot read the server's clock");
            None
        }
    }
}

/// The volume whose default place is this path, if there is one: it needs no claim, its key is the path.
pub(super) async fn default_holder(
    share: &Share,
    folders: &Folders,
    path: &SubPath,
) -> Result<Option<RecordKey>, OperationError> {
    let Ok(key) = path.as_str().parse::<RecordKey>() else { return Ok(None) };
    let record = record(share, folders, &key).await?;
    Ok(record.filter(|record| record.path == *path).map(|_| key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_claim_that_is_older_than_any_attempt_is_abandoned() {
        assert!(!is_abandoned(10_000, 10_000));
        assert!(!is_abandoned(8_200, 10_000));
        assert!(is_abandoned(8_199, 10_000));
        assert!(!is_abandoned(20_000, 10_000), "a clock that was put back");
        assert!(!is_abandoned(i64::MAX, i64::MIN));
    }
}
