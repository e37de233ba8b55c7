//! One guest that is NFS server and NFS client at once: where tests run that need a kernel.

use std::{path::Path, time::Duration};

use super::{Disk, Exec, Guest, GuestError, Image, Nic, Spec, Stream};

/// A booted guest with the kernel's NFS server running (exports: see `serve-nfs` beside the guest's init).
#[derive(Debug)]
pub struct KernelRung {
    guest: Guest,
}

impl KernelRung {
    /// Address of the server, as the guest itself sees it.
    pub const SERVER: &str = "127.0.0.1";
    /// The share that root may use as root: XFS with reflink and project quotas.
    pub const SHARE: &str = "/srv/share";

    /// Boots the guest and starts its server.
    pub fn boot(name: &str, nic: Nic, image: &Image, directory: &Path) -> Result<Self, GuestError> {
        let disk = |name: &str| Disk::Empty { name: name.to_owned(), gib: 8 };
        let spec = Spec { nic, disks: vec![disk("share"), disk("ext4")], ..Spec::new(name) };
        let guest = Guest::boot(&spec, image, directory)?;
        guest.serve_nfs()?;
        Ok(Self { guest })
    }

    /// The guest.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Copies a program of the host in and runs it with `arguments` and `variables`; its output goes to `sink` as it
    /// comes. Returns its exit status. `BERTH_TEST_SERVER`, `BERTH_TEST_SHARE` and `BERTH_TEST_LOCAL` (where the share lies
    /// on the server itself) are set.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        timeout: Duration,
        sink: impl FnMut(Stream, &[u8]),
    ) -> Result<i32, GuestError> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let inside = format!("/var/tmp/{name}");
        self.guest.copy_in(program, &inside, 0o755)?;
        let words = std::iter::once(inside.as_str()).chain(arguments.iter().copied());
        let mut command = Exec::new(words)
            .env("BERTH_TEST_SERVER", Self::SERVER)
            .env("BERTH_TEST_SHARE", Self::SHARE)
            .env("BERTH_TEST_LOCAL", Self::SHARE)
            .timeout(timeout);
        for (key, value) in variables {
            command = command.env(key, value);
        }
        self.guest.exec_streaming(&command, sink)
    }

    /// Ends the guest.
    pub fn end(&self) -> Result<(), GuestError> {
        self.guest.kill()
    }
}

impl Guest {
    /// Starts the kernel's NFS server in the guest with the exports that `serve-nfs` lists; one that runs stays.
    pub fn serve_nfs(&self) -> Result<(), GuestError> {
        self.run(&Exec::new(["/run/lab/serve-nfs"])).map(drop)
    }
}
