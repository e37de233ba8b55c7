//! Running programs to their end with a deadline, and keeping what they printed.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::LabError;

/// How much of a failed program's output an error carries, in bytes.
const TAIL: usize = 2000;

/// How long the outputs of a program that has ended are waited for, when something else still holds them open.
const DRAIN: Duration = Duration::from_secs(5);

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

    /// Kills the program, and whatever it started in its process group, when it takes longer than this.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the program; any exit status is a result.
    ///
    /// The program leads a process group of its own. At the deadline the whole group is killed, and what a process outside
    /// it still holds open is waited for no longer than five seconds: this returns, whatever the program left behind.
    pub fn finish(mut self) -> Result<Finished, LabError> {
        let line = self.line();
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| LabError::Start { program: line.clone(), source })?;
        if let Some((mut to, bytes)) = child.stdin.take().zip(self.stdin.take()) {
            // A program may close its input early; what that means shows in its exit status.
            thread::spawn(move || to.write_all(&bytes));
        }
        let (stdout, stderr) = (Drain::of(child.stdout.take()), Drain::of(child.stderr.take()));
        let status = wait(&mut child, self.deadline);
        let end = Instant::now() + DRAIN;
        let (stdout, stderr) = (stdout.collect(end), stderr.collect(end));
        match status {
            Some(status) => Ok(Finished { status, stdout, stderr }),
            None => Err(LabError::Timeout {
                what: format!("the end of `{line}`"),
                seconds: self.deadline.as_secs(),
                last: tail(&[stdout, stderr].concat()),
            }),
        }
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

/// The last 2,000 bytes as text, trimmed: as much as an error carries.
pub fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).trim().to_owned()
}

/// What comes out of a pipe, collected by a thread of its own.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Nothing is sent; that the other end is gone says that the pipe is at its end.
    running: Receiver<()>,
}

impl Drain {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (ended, running) = mpsc::channel();
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            let _ended: Sender<()> = ended;
            let (mut pipe, mut buffer) = (pipe, [0; 8192]);
            // A read error ends the collection; what arrived until then is what there is to show.
            while let Some(count) =
                pipe.as_mut().and_then(|pipe| pipe.read(&mut buffer).ok()).filter(|&count| count > 0)
            {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, running }
    }

    /// Everything that came until the pipe's end, or until `end`.
    fn collect(self, end: Instant) -> Vec<u8> {
        // Both a time-out and the sender's end mean that the bytes are there to be taken.
        let _ = self.running.recv_timeout(end.saturating_duration_since(Instant::now()));
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for the child; kills its process group at the deadline and answers `None`.
fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(pause),
            Ok(None) | Err(_) => {
                // The child is not reaped yet, so the group's id is still its own.
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
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

    /// Whether a process is there and no zombie.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn a_program_past_its_deadline_is_killed_with_all_that_it_started() {
        let begun = Instant::now();
        // The grandchild holds the pipe open, as a test program's helpers do.
        let script = "sleep 600 & echo $!; wait";
        let error = Tool::new("sh").args(["-c", script]).deadline(Duration::from_millis(500)).output().unwrap_err();
        let LabError::Timeout { last, .. } = error else { panic!("{error}") };
        assert!(begun.elapsed() < Duration::from_secs(30));
        let grandchild = last.trim();
        assert!(grandchild.parse::<u32>().is_ok(), "{grandchild}");
        // It is init's to reap; until then it is a zombie at most.
        let end = Instant::now() + Duration::from_secs(10);
        while runs(grandchild) {
            assert!(Instant::now() < end, "process {grandchild} outlived the deadline");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_process_that_left_the_group_does_not_keep_the_caller_waiting() {
        let begun = Instant::now();
        let done = Tool::new("sh").args(["-c", "setsid sleep 60 & echo $!"]).finish().unwrap();
        assert!(done.status.success());
        assert!(begun.elapsed() < DRAIN * 4, "{:?}", begun.elapsed());
        let left = Pid::from_raw(done.text().trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }
}
