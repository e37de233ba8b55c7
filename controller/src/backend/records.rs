//! Reading what the driver keeps on a share: records, and claims on custom places.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nfs_client::{Compound, NfsStatus};
use volume::{PlaceKey, Record, RecordKey, SubPath};

use super::folders::Folders;
use super::layout::{PLACES, RECORDS, ROOT};
use super::share::Share;
use crate::error::{Occupied, OperationError};

/// A claim whose volume has no record is left alone for so long: its volume may be in the making. Longer than any call
/// of the NFS client goes on.
const UNFINISHED: Duration = Duration::from_mins(2);

/// Who has claimed a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Nobody,
    Us,
    /// Another volume, which exists or is being made.
    Other(Occupied),
    /// Another volume, which was begun and given up.
    Abandoned,
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
    if key == *ours {
        return Ok(Claim::Us);
    }
    if record(share, folders, &key).await?.is_some() {
        return Ok(Claim::Other(Occupied::Volume(key.to_string())));
    }
    let modified = replies.attributes(0).and_then(|attributes| attributes.modified);
    if modified.is_some_and(|(seconds, _)| is_abandoned(seconds, SystemTime::now())) {
        return Ok(Claim::Abandoned);
    }
    Ok(Claim::Other(Occupied::Unfinished(key.to_string())))
}

fn is_abandoned(made: i64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(made).is_ok_and(|made| now.saturating_sub(Duration::from_secs(made)) > UNFINISHED)
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
        let now = UNIX_EPOCH + Duration::from_secs(10_000);
        assert!(!is_abandoned(10_000, now));
        assert!(!is_abandoned(9_880, now));
        assert!(is_abandoned(9_879, now));
        assert!(!is_abandoned(20_000, now), "a server's clock that runs ahead");
        assert!(!is_abandoned(-1, now));
    }
}
