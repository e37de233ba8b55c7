//! Where a lab keeps its files, and the note it leaves about what it runs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use labkit::base::{Daemon, LabError, checkout, process};
use serde::{Deserialize, Serialize};

/// The directory of one lab: `target/lab/NAME`.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// What a lab that came up consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNote {
    /// Inputs the lab was built from (part → path or digest). A lab made from other inputs is not reused.
    pub inputs: BTreeMap<String, String>,
    /// The `kubectl` that it was built with; the parts of today may not be built yet.
    pub kubectl: PathBuf,
    /// Background processes on the host.
    pub daemons: Vec<Daemon>,
}

impl RunNote {
    /// The background process of this name.
    pub fn daemon(&mut self, name: &str) -> Result<&mut Daemon, LabError> {
        let found = self.daemons.iter_mut().find(|daemon| daemon.name == name);
        found.ok_or_else(|| LabError::Precondition(format!("the lab runs no {name}")))
    }
}

impl StateDir {
    /// The directory of the lab called `name`; made when missing.
    pub fn open(name: &str) -> Result<Self, LabError> {
        Self::at(checkout().join("target/lab").join(name))
    }

    /// A fresh lab inside this one: its processes end with this one's, or alone. What an earlier one left is ended first.
    pub fn nested(&self, name: &str) -> Result<Self, LabError> {
        let state = Self::at(self.root.join(name))?;
        process::end_all(&state.root)?;
        state.clear()?;
        Ok(state)
    }

    /// The lab in directory `root`; made when missing.
    pub fn at(root: PathBuf) -> Result<Self, LabError> {
        for dir in [root.clone(), root.join("logs"), root.join("guests")] {
            fs::create_dir_all(&dir).map_err(LabError::file(&dir))?;
        }
        Ok(Self { root })
    }

    /// Names of every lab that has a directory.
    pub fn names() -> Vec<String> {
        let dirs = fs::read_dir(checkout().join("target/lab")).into_iter().flatten().flatten();
        let mut names: Vec<String> = dirs
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Waits for the lock that keeps two `lab` programs from changing one lab at once; dropping it lets go.
    pub fn lock(&self) -> Result<fs::File, LabError> {
        let path = self.root.join("lock");
        let file = fs::File::create(&path).map_err(LabError::file(&path))?;
        file.lock().map_err(LabError::file(&path))?;
        Ok(file)
    }

    /// The directory itself; also the mark that the lab's processes carry.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Logs of the host's processes.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Files of one guest.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.root.join("guests").join(name)
    }

    /// A file or directory of the lab.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The note of the last `up`, if that came to its end.
    pub fn note(&self) -> Option<RunNote> {
        let text = fs::read_to_string(self.file("run.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Leaves the note that the lab is up.
    pub fn write_note(&self, note: &RunNote) -> Result<(), LabError> {
        let path = self.file("run.json");
        let text = serde_json::to_string_pretty(note).map_err(LabError::reply("the lab's own note"))?;
        fs::write(&path, text).map_err(LabError::file(&path))
    }

    /// Removes everything but the logs, among which the guests' are moved first.
    pub fn clear(&self) -> Result<(), LabError> {
        self.keep_guest_logs()?;
        let entries = fs::read_dir(&self.root).map_err(LabError::file(&self.root))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|name| name == "logs" || name == "lock") {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(LabError::file(&path))?;
        }
        Ok(())
    }

    /// Moves `guests/NAME/*.log` to `logs/NAME-*.log`.
    fn keep_guest_logs(&self) -> Result<(), LabError> {
        let logs = self.file("logs");
        let Ok(guests) = fs::read_dir(self.file("guests")) else { return Ok(()) };
        fs::create_dir_all(&logs).map_err(LabError::file(&logs))?;
        for guest in guests.flatten() {
            for file in fs::read_dir(guest.path()).into_iter().flatten().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if file.path().extension().is_some_and(|ending| ending == "log") {
                    let kept = logs.join(format!("{}-{name}", guest.file_name().to_string_lossy()));
                    fs::rename(file.path(), &kept).map_err(LabError::file(&kept))?;
                }
            }
        }
        Ok(())
    }
}
