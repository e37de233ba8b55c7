//! What the lab does in a guest by shell scripts.

use std::time::Duration;

use super::{Exec, Guest};
use crate::base::{LabError, tail};

/// How long a command in a guest may take unless its caller says otherwise. Guests may be emulated.
const PATIENCE: Duration = Duration::from_mins(1);

impl Guest {
    /// Runs a shell script; the first failing command fails it. Returns what it printed.
    pub fn sh(&self, script: &str) -> Result<String, LabError> {
        self.sh_within(script, PATIENCE)
    }

    /// As [`Guest::sh`] with another deadline.
    pub fn sh_within(&self, script: &str, deadline: Duration) -> Result<String, LabError> {
        self.run(&Exec::sh(script).timeout(deadline)).map(|done| done.text())
    }

    /// Repeats `condition` in the guest until it holds.
    pub fn wait_for(&self, what: &str, deadline: Duration, condition: &str) -> Result<(), LabError> {
        let last = match self.exec(&Exec::sh(&format!("until {condition}; do sleep 0.2; done")).timeout(deadline)) {
            Ok(done) if done.status == 0 => return Ok(()),
            Ok(done) => tail(&done.stderr),
            Err(LabError::Timeout { last, .. }) => last,
            Err(error) => return Err(error),
        };
        Err(LabError::Timeout { what: format!("{what} in guest {}", self.name()), seconds: deadline.as_secs(), last })
    }

    /// Starts a program that stays, with its output in `/var/log/NAME.log` of the guest.
    pub fn background(&self, name: &str, command: &str) -> Result<(), LabError> {
        let script = format!("echo $$ >/run/{name}.pid; exec {command}");
        let log = format!("/var/log/{name}.log");
        self.spawn(&["sh", "-c", &script], &log).map(drop)
    }

    /// Kills a program that [`Guest::background`] started, without warning, and waits until it is gone.
    pub fn stop(&self, name: &str) -> Result<(), LabError> {
        let script = "kill -9 $pid; while [ -e /proc/$pid ]; do sleep 0.1; done";
        self.sh(&format!("pid=$(cat /run/{name}.pid)\n{script}")).map(drop)
    }

    /// Starts the kernel's NFS server in the guest with the exports that `serve-nfs` lists; one that runs stays.
    pub fn serve_nfs(&self) -> Result<(), LabError> {
        self.sh("/run/lab/serve-nfs").map(drop)
    }
}
