//! The records of volumes.

use nfs_client::ObjectState;
use volume::{Record, RecordKey, SubPath};

use super::folders::Store;
use super::form::Text;
use super::layout::{RECORDS, ROOT};
use super::registry::{About, Entry};
use crate::error::OperationError;

/// What the folder of records holds.
pub(super) const ABOUT: About =
    About { folder: &[ROOT, RECORDS], reading: "read the record", not_one: "holds something that is no record" };

/// What there is of a record.
pub(crate) enum Recorded {
    Nothing,
    /// An entry without its text, in this state. Only an attempt to make this very volume has begun it.
    Begun(ObjectState),
    Record(Record),
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
            None => entry.state.map(Recorded::Begun).ok_or_else(|| self.records.foreign(key.as_str())),
        }
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
