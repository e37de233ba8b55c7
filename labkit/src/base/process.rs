//! The lab's long-running processes: started in the background, found again, ended.
//!
//! Every process of a lab carries the lab's state directory, or one inside it, in its environment ([`MARKER`]); `lab` also
//! puts it into its own before it starts anything ([`mark`]), so that nothing it starts lacks it. It is there from the
//! process's first moment, but for the instant of an execve(2): whatever a killed `lab` leaves running is found by its mark.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{LabError, eventually, tail};

/// Environment variable whose value is the state directory of the lab that a process belongs to.
pub const MARKER: &str = "BERTH_LAB_RUN";

/// How long a process has to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// A background process of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Part of the lab that it is.
    pub name: String,
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`): tells a reused pid from the process.
    pub started: u64,
    /// Its standard output and error.
    pub log: PathBuf,
}

impl Daemon {
    /// Starts `command` in a process group of its own with its output in `directory/NAME.log`. It is marked as part of
    /// every lab that `directory` lies in.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self, LabError> {
        let log = directory.join(format!("{name}.log"));
        let out = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(LabError::file(&log))?;
        let errors = out.try_clone().map_err(LabError::file(&log))?;
        let child = command
            .env(MARKER, directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| LabError::Start { program: name.to_owned(), source })?;
        let pid = child.id();
        let started = start_time(pid).unwrap_or_default();
        Ok(Self { name: name.to_owned(), pid, started, log })
    }

    /// Whether it still runs.
    pub fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// The error that says that this part is not as it should be, with the end of its log.
    pub fn broken(&self, why: &str) -> LabError {
        let end = fs::read(&self.log).map(|bytes| tail(&bytes)).unwrap_or_default();
        let last = end.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n  ");
        LabError::Part { part: self.name.clone(), why: format!("{why}\n  {last}\n"), log: self.log.clone() }
    }

    /// The command that it runs, to start it again when it has ended. A process that has ended tells none.
    pub fn command(&self) -> Result<Command, LabError> {
        let path = PathBuf::from(format!("/proc/{}/cmdline", self.pid));
        // A process is there a moment before its words are: until its exec is done.
        let line = eventually(&format!("the words of {}", self.name), GRACE, Duration::from_millis(5), || {
            let line = fs::read(&path).unwrap_or_default();
            if line.is_empty() && self.alive() { Err("none".to_owned()) } else { Ok(line) }
        })?;
        let mut words = line.strip_suffix(b"\0").unwrap_or(&line).split(|&byte| byte == 0).map(OsStr::from_bytes);
        match words.next().filter(|program| !program.is_empty() && self.alive()) {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words);
                Ok(command)
            }
            None => Err(self.broken("it has ended, and so nobody knows how it was started")),
        }
    }

    /// Ends this one process at once.
    pub fn kill(&self) -> Result<(), LabError> {
        if self.alive() {
            signal(self.pid, Signal::KILL, || self.alive());
        }
        eventually(&format!("the end of {}", self.name), GRACE, Duration::from_millis(20), || {
            if self.alive() { Err("still there".to_owned()) } else { Ok(()) }
        })
    }
}

/// Replaces the calling program with itself, marked as part of the lab in `state`; returns when it is already.
pub fn mark(state: &Path) -> Result<(), LabError> {
    if std::env::var_os(MARKER).is_some_and(|value| value == state.as_os_str()) {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(LabError::file("/proc/self/exe"))?;
    let source = Command::new(&program).args(std::env::args_os().skip(1)).env(MARKER, state).exec();
    Err(LabError::Start { program: program.display().to_string(), source })
}

/// Ends every process that carries the mark of `state` or of a directory in it, but for the caller. Returns how many there were.
pub fn end_all(state: &Path) -> Result<usize, LabError> {
    let (begun, mut known, mut quiet) = (Instant::now(), BTreeSet::new(), 0);
    eventually("the end of the lab's processes", GRACE * 6, Duration::from_millis(50), || {
        let left = marked(state);
        for &pid in &left {
            let asked = !known.insert(pid);
            if begun.elapsed() > GRACE {
                signal(pid, Signal::KILL, || carries(pid, state));
            } else if !asked {
                signal(pid, Signal::TERM, || carries(pid, state));
            }
        }
        // In the middle of execve(2) a process shows no environment, so one look is not enough.
        quiet = if left.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 { Ok(()) } else { Err(format!("{left:?} still there")) }
    })?;
    Ok(known.len())
}

/// Processes that carry the mark of `state` or of a directory in it, but for the caller.
pub fn marked(state: &Path) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != std::process::id() && carries(pid, state))
        .collect()
}

fn carries(pid: u32, state: &Path) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let mark = format!("{MARKER}=");
    let mut values = environ.split(|&byte| byte == 0).filter_map(|entry| entry.strip_prefix(mark.as_bytes()));
    values.any(|value| Path::new(OsStr::from_bytes(value)).starts_with(state))
}

/// Sends `signal` to `pid` if, with the process pinned by a descriptor, `still` says that it is the one meant.
fn signal(pid: u32, signal: Signal, still: impl Fn() -> bool) {
    let pinned: Option<OwnedFd> =
        i32::try_from(pid).ok().and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(process) = pinned
        && still()
    {
        // The only failure left is that it ended by itself.
        let _ = pidfd_send_signal(process, signal);
    }
}

/// Start time of a process that runs (a zombie does not).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(directory: &Path) -> Daemon {
        let mut command = Command::new("sleep");
        command.arg("600");
        Daemon::start("sleeper", command, directory).unwrap()
    }

    #[test]
    fn marked_processes_end_and_others_stay() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let nested = mine.path().join("nested");
        fs::create_dir(&nested).unwrap();
        let (first, second, bystander) = (sleeper(mine.path()), sleeper(&nested), sleeper(other.path()));
        assert!(first.alive() && second.alive() && bystander.alive());
        assert_eq!(end_all(&nested).unwrap(), 1);
        assert!(first.alive() && !second.alive());
        let third = sleeper(&nested);
        assert_eq!(end_all(mine.path()).unwrap(), 2);
        assert!(!first.alive() && !third.alive());
        assert!(bystander.alive());
        bystander.kill().unwrap();
        assert!(!bystander.alive());
    }

    #[test]
    fn a_daemon_tells_how_it_is_started_again() {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600; exit \"$1\"", "sh", "two words", ""]);
        let daemon = Daemon::start("shell", command, state.path()).unwrap();
        let command = daemon.command().unwrap();
        let words: Vec<&OsStr> = command.get_args().collect();
        assert_eq!(command.get_program(), "sh");
        assert_eq!(words, ["-c", "sleep 600; exit \"$1\"", "sh", "two words", ""]);
        end_all(state.path()).unwrap();
        assert!(daemon.command().is_err());
    }

    #[test]
    fn a_reused_pid_is_not_the_process() {
        let state = tempfile::tempdir().unwrap();
        let daemon = sleeper(state.path());
        let impostor = Daemon { started: daemon.started + 1, ..daemon.clone() };
        assert!(!impostor.alive());
        impostor.kill().unwrap();
        assert!(daemon.alive(), "killing by a stale record must not touch another process");
        daemon.kill().unwrap();
    }
}
