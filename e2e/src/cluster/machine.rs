//! A guest of the lab with its name and its place in the network.

use std::{path::Path, time::Duration};

use super::network;
use crate::{
    base::{LabError, tail},
    guest::{Exec, Guest, Output},
};

/// How long a command in a guest may take unless its caller says otherwise. Guests may be emulated.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running guest.
#[derive(Debug)]
pub struct Machine {
    nic: network::Nic,
    guest: Guest,
}

impl Machine {
    /// A booted guest at its place.
    pub fn new(guest: Guest, nic: network::Nic) -> Self {
        Self { nic, guest }
    }

    /// The guest whose files are in `dir`, if it runs.
    pub fn attach(nic: network::Nic, dir: &Path) -> Option<Self> {
        let guest = Guest::attach(dir).ok().filter(Guest::alive)?;
        Some(Self { nic, guest })
    }

    /// Its name; as a node, also the node's name.
    pub fn name(&self) -> &str {
        self.guest.name()
    }

    /// Its place in the lab's network.
    pub fn nic(&self) -> &network::Nic {
        &self.nic
    }

    /// The guest itself.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Runs a shell script; the first failing command fails it. Returns what it printed.
    pub fn sh(&self, script: &str) -> Result<String, LabError> {
        self.sh_within(script, PATIENCE)
    }

    /// As [`Machine::sh`] with another deadline.
    pub fn sh_within(&self, script: &str, deadline: Duration) -> Result<String, LabError> {
        self.guest.run(&Exec::sh(script).timeout(deadline)).map(|done| done.text())
    }

    /// Runs a shell script; any status is a result.
    pub fn run(&self, script: &str, deadline: Duration) -> Result<Output, LabError> {
        self.guest.exec(&Exec::sh(script).timeout(deadline))
    }

    /// Repeats `condition` in the guest until it holds.
    pub fn wait_for(&self, what: &str, deadline: Duration, condition: &str) -> Result<(), LabError> {
        let script = format!("until {condition}; do sleep 0.2; done");
        match self.guest.exec(&Exec::sh(&script).timeout(deadline)) {
            Ok(done) if done.status == 0 => Ok(()),
            Ok(done) => Err(self.not_reached(what, deadline, &done.stderr)),
            Err(LabError::Timeout { last, .. }) => Err(self.not_reached(what, deadline, last.as_bytes())),
            Err(error) => Err(error),
        }
    }

    fn not_reached(&self, what: &str, deadline: Duration, printed: &[u8]) -> LabError {
        LabError::Timeout {
            what: format!("{what} in {}", self.name()),
            seconds: deadline.as_secs(),
            last: tail(printed),
        }
    }

    /// Writes a file that its owner alone may read.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), LabError> {
        self.guest.write(path, bytes, 0o600)
    }

    /// Copies a file of the host into the guest.
    pub fn copy_in(&self, file: &Path, path: &str, mode: u32) -> Result<(), LabError> {
        self.guest.copy_in(file, path, mode)
    }

    /// Starts a program that stays, with its output in `/var/log/NAME.log` of the guest.
    pub fn background(&self, name: &str, command: &str) -> Result<(), LabError> {
        let script = format!("echo $$ >/run/{name}.pid; exec {command}");
        let log = format!("/var/log/{name}.log");
        self.guest.spawn(&["sh", "-c", &script], &log).map(drop)
    }

    /// Kills a program that [`Machine::background`] started, without warning, and waits until it is gone.
    pub fn stop(&self, name: &str) -> Result<(), LabError> {
        let script = "kill -9 $pid; while [ -e /proc/$pid ]; do sleep 0.1; done";
        self.sh(&format!("pid=$(cat /run/{name}.pid)\n{script}")).map(drop)
    }

    /// Ends the guest, at once.
    pub fn kill(&self) -> Result<(), LabError> {
        self.guest.kill()
    }
}
