//! One guest that is NFS server and client at once, for what needs a kernel and no cluster.

use std::{path::Path, time::Duration};

use labkit::{
    base::{LabError, process},
    guest::{Disk, Guest, Image, Spec},
};

use super::{
    binaries::Binaries,
    nfs::{Backend, SHARE},
    state::StateDir,
};

/// Driver sockets inside the guest.
const CONTROLLER_SOCKET: &str = "/run/berth/controller.sock";
/// See [`CONTROLLER_SOCKET`].
const NODE_SOCKET: &str = "/run/berth/node.sock";

/// How many times longer than promised a guest may take for anything when it is emulated.
const EMULATION: u32 = 3;

/// A guest of its own, until dropped.
#[derive(Debug)]
pub struct Single {
    state: StateDir,
    guest: Guest,
    kvm: bool,
}

impl Single {
    /// Boots the guest below `lab` from `image` and starts its NFS server.
    pub fn start(lab: &StateDir, image: &Image) -> Result<Self, LabError> {
        let state = lab.nested("single")?;
        let disk = |name: &str| Disk::Empty { name: name.to_owned(), gib: 8 };
        let spec = Spec { disks: vec![disk("share"), disk("ext4")], ..Spec::new("single") };
        let guest = Guest::boot(&spec, image, &state.guest("single"))?;
        guest.serve_nfs()?;
        Ok(Self { state, guest, kvm: image.kvm })
    }

    /// The guest.
    pub fn machine(&self) -> &Guest {
        &self.guest
    }

    /// The share as the guest itself reaches it.
    pub fn backend(&self) -> Backend {
        Backend { server: "127.0.0.1".to_owned(), share: SHARE.to_owned() }
    }

    /// What tests that run in the guest find in their environment: the server, its share, where that lies in the guest
    /// itself, and how many times longer than promised everything may take.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let Backend { server, share } = self.backend();
        let slowness = if self.kvm { 1 } else { EMULATION };
        [
            ("BERTH_TEST_SERVER", server),
            ("BERTH_TEST_SHARE", share.clone()),
            ("BERTH_TEST_LOCAL", share),
            ("BERTH_TEST_SLOWNESS", slowness.to_string()),
        ]
    }

    /// Copies both programs of the product into the guest and starts them; returns their endpoints.
    pub fn start_driver(&self, binaries: &Binaries) -> Result<Endpoints, LabError> {
        let machine = &self.guest;
        machine.sh(
            "mkdir -p /run/berth /var/lib/kubelet/plugins /var/lib/kubelet/plugins_registry /var/lib/kubelet/pods",
        )?;
        machine.copy_in(&binaries.controller(), "/usr/local/bin/berth-controller", 0o755)?;
        machine.copy_in(&binaries.node(), "/usr/local/bin/berth-node", 0o755)?;
        let controller = format!("unix://{CONTROLLER_SOCKET}");
        let node = format!("unix://{NODE_SOCKET}");
        machine.background(
            "berth-controller",
            &format!("berth-controller --endpoint={controller} --kubernetes=false --http-endpoint=127.0.0.1:9808"),
        )?;
        machine.background(
            "berth-node",
            &format!("berth-node --endpoint={node} --node-id=single --http-endpoint=127.0.0.1:9809"),
        )?;
        let both = format!("test -S {CONTROLLER_SOCKET} -a -S {NODE_SOCKET}");
        machine.wait_for("both sockets", Duration::from_secs(30), &both)?;
        Ok(Endpoints { controller, node })
    }

    /// Runs a program of the host in the guest, behind the words of `prefix`, and returns what it printed.
    pub fn run_copy(&self, prefix: &str, program: &Path, words: &str, deadline: Duration) -> Result<String, LabError> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = format!("/var/tmp/{name}");
        if self.guest.sh(&format!("test -x {path}")).is_err() {
            self.guest.copy_in(program, &path, 0o755)?;
        }
        self.guest.sh_within(&format!("{prefix} {path} {words}"), deadline)
    }
}

/// Endpoints of the driver inside the guest, as `unix:///path`.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Of the controller.
    pub controller: String,
    /// Of the node plugin.
    pub node: String,
}

impl Drop for Single {
    fn drop(&mut self) {
        // What is left, if anything, is found by its mark at the next start or by `lab down`.
        let _ = self.guest.kill();
        let _ = process::end_all(self.state.root());
    }
}
