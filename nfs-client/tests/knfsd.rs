//! The contract against the Linux kernel's NFS server. Needs root on a machine whose server this test may stop and start
//! (a guest): `BERTH_TEST_SERVER` is the server, this machine; `BERTH_TEST_SHARE` an export without root squash that
//! takes any source port; `BERTH_TEST_LOCAL` the same directory here.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod contract;

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, id},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use contract::World;
use nfs_client::{Client, Config, DEFAULT_PORT};

/// There is one server for all tests.
static TURN: Mutex<()> = Mutex::new(());

struct Knfsd {
    server: String,
    root: Vec<String>,
    local: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Knfsd {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("contract-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let share = variable("BERTH_TEST_SHARE");
        let names = share.split('/').filter(|name| !name.is_empty()).chain([name.as_str()]);
        let local = PathBuf::from(variable("BERTH_TEST_LOCAL")).join(&name);
        fs::create_dir(&local).unwrap();
        Self { server: variable("BERTH_TEST_SERVER"), root: names.map(str::to_owned).collect(), local, _turn: turn }
    }

    fn restart(between: impl FnOnce()) {
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
        Self::restart(|| {});
    }

    fn set_lease(&mut self, lease: Duration) -> Duration {
        // The kernel allows no lease below ten seconds, and it takes a new one only while the server is down.
        let lease = lease.max(Duration::from_secs(10));
        Self::restart(|| control("nfsv4leasetime", &lease.as_secs().to_string()));
        lease
    }

    fn make_symlink(&self, name: &str, target: &str) {
        symlink(target, self.local.join(name)).unwrap();
    }
}

every_contract!(Knfsd::new());
