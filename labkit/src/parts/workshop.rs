//! Where one part is built: its directory, its log, and the clock that its progress shows.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use super::{
    LabError,
    progress::{Progress, Step},
};
use crate::base::{Tool, tail};

/// A step of building, begun.
#[derive(Debug)]
pub(super) struct Workshop {
    directory: PathBuf,
    log: PathBuf,
    progress: Progress,
}

impl Workshop {
    /// Begins a step in `directory`, with a fresh log.
    pub(super) fn new(step: Step, directory: &Path, log: PathBuf) -> Result<Self, LabError> {
        let progress = Progress::begin(step);
        File::create(&log).map_err(LabError::file(&log))?;
        Ok(Self { directory: directory.to_owned(), log, progress })
    }

    /// A path in the part's directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The error that says that a build brought forth something odd.
    pub(super) fn odd(&self, why: impl Into<String>) -> LabError {
        LabError::Unmet(format!("{}: {}", self.progress.name(), why.into()))
    }

    /// Runs a command to its end; what it prints goes to the log.
    pub(super) fn run(&mut self, mut command: Command) -> Result<(), LabError> {
        let line = line(&command);
        let out = OpenOptions::new().append(true).open(&self.log).map_err(LabError::file(&self.log))?;
        let errors = out.try_clone().map_err(LabError::file(&self.log))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .map_err(|source| LabError::Start { program: line.clone(), source })?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => thread::sleep(Duration::from_millis(25)),
                Err(source) => return Err(LabError::Start { program: line, source }),
            }
            self.progress.tick();
        };
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&self.log).map(|bytes| tail(&bytes)).unwrap_or_default();
        let (part, log) = (self.progress.name().to_owned(), self.log.clone());
        Err(LabError::Step { part, command: line, status: status.to_string(), log, said })
    }

    /// The step is done; tells how long it took.
    pub(super) fn finish(&self) -> Duration {
        self.progress.end()
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Versions of the compilers, asked for once.
#[derive(Debug, Default)]
pub(super) struct Tools {
    go: OnceLock<String>,
    rust: OnceLock<String>,
}

impl Tools {
    /// The Go toolchain that builds in `directory`.
    pub(super) fn go(&self, directory: &Path) -> Result<&str, LabError> {
        once(&self.go, || Tool::new("go").args(["env", "GOVERSION"]).dir(directory))
    }

    /// The Rust compiler that this checkout pins.
    pub(super) fn rust(&self) -> Result<&str, LabError> {
        once(&self.rust, || Tool::new("rustc").arg("--version").dir(&source("")))
    }
}

fn once(cell: &OnceLock<String>, tool: impl FnOnce() -> Tool) -> Result<&str, LabError> {
    if cell.get().is_none() {
        let version = tool().output()?;
        // Who was quicker has asked the same tool.
        let _ = cell.set(version.trim().to_owned());
    }
    Ok(cell.get().map(String::as_str).unwrap_or_default())
}

/// A file of this crate's sources.
pub(super) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Step {
        Step { name: "thing".to_owned(), number: 1, of: 1, usual: Duration::ZERO }
    }

    #[test]
    fn a_failing_step_names_its_log_and_shows_its_end() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let mut shop = Workshop::new(step(), home.path(), log.clone()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo all is well; printf 'no such %s' module >&2; exit 4"]);
        let text = shop.run(command).unwrap_err().to_string();
        assert!(text.contains("no such module") && text.contains(&log.display().to_string()), "{text}");
    }

    #[test]
    fn progress_is_told_while_a_step_runs() {
        let home = tempfile::tempdir().unwrap();
        let mut shop = Workshop::new(step(), home.path(), home.path().join("log")).unwrap();
        let mut command = Command::new("sleep");
        command.arg("1.5");
        shop.run(command).unwrap();
        assert!(shop.progress.told() >= Duration::from_secs(1));
    }
}
