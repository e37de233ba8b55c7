//! Commands in a guest: what to run, what came of it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Guest;
use crate::base::{LabError, tail};

/// A command to run in a guest, as root.
#[derive(Debug, Clone)]
pub struct Exec {
    pub(super) words: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) input: Input,
    pub(super) timeout: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Which of a command's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + N when signal N ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Exec {
    /// Program and arguments, with empty input and two minutes to finish.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(words: I) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            input: Input::Bytes(Vec::new()),
            timeout: Duration::from_mins(2),
        }
    }

    /// A shell script; it stops at its first failing command.
    pub fn sh(script: &str) -> Self {
        Self::new(["sh", "-ec", script])
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.variables.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Feeds bytes to standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Feeds a file of the host to standard input.
    #[must_use]
    pub fn stdin_file(mut self, path: &Path) -> Self {
        self.input = Input::File(path.to_owned());
        self
    }

    /// Ends the command when it takes longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The end of standard error, or of standard output when that is empty.
    pub fn printed(&self) -> String {
        tail(if self.stderr.iter().any(|byte| !byte.is_ascii_whitespace()) { &self.stderr } else { &self.stdout })
    }
}

impl Guest {
    /// Runs a command to its end; any exit status is a result.
    pub fn exec(&self, command: &Exec) -> Result<Output, LabError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = self.exec_streaming(command, |stream, bytes| match stream {
            Stream::Output => stdout.extend_from_slice(bytes),
            Stream::Error => stderr.extend_from_slice(bytes),
        });
        match result {
            Ok(status) => Ok(Output { status, stdout, stderr }),
            Err(LabError::Timeout { what, seconds, .. }) => {
                Err(LabError::Timeout { what, seconds, last: tail(&[stdout, stderr].concat()) })
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a command to its end with its output on this program's own as it comes; returns its exit status.
    pub fn exec_shown(&self, command: &Exec) -> Result<i32, LabError> {
        self.exec_streaming(command, |stream, bytes| {
            // Where nobody reads any more, nobody misses it.
            let _ = match stream {
                Stream::Output => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
                Stream::Error => io::stderr().write_all(bytes),
            };
        })
    }

    /// Runs a command that has to succeed.
    pub fn run(&self, command: &Exec) -> Result<Output, LabError> {
        let output = self.exec(command)?;
        if output.status == 0 {
            return Ok(output);
        }
        let status = output.status.to_string();
        Err(LabError::Command { command: self.line(command), status, output: output.printed() })
    }

    /// Starts a program that runs on by itself, its output appended to `log` (a path in the guest); returns its process
    /// id. It leads a session of its own, and ends with the guest.
    pub fn spawn(&self, words: &[&str], log: &str) -> Result<u32, LabError> {
        let script = "log=$1; shift; setsid -- \"$@\" </dev/null >>\"$log\" 2>&1 & echo $!";
        let command = Exec::new(["sh", "-ec", script, "spawn", log].iter().chain(words).copied());
        let output = self.run(&command)?;
        let printed = output.text();
        printed.trim().parse().map_err(|_| LabError::Unmet(format!("{} printed {printed:?}", self.line(&command))))
    }

    /// Writes a file that its owner alone may read, at once or not at all; missing directories are made.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), LabError> {
        self.run(&receive(path, 0o600).stdin(bytes)).map(drop)
    }

    /// Copies a file of the host into the guest.
    pub fn copy_in(&self, from: &Path, to: &str, mode: u32) -> Result<(), LabError> {
        self.run(&receive(to, mode).stdin_file(from).timeout(Duration::from_mins(10))).map(drop)
    }
}

fn receive(path: &str, mode: u32) -> Exec {
    let script = "mkdir -p \"$(dirname \"$1\")\"; cat >\"$1.part\"; chmod \"$2\" \"$1.part\"; mv -f \"$1.part\" \"$1\"";
    Exec::new(["sh", "-ec", script, "receive", path, &format!("{mode:o}")])
}
