//! The contract against the Linux kernel's NFS server. Needs root on a machine whose server this test may stop and start
//! (a guest): `BERTH_TEST_SERVER` is the server, this machine; `BERTH_TEST_SHARE` an export without root squash that
//! takes any source port; `BERTH_TEST_LOCAL` the same directory here.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod contract;

use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use contract::World;
use nfs_client::{Client, Config, DEFAULT_PORT};

struct Knfsd {
    server: String,
    root: Vec<String>,
    local: PathBuf,
    /// There is one server for all tests: shared by those that use it, alone for who restarts it.
    turn: File,
}

impl Knfsd {
    /// A directory of its own on the share that was given.
    fn new() -> Self {
        Self::on(|given| given)
    }

    /// The same on another export beside that share.
    fn beside(export: &str) -> Self {
        Self::on(|given| given.with_file_name(export))
    }

    fn on(export: impl Fn(PathBuf) -> PathBuf) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turn = File::create(env::temp_dir().join("berth-knfsd.lock")).unwrap();
        turn.lock_shared().unwrap();
        let name = format!("contract-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = |variable: &str| export(PathBuf::from(self::variable(variable))).join(&name);
        let (share, local) = (place("BERTH_TEST_SHARE"), place("BERTH_TEST_LOCAL"));
        fs::create_dir(&local).unwrap();
        let names = share.to_str().unwrap().split('/').filter(|name| !name.is_empty());
        Self { server: variable("BERTH_TEST_SERVER"), root: names.map(str::to_owned).collect(), local, turn }
    }

    /// Waits until nobody else uses the server.
    fn restart(&self, between: impl FnOnce()) {
        self.turn.unlock().unwrap();
        self.turn.lock().unwrap();
        run("rpc.nfsd", &["0"]);
        between();
        run("rpc.nfsd", &["--no-nfs-version", "3", "--no-udp", "8"]);
        control("v4_end_grace", "Y");
    }
}

impl Drop for Knfsd {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.local);
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("set {name}: see the head of tests/knfsd.rs"))
}

fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {words:?}: {status:?}; needs root and the package nfs-kernel-server"
    );
}

fn control(file: &str, value: &str) {
    fs::write(PathBuf::from("/proc/fs/nfsd").join(file), value).unwrap_or_else(|error| panic!("{file}: {error}"));
}

impl World for Knfsd {
    fn root(&self) -> Vec<String> {
        self.root.clone()
    }

    fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new(&self.server, DEFAULT_PORT);
        config.retry_budget = Duration::from_mins(2);
        change(&mut config);
        Client::new(config)
    }

    fn crash(&mut self) {
        self.restart(|| {});
    }

    fn set_lease(&mut self, lease: Duration) -> Duration {
        // The kernel allows no lease below ten seconds, and it takes a new one only while the server is down.
        let lease = lease.max(Duration::from_secs(10));
        self.restart(|| control("nfsv4leasetime", &lease.as_secs().to_string()));
        lease
    }

    fn make_symlink(&self, name: &str, target: &str) {
        symlink(target, self.local.join(name)).unwrap();
    }
}

every_contract!(crate::Knfsd::new());

/// ext4 with case-insensitive names.
mod casefold {
    use super::*;

    quiet_contract!(Knfsd::beside("casefold"));
}

/// A file system without links, owners and permissions.
mod vfat {
    use nfs_client::{Error, NfsStatus};

    use super::{contract::export, *};

    contract_tests! { Knfsd::beside("vfat");
        errors:
            a_failed_compound_names_its_operation_and_keeps_the_results_before,
            a_compound_beyond_the_limit_is_refused_unsent;
        sessions: shutdown_leaves_a_client_that_answers_shut_down;
        recovery: a_stale_handle_is_reported_and_walked_again_by_its_path;
    }

    #[tokio::test]
    async fn what_it_cannot_keep_is_refused_and_files_are_exclusive() {
        let world = Knfsd::beside("vfat");
        let client = world.client();
        let export = export(&world, &client).await;
        let refused = client.create_symlink(&export, "record", "text").await.unwrap_err();
        assert!(refused.is_status(NfsStatus::Perm), "{refused}");
        let refused = client.create_dir(&export, "volume", 0o700, Some((1234, 5678))).await.unwrap_err();
        assert!(matches!(refused, Error::OwnerRefused { .. }), "{refused}");

        let record = client.create_file(&export, "record", 0o600, b"text").await.unwrap();
        assert_ne!(record.attributes.mode, Some(0o600));
        let again = client.create_file(&export, "record", 0o600, b"other").await.unwrap_err();
        assert!(again.is_status(NfsStatus::Exist), "{again}");
        client.rename((&export, "record"), (&export, "moved")).await.unwrap();
        assert_eq!(client.read_file(&export, "moved").await.unwrap(), b"text");
    }
}
