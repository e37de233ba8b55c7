//! A directory of its own below an export of this machine's kernel server, for each test.
//!
//! `BERTH_TEST_SERVER` is the server, this machine; `BERTH_TEST_SHARE` an export without root squash, `BERTH_TEST_LOCAL` the
//! same directory here. Beside it lie other exports (see `e2e/guest/serve-nfs`).

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Knfsd {
    server: String,
    share: String,
    local: PathBuf,
    /// What takes the room of a disk that should be nearly full.
    ballast: Option<PathBuf>,
    /// Shared by all who use the server; who restarts it has it alone.
    _turn: File,
}

impl Knfsd {
    /// On the share that was given.
    pub(crate) fn new() -> Self {
        Self::beside("", 0o755)
    }

    /// On the export of this name beside the share that was given (none: on that share), with these permissions.
    pub(crate) fn beside(export: &str, mode: u32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let turn = File::create(std::env::temp_dir().join("berth-knfsd.lock")).unwrap();
        turn.lock_shared().unwrap();
        let name = format!("volumes-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = |variable: &str| {
            let given = PathBuf::from(given(variable));
            let export = if export.is_empty() { given } else { given.with_file_name(export) };
            export.join(&name)
        };
        let (share, local) = (place("BERTH_TEST_SHARE"), place("BERTH_TEST_LOCAL"));
        fs::create_dir(&local).unwrap();
        fs::set_permissions(&local, fs::Permissions::from_mode(mode)).unwrap();
        let share = share.into_os_string().into_string().unwrap();
        Self { server: given("BERTH_TEST_SERVER"), share, local, ballast: None, _turn: turn }
    }

    pub(crate) fn name(&self) -> &str {
        &self.server
    }

    pub(crate) fn share(&self) -> &str {
        &self.share
    }

    /// Where the share lies on this machine.
    pub(crate) fn local(&self) -> &Path {
        &self.local
    }

    /// On an export whose disk has room for a few dozen objects.
    pub(crate) fn on_a_small_disk() -> Self {
        const ROOM: u64 = 256 << 10;
        let mut world = Self::beside("small", 0o755);
        let path = world.local.with_extension("ballast");
        let ballast = File::create(&path).unwrap();
        let block = vec![0; 1 << 16];
        let mut length = 0;
        while let Ok(written @ 1..) = ballast.write_at(&block, length) {
            length += written as u64;
        }
        ballast.set_len(length.checked_sub(ROOM).expect("the small disk was full before")).unwrap();
        ballast.sync_all().unwrap();
        world.ballast = Some(path);
        world
    }
}

impl Drop for Knfsd {
    fn drop(&mut self) {
        let _either_way = fs::remove_dir_all(&self.local);
        if let Some(ballast) = &self.ballast {
            let _either_way = fs::remove_file(ballast);
        }
    }
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}: see the head of tests/volumes/world/knfsd.rs"))
}
