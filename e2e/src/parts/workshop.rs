//! Where one part is built: its directory, its log, and the clock that its progress shows.

use std::{
    cell::OnceCell,
    fmt,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::PartError;
use crate::base::{Tool, tail};

/// How often progress is told while a command runs.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Workshop<'a> {
    part: &'static str,
    directory: PathBuf,
    log: PathBuf,
    begun: Instant,
    working: Box<dyn FnMut(Duration) + 'a>,
}

impl fmt::Debug for Workshop<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Workshop").field("part", &self.part).finish_non_exhaustive()
    }
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        part: &'static str,
        directory: &Path,
        log: PathBuf,
        begun: Instant,
        working: impl FnMut(Duration) + 'a,
    ) -> Result<Self, PartError> {
        File::create(&log).map_err(PartError::file(&log))?;
        Ok(Self { part, directory: directory.to_owned(), log, begun, working: Box::new(working) })
    }

    /// A path in the part's directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The error that says that a build brought forth something odd.
    pub(super) fn odd(&self, why: impl Into<String>) -> PartError {
        PartError::Odd { part: self.part, why: why.into() }
    }

    /// Runs a command to its end; what it prints goes to the log.
    pub(super) fn run(&mut self, mut command: Command) -> Result<(), PartError> {
        let line = line(&command);
        let out = OpenOptions::new().append(true).open(&self.log).map_err(PartError::file(&self.log))?;
        let errors = out.try_clone().map_err(PartError::file(&self.log))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .map_err(|source| PartError::Start { program: line.clone(), source })?;
        let mut told = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => thread::sleep(Duration::from_millis(25)),
                Err(source) => return Err(PartError::Start { program: line, source }),
            }
            if told.elapsed() >= TICK {
                told = Instant::now();
                (self.working)(self.begun.elapsed());
            }
        };
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&self.log).map(|bytes| tail(&bytes)).unwrap_or_default();
        let (part, log) = (self.part, self.log.clone());
        Err(PartError::Step { part, command: line, status: status.to_string(), log, said })
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Versions of the compilers, asked for once.
#[derive(Debug, Default)]
pub(super) struct Tools {
    go: OnceCell<String>,
    rust: OnceCell<String>,
}

impl Tools {
    /// The Go toolchain that builds in `directory`.
    pub(super) fn go(&self, directory: &Path) -> Result<&str, PartError> {
        once(&self.go, || Tool::new("go").args(["env", "GOVERSION"]).dir(directory))
    }

    /// The Rust compiler that this checkout pins.
    pub(super) fn rust(&self) -> Result<&str, PartError> {
        once(&self.rust, || Tool::new("rustc").arg("--version").dir(&source("")))
    }
}

fn once(cell: &OnceCell<String>, tool: impl FnOnce() -> Tool) -> Result<&str, PartError> {
    if cell.get().is_none() {
        let version = tool().output().map_err(PartError::Tool)?;
        // Set by nobody else: the cell is not shared between threads.
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

    #[test]
    fn a_failing_step_names_its_log_and_shows_its_end() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let mut shop = Workshop::new("thing", home.path(), log.clone(), Instant::now(), |_| ()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo all is well; echo no such module >&2; exit 4"]);
        let text = shop.run(command).unwrap_err().to_string();
        assert!(text.contains("no such module") && text.contains(&log.display().to_string()), "{text}");
    }

    #[test]
    fn progress_is_told_while_a_step_runs() {
        let home = tempfile::tempdir().unwrap();
        let mut told = 0;
        let mut shop =
            Workshop::new("thing", home.path(), home.path().join("log"), Instant::now(), |_| told += 1).unwrap();
        let mut command = Command::new("sleep");
        command.arg("1.5");
        shop.run(command).unwrap();
        drop(shop);
        assert!(told >= 1);
    }
}
