//! The note by which a later program finds a guest again.

use std::{fs, path::Path};

use super::Guest;
use crate::base::LabError;

const FILE: &str = "guest.json";

impl Guest {
    /// Leaves the note in the guest's directory, at once or not at all.
    pub(super) fn note(&self) -> Result<(), LabError> {
        let (path, fresh) = (self.directory.join(FILE), self.directory.join("guest.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(LabError::reply(path.display()))?;
        fs::write(&fresh, text).map_err(LabError::file(&fresh))?;
        fs::rename(&fresh, &path).map_err(LabError::file(&path))
    }

    /// The guest whose files live in `directory`, running or not.
    pub fn attach(directory: &Path) -> Result<Self, LabError> {
        let path = directory.join(FILE);
        let text = fs::read(&path).map_err(LabError::file(&path))?;
        let noted: Self = serde_json::from_slice(&text).map_err(LabError::reply(path.display()))?;
        Ok(Self { directory: directory.to_owned(), ..noted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Daemon;

    #[test]
    fn notes_read_back_as_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Guest::attach(directory.path()), Err(LabError::File { .. })));
        let guest = Guest {
            name: "node-1".into(),
            agent: "10.77.0.11:4022".parse().unwrap(),
            token: "ab".into(),
            process: Daemon { name: "qemu".into(), pid: 7, started: 9, log: "qemu.log".into() },
            directory: directory.path().to_owned(),
        };
        guest.note().unwrap();
        assert_eq!(Guest::attach(directory.path()).unwrap(), guest);
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert!(matches!(Guest::attach(directory.path()), Err(LabError::Because { .. })));
    }
}
