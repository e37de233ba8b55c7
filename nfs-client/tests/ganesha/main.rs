//! The contract against NFS-Ganesha, and what only a real server can show. Needs root.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

#[path = "../contract/mod.rs"]
mod contract;
mod cut;
mod grace;
mod killed;
mod ports;
mod squash;

use std::{os::unix::fs::symlink, time::Duration};

use contract::World;
use nfs_client::{Client, Config};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};

struct Wire {
    ganesha: Ganesha,
    options: GaneshaOptions,
}

impl Wire {
    fn new() -> Self {
        let options = GaneshaOptions::default();
        Self { ganesha: Ganesha::start(options.clone()).unwrap(), options }
    }
}

impl World for Wire {
    fn root(&self) -> Vec<String> {
        vec!["export".into()]
    }

    fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new("127.0.0.1", self.ganesha.port());
        change(&mut config);
        Client::new(config)
    }

    fn crash(&mut self) {
        self.ganesha.crash().unwrap();
    }

    fn set_lease(&mut self, lease: Duration) -> Duration {
        self.options.lease_seconds = u32::try_from(lease.as_secs()).unwrap();
        self.ganesha.stop();
        self.ganesha.set_options(self.options.clone());
        self.ganesha.resume().unwrap();
        lease
    }

    fn make_symlink(&self, name: &str, target: &str) {
        symlink(target, self.ganesha.export().join(name)).unwrap();
    }
}

every_contract!(crate::Wire::new());
