//! The records of volumes.

use volume::{Record, RecordKey, SubPath};

use super::folders::Store;
use super::layout::{RECORDS, ROOT};
use super::registry::{About, Entry};
use crate::error::OperationError;

/// What the folder of records holds.
pub(super) const ABOUT: About =
    About { folder: &[ROOT, RECORDS], reading: "read the record", not_one: "holds something that is no record" };

impl Store {
    /// The record of a volume.
    pub(crate) async fn record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        let entry = self.records.read(key.as_str()).await?;
        entry.map(|entry| self.read_record(key, &entry)).transpose()
    }

    /// The same; one that does not count is none.
    pub(crate) async fn own_record(&self, key: &RecordKey) -> Result<Option<Record>, OperationError> {
        match self.record(key).await {
            Err(OperationError::NotBelieved { .. }) => Ok(None),
            result => result,
        }
    }

    /// Reads a record.
    pub(crate) fn read_record(&self, key: &RecordKey, entry: &Entry) -> Result<Record, OperationError> {
        let location = || self.records.location(key.as_str());
        let record =
            Record::from_text(&entry.text).map_err(|source| OperationError::Record { location: location(), source })?;
        if !key.is_of(&record.name) {
            // Somebody has renamed it, so that what it names would go in the name of another.
            return Err(OperationError::NotBelieved { location: location(), problem: "it is another volume's" });
        }
        Ok(record)
    }

    /// The volume whose default place is this path, if there is one: it needs no hold, its key is the path.
    pub(crate) async fn default_holder(&self, path: &SubPath) -> Result<Option<RecordKey>, OperationError> {
        let key = if self.ignores_case { RecordKey::of_folded(path) } else { path.as_str().parse().ok() };
        let Some(key) = key else { return Ok(None) };
        let record = self.record(&key).await?;
        Ok(record.filter(|record| record.path == key.default_place()).map(|_| key))
    }
}
