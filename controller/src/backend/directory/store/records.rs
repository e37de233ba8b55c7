//! The records of volumes.

use nfs_client::ObjectState;
use volume::{Record, RecordKey, SubPath};

use super::folders::Store;
use super::form::Text;
use super::layout::{RECORDS, ROOT};
use super::registry::{About, Entry};
use crate::error::{Occupied, OperationError};

/// What the folder of records holds.
pub(super) const ABOUT: About =
    About { folder: &[ROOT, RECORDS], reading: "read the record", not_one: "holds something that is no record" };

/// What there is of a record.
pub(crate) enum Recorded {
    Nothing,
    /// An entry without its text. Only an attempt to make this very volume has begun it.
    Begun(BegunRecord),
    Record(Record),
}

/// A record that has no text yet, as it was seen.
#[derive(Debug)]
pub(crate) struct BegunRecord {
    state: ObjectState,
    /// When it was made, in seconds since 1970 by the server's clock.
    written: Option<i64>,
}

impl Store {
    /// The record of a volume.
    pub(crate) async fn record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        match self.records.read(key.as_str()).await? {
            Some(entry) => self.read_record(key, &entry),
            None => Ok(None),
        }
    }

    /// The same, for whoever is to write one.
    pub(crate) async fn recorded(&self, key: &RecordKey) -> Result<Recorded, OperationError> {
        let Some(entry) = self.records.read(key.as_str()).await? else { return Ok(Recorded::Nothing) };
        match self.read_record(key, &entry)? {
            Some(record) => Ok(Recorded::Record(record)),
            None => self.begun_record(key, &entry).map(Recorded::Begun),
        }
    }

    /// An entry that [`read_record`](Self::read_record) has found to be without its text.
    pub(crate) fn begun_record(&self, key: &RecordKey, entry: &Entry) -> Result<BegunRecord, OperationError> {
        let state = entry.state.ok_or_else(|| self.records.foreign(key.as_str()))?;
        Ok(BegunRecord { state, written: entry.written })
    }

    /// Refused as long as whoever has begun a record may be about to write its text: that would go into a file that is no more, and he
    /// would take the volume for made.
    pub(crate) async fn require_given_up(&self, key: &RecordKey, begun: &BegunRecord) -> Result<(), OperationError> {
        match begun.written {
            Some(written) if self.is_given_up(written).await => Ok(()),
            _ => Err(OperationError::Occupied { location: self.records.location(key.as_str()), by: Occupied::Begun }),
        }
    }

    /// Removes a record that was begun, if it is as it was seen; if it is not, nothing happens.
    pub(crate) async fn discard_record(&self, key: &RecordKey, begun: &BegunRecord) -> Result<(), OperationError> {
        self.records.discard(key.as_str(), begun.state).await
    }

    /// The same; one that does not count is none.
    pub(crate) async fn own_record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        match self.record(key).await {
            Err(OperationError::NotBelieved { .. }) => Ok(None),
            result => result,
        }
    }

    /// Reads a record; none if it was begun and not finished.
    pub(crate) fn read_record(&self, key: &RecordKey, entry: &Entry) -> Result<Option<Record>, OperationError> {
        let Text::Whole(text) = &entry.text else { return Ok(None) };
        let location = || self.records.location(key.as_str());
        let record =
            Record::from_text(text).map_err(|source| OperationError::Record { location: location(), source })?;
        if !key.is_of(&record.name) {
            // Somebody has renamed it, so that what it names would go in the name of another.
            return Err(OperationError::NotBelieved { location: location(), problem: "it is another volume's" });
        }
        Ok(Some(record))
    }

    /// The volume whose default place is this path, if there is one: it needs no hold, its key is the path.
    pub(crate) async fn default_holder(&self, path: &SubPath) -> Result<Option<RecordKey>, OperationError> {
        let key = if self.ignores_case { RecordKey::of_folded(path) } else { path.as_str().parse().ok() };
        let Some(key) = key else { return Ok(None) };
        let record = self.record(&key).await?;
        Ok(record.filter(|record| record.path == key.default_place()).map(|_| key))
    }
}
