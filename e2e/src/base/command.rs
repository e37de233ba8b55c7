//! Running programs to their end with a deadline, and keeping what they printed.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::LabError;

/// How much of a failed program's output an error carries, in bytes.
const TAIL: usize = 2000;

/// A program to run to its end.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Tool {
    /// `program` without arguments, with ten minutes to finish.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), stdin: None, deadline: Duration::from_mins(10) }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Feeds `bytes` to standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Kills the program when it takes longer than this.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the program; any exit status is a result.
    pub fn finish(mut self) -> Result<Finished, LabError> {
        let line = self.line();
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| LabError::Start { program: line.clone(), source })?;
        let input = self.stdin.take();
        let (mut to, from, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            // A program may close its input early; what that means shows in its exit status.
            scope.spawn(move || to.as_mut().zip(input).map(|(pipe, bytes)| pipe.write_all(&bytes)));
            let stdout = scope.spawn(move || drain(from));
            let stderr = scope.spawn(move || drain(errors));
            let status = wait(&mut child, self.deadline);
            let collect = |handle: thread::ScopedJoinHandle<'_, Vec<u8>>| handle.join().unwrap_or_default();
            let (stdout, stderr) = (collect(stdout), collect(stderr));
            match status {
                Some(status) => Ok(Finished { status, stdout, stderr }),
                None => Err(LabError::Timeout {
                    what: format!("the end of `{line}`"),
                    seconds: self.deadline.as_secs(),
                    last: tail(&[stdout, stderr].concat()),
                }),
            }
        })
    }

    /// Runs the program and returns its standard output; a failing status is an error.
    pub fn output(self) -> Result<String, LabError> {
        let line = self.line();
        let done = self.finish()?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(LabError::Command { command: line, status: done.status.to_string(), output: done.printed() })
    }

    fn line(&self) -> String {
        let program = self.command.get_program();
        let name = Path::new(program).file_name().unwrap_or(program).to_owned();
        let words: Vec<OsString> =
            std::iter::once(name).chain(self.command.get_args().map(OsStr::to_os_string)).collect();
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

impl Finished {
    /// The end of standard error, or of standard output when that is empty.
    pub fn printed(&self) -> String {
        tail(if self.stderr.iter().any(|byte| !byte.is_ascii_whitespace()) { &self.stderr } else { &self.stdout })
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The last [`TAIL`] bytes as text, trimmed.
pub(crate) fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).trim().to_owned()
}

fn drain(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A read error ends the collection; what arrived until then is what there is to show.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// Waits for the child; kills it at the deadline and answers `None`.
fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(pause),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_input_pass_through() {
        assert_eq!(Tool::new("cat").stdin("hello").output().unwrap(), "hello");
    }

    #[test]
    fn failure_carries_status_and_stderr() {
        let error = Tool::new("sh").args(["-c", "echo why >&2; exit 3"]).output().unwrap_err();
        assert!(matches!(&error, LabError::Command { output, status, .. } if output == "why" && status.contains('3')));
    }

    #[test]
    fn a_program_past_its_deadline_is_killed() {
        let begun = Instant::now();
        let error = Tool::new("sleep").arg("60").deadline(Duration::from_millis(50)).output().unwrap_err();
        assert!(matches!(error, LabError::Timeout { .. }));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
