//! What a long run has found out so far, kept in a file, so that one that was cut off can be gone on with.

use std::{collections::BTreeMap, fs, path::PathBuf};

use labkit::base::LabError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::directory;

/// Verdicts, each under a name, and what they are about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ledger<V> {
    #[serde(skip)]
    path: PathBuf,
    /// Driver and test programs. Verdicts on others say nothing.
    subject: BTreeMap<String, String>,
    /// Name → what came of it.
    pub(crate) verdicts: BTreeMap<String, V>,
}

impl<V: Serialize + DeserializeOwned> Ledger<V> {
    /// Goes on with what an earlier run found out about the same subject, `target/report/NAME.json`, as far as it is to be
    /// kept.
    pub(crate) fn open(
        name: &str,
        subject: &BTreeMap<String, String>,
        keep: impl Fn(&V) -> bool,
    ) -> Result<Self, LabError> {
        Ok(Self::at(directory()?.join(format!("{name}.json")), subject, keep))
    }

    fn at(path: PathBuf, subject: &BTreeMap<String, String>, keep: impl Fn(&V) -> bool) -> Self {
        let earlier = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let verdicts = earlier.filter(|ledger| ledger.subject == *subject).map(|ledger| ledger.verdicts);
        let mut verdicts = verdicts.unwrap_or_default();
        verdicts.retain(|_, verdict| keep(verdict));
        Self { path, subject: subject.clone(), verdicts }
    }

    /// Adds verdicts and writes the file.
    pub(crate) fn add(&mut self, verdicts: BTreeMap<String, V>) -> Result<(), LabError> {
        self.verdicts.extend(verdicts);
        let text = serde_json::to_vec_pretty(self).map_err(LabError::reply(self.path.display()))?;
        // A run that is killed while it writes must not lose what is there.
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &self.path)).map_err(LabError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_goes_on_with_what_passed_for_the_same_subject() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.json");
        let subject = |image: &str| BTreeMap::from([("image".to_owned(), image.to_owned())]);
        let good = |verdict: &i32| *verdict > 0;
        let mut ledger = Ledger::at(path.clone(), &subject("one"), good);
        ledger.add([("good".to_owned(), 1), ("bad".to_owned(), -1)].into()).unwrap();
        ledger.add([("better".to_owned(), 2)].into()).unwrap();
        let again = Ledger::at(path.clone(), &subject("one"), good);
        assert_eq!(again.verdicts, [("better".to_owned(), 2), ("good".to_owned(), 1)].into());
        assert!(Ledger::at(path, &subject("two"), good).verdicts.is_empty());
    }
}
