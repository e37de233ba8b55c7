//! Power cuts, after which a guest finds its disks as they were.

use std::process::Command;

use super::{BOOT, Guest};
use crate::base::{Daemon, LabError};

/// A guest whose power is cut, and how it was started.
#[derive(Debug)]
pub struct PowerCut<'a> {
    guest: &'a Guest,
    command: Command,
}

impl Guest {
    /// Cuts the power. What the guest had written and not synced is lost, as it is on hardware; what it had synced is on its
    /// disks. One that does not run is an error.
    pub fn cut_power(&self) -> Result<PowerCut<'_>, LabError> {
        let qemu = self.qemu();
        let command = qemu.command()?;
        qemu.kill()?;
        Ok(PowerCut { guest: self, command })
    }

    /// The process that the guest is now: another one after each power cut, whoever made it.
    pub(super) fn qemu(&self) -> Daemon {
        Self::attach(&self.directory).map_or_else(|_| self.process.clone(), |noted| noted.process)
    }
}

impl PowerCut<'_> {
    /// Boots the guest again from its own disks, at its own place in the caller's network namespace, and waits until its agent
    /// answers. Nothing runs in it but what a fresh guest has.
    pub fn end(self) -> Result<(), LabError> {
        let process = Daemon::start("qemu", self.command, &self.guest.directory)?;
        let again = Guest { process, ..self.guest.clone() };
        again.note()?;
        again.wait_ready(BOOT)
    }
}
