//! The Linux kernel's own server, on a machine whose server a test may stop and start: a guest.
//!
//! `BERTH_TEST_SERVER` is the server, this machine; `BERTH_TEST_SHARE` an export without root squash that takes any source
//! port; `BERTH_TEST_LOCAL` the same directory here. Beside it lie other exports (`labkit/guest/serve-nfs`). Needs root and the
//! Debian package `nfs-kernel-server`.

use std::{
    env,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// The grace period that `labkit/guest/serve-nfs` sets, in seconds: the shortest that the kernel allows.
const USUAL_GRACE: u32 = 10;

/// A directory of its own on the server, for one test; gone when it is dropped.
///
/// There is one server for all tests: they share it, and who restarts it waits until nobody else uses it, and keeps the
/// others away from then on. Whatever cannot be done is a panic.
#[derive(Debug)]
pub struct Knfsd {
    server: String,
    share: String,
    local: PathBuf,
    has_grace: bool,
    turn: File,
}

impl Knfsd {
    /// On the share that was given, or on the export of this name beside it.
    pub fn new(export: Option<&str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turn = File::create(env::temp_dir().join("berth-knfsd.lock")).expect("a file to lock");
        turn.lock_shared().expect("a turn");
        let name = format!("test-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = |variable: &str| {
            let given = PathBuf::from(self::variable(variable));
            export.map_or(given.clone(), |export| given.with_file_name(export)).join(&name)
        };
        let (share, local) = (place("BERTH_TEST_SHARE"), place("BERTH_TEST_LOCAL"));
        fs::create_dir(&local).expect("a directory for the test");
        let share = share.into_os_string().into_string().expect("a share that is text");
        Self { server: variable("BERTH_TEST_SERVER"), share, local, has_grace: false, turn }
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The directory's path on the server.
    pub fn share(&self) -> &str {
        &self.share
    }

    /// Where the directory lies on this machine.
    pub fn local(&self) -> &Path {
        &self.local
    }

    /// Ends the server and starts it again, without a grace period.
    pub fn restart(&self) {
        self.restart_with(&[]);
        end_grace();
    }

    /// The same, with another lease in seconds: the kernel takes none below ten, and a new one only while the server is
    /// down.
    pub fn restart_with_lease(&self, seconds: u32) {
        self.restart_with(&[("nfsv4leasetime", seconds)]);
        end_grace();
    }

    /// Ends the server and starts it again with a grace period of so many seconds, at least ten. The kernel ends it early
    /// when every client it knew of has come back.
    pub fn restart_with_grace(&mut self, seconds: u32) {
        self.has_grace = true;
        self.restart_with(&[("nfsv4gracetime", seconds)]);
    }

    fn restart_with(&self, settings: &[(&str, u32)]) {
        self.turn.unlock().expect("the end of a turn");
        self.turn.lock().expect("a turn alone");
        run("rpc.nfsd", &["0"]);
        for (file, value) in settings {
            control(file, &value.to_string());
        }
        run("rpc.nfsd", &["--no-nfs-version", "3", "--no-udp", "8"]);
    }
}

impl Drop for Knfsd {
    fn drop(&mut self) {
        // What cannot be removed goes with the guest.
        let _either_way = fs::remove_dir_all(&self.local);
        if self.has_grace {
            self.restart_with(&[("nfsv4gracetime", USUAL_GRACE)]);
            end_grace();
        }
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("set {name}: see the module nfs_testkit::knfsd"))
}

fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status();
    assert!(
        status.as_ref().is_ok_and(process::ExitStatus::success),
        "{program} {words:?}: {status:?}; needs root and the package nfs-kernel-server"
    );
}

/// Ends the grace period of a server that has just started, if it has one: it has none where every client that it knew has
/// said goodbye, and newer kernels say then that they are busy.
fn end_grace() {
    match set("v4_end_grace", "Y") {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
        ended => ended.unwrap_or_else(|error| panic!("v4_end_grace: {error}")),
    }
}

fn control(file: &str, value: &str) {
    set(file, value).unwrap_or_else(|error| panic!("{file}: {error}"));
}

fn set(file: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/fs/nfsd").join(file), value)
}
