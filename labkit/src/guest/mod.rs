//! Virtual machines with a Linux kernel of their own: what a node of the lab's cluster is, and where tests run that need
//! a kernel's NFS client or server.
//!
//! A guest is a qemu process that outlives the program that started it: [`Guest::attach`] finds it again by the note in
//! its directory. Its root disk is an overlay in that directory over an image that every guest shares.

mod client;
pub(crate) mod cpio;
mod exec;
mod power;
mod qemu;
mod record;
mod seed;
mod shell;
mod spec;
pub mod wire;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub use exec::{Exec, Output, Stream};
pub use power::PowerCut;
pub(crate) use qemu::qemu_command;
pub use spec::{Disk, Image, Nic, Spec};

use serde::{Deserialize, Serialize};

use crate::base::{Daemon, LabError, chain, tail};

/// How long a guest may take from power-on to an answering agent. Ten seconds is usual; a machine that builds and boots
/// three guests at once takes several times that.
const BOOT: Duration = Duration::from_mins(3);

/// A guest that runs, or ran when it was last looked at. All but its directory is the note by which it is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    name: String,
    agent: SocketAddr,
    /// The secret that its agent asks for.
    token: String,
    /// Its qemu.
    process: Daemon,
    #[serde(skip)]
    directory: PathBuf,
}

impl Guest {
    /// Starts a guest whose files live in `directory` and waits until its agent answers. An earlier guest's files there
    /// are replaced; an earlier guest that still runs there is an error.
    ///
    /// The caller's network namespace becomes the guest's host side: with [`Nic::Tap`] the device must exist in it.
    pub fn boot(spec: &Spec, image: &Image, directory: &Path) -> Result<Self, LabError> {
        let guest = Self::power_on(spec, image, directory)?;
        match guest.wait_ready(BOOT) {
            Ok(()) => Ok(guest),
            Err(error) => {
                // The first error says more than a failing kill could.
                let _ = guest.kill();
                Err(error)
            }
        }
    }

    fn power_on(spec: &Spec, image: &Image, directory: &Path) -> Result<Self, LabError> {
        if let Ok(earlier) = Self::attach(directory)
            && earlier.alive()
        {
            let (name, pid) = (earlier.name(), earlier.process.pid);
            return Err(LabError::Precondition(format!("the guest {name} already runs (pid {pid})")));
        }
        fs::create_dir_all(directory).map_err(LabError::file(directory))?;
        let directory = fs::canonicalize(directory).map_err(LabError::file(directory))?;
        let (nic, agent) = qemu::place(&spec.nic)?;
        let token = seed::token()?;
        seed::write(&directory.join("initrd"), image, spec, &token)?;
        let console = directory.join("console.log");
        fs::write(&console, b"").map_err(LabError::file(&console))?;
        let command = qemu::command(spec, image, &directory, &nic)?;
        let process = Daemon::start("qemu", command, &directory)?;
        let guest = Self { name: spec.name.clone(), agent, token, process, directory };
        guest.note()?;
        Ok(guest)
    }

    /// Name of the guest, also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files live.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the agent listens.
    pub fn agent(&self) -> SocketAddr {
        self.agent
    }

    /// Whether its qemu runs.
    pub fn alive(&self) -> bool {
        self.qemu().alive()
    }

    /// Everything the guest's kernel and init said.
    pub fn console_log(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    fn wait_ready(&self, deadline: Duration) -> Result<(), LabError> {
        let end = Instant::now() + deadline;
        let ready = Exec::new(["test", "-e", "/run/lab/ready"]).timeout(Duration::from_secs(10));
        loop {
            let last = match self.exec(&ready) {
                Ok(output) if output.status == 0 => return Ok(()),
                Ok(_) => "its init has not finished".to_owned(),
                Err(error) => chain(&error),
            };
            if !self.alive() {
                return Err(self.lost("qemu ended while it was starting"));
            }
            if Instant::now() > end {
                return Err(self.lost(&format!("not ready {} s after power-on: {last}", deadline.as_secs())));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The error that says that the guest is not as it should be, with the end of what qemu and the console said.
    fn lost(&self, why: &str) -> LabError {
        let read = |name: &str| fs::read(self.directory.join(name)).unwrap_or_default();
        let said = tail(&[read("qemu.log"), read("console.log")].concat());
        LabError::Part {
            part: format!("guest {}", self.name()),
            why: format!("{why}\n{said}\n"),
            log: self.console_log(),
        }
    }

    /// Ends the guest like a power cut. One that does not run is fine.
    pub fn kill(&self) -> Result<(), LabError> {
        self.qemu().kill()
    }
}
