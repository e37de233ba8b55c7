//! What a run has found out so far, kept in a file, so that one that was cut off can be gone on with.

use std::{collections::BTreeMap, fs, path::PathBuf};

use labkit::base::LabError;
use serde::{Deserialize, Serialize};

use super::spec::{State, Verdict};
use crate::report;

/// Verdicts, and what they are about.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    #[serde(skip)]
    path: PathBuf,
    /// Driver and test programs. Verdicts on others say nothing.
    subject: BTreeMap<String, String>,
    /// Spec → what came of it.
    pub(super) verdicts: BTreeMap<String, Verdict>,
}

impl Ledger {
    /// Goes on with what an earlier run found out about the same subject, but for what failed.
    pub(super) fn open(subject: &BTreeMap<String, String>) -> Result<Self, LabError> {
        Ok(Self::at(report::directory()?.join("external.json"), subject))
    }

    fn at(path: PathBuf, subject: &BTreeMap<String, String>) -> Self {
        let earlier = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let earlier = earlier.filter(|ledger| ledger.subject == *subject).unwrap_or_default();
        let mut verdicts = earlier.verdicts;
        verdicts.retain(|_, verdict| verdict.state != State::Failed);
        Self { path, subject: subject.clone(), verdicts }
    }

    /// Adds verdicts and writes the file.
    pub(super) fn add(&mut self, verdicts: BTreeMap<String, Verdict>) -> Result<(), LabError> {
        self.verdicts.extend(verdicts);
        let text = serde_json::to_vec_pretty(self).map_err(LabError::reply("the suite's ledger"))?;
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
        let verdict = |name: &str, state| (name.to_owned(), Verdict { state, ..Verdict::absent() });
        let mut ledger = Ledger::at(path.clone(), &subject("one"));
        ledger.add([verdict("good", State::Passed), verdict("bad", State::Failed)].into()).unwrap();
        ledger.add([verdict("not", State::NotApplicable)].into()).unwrap();
        let again = Ledger::at(path.clone(), &subject("one"));
        assert_eq!(again.verdicts.keys().collect::<Vec<_>>(), ["good", "not"]);
        assert!(Ledger::at(path, &subject("two")).verdicts.is_empty());
    }
}
