//! The note by which a later program finds a guest again.

use std::{fs, net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};

use crate::base::{Daemon, LabError};

const FILE: &str = "guest.json";

/// What is known of a guest that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the guest.
    pub name: String,
    /// Where its agent listens.
    pub agent: SocketAddr,
    /// The secret that its agent asks for.
    pub token: String,
    /// Its qemu.
    pub process: Daemon,
}

impl Record {
    /// Writes the note at once or not at all.
    pub fn write(&self, directory: &Path) -> Result<(), LabError> {
        let (path, fresh) = (directory.join(FILE), directory.join("guest.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(reply(&path))?;
        fs::write(&fresh, text).map_err(LabError::file(&fresh))?;
        fs::rename(&fresh, &path).map_err(LabError::file(&path))
    }

    /// Reads the note of the guest that lives in `directory`.
    pub fn read(directory: &Path) -> Result<Self, LabError> {
        let path = directory.join(FILE);
        let text = fs::read(&path).map_err(LabError::file(&path))?;
        serde_json::from_slice(&text).map_err(reply(&path))
    }
}

fn reply(path: &Path) -> impl FnOnce(serde_json::Error) -> LabError {
    let what = path.display().to_string();
    move |source| LabError::Reply { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_read_back_as_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Record::read(directory.path()), Err(LabError::File { .. })));
        let record = Record {
            name: "node-1".into(),
            agent: "10.77.0.11:4022".parse().unwrap(),
            token: "ab".into(),
            process: Daemon { name: "qemu".into(), pid: 7, started: 9, log: "qemu.log".into() },
        };
        record.write(directory.path()).unwrap();
        assert_eq!(Record::read(directory.path()).unwrap(), record);
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert!(matches!(Record::read(directory.path()), Err(LabError::Reply { .. })));
    }
}
