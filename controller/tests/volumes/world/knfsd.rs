//! A share on this machine's kernel server. [`nfs_testkit::knfsd`] says what that needs.

use std::fs::{self, File, Permissions};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

pub(crate) struct Knfsd {
    server: nfs_testkit::knfsd::Knfsd,
    /// What takes the room of a disk that should be nearly full.
    ballast: Option<PathBuf>,
    usual: &'static [(&'static str, &'static str)],
}

impl Knfsd {
    /// On the share that was given.
    pub(crate) fn new() -> Self {
        Self::on(None, 0o755)
    }

    /// On the export of this name beside the share that was given, with these permissions.
    pub(crate) fn beside(export: &str, mode: u32) -> Self {
        Self::on(Some(export), mode)
    }

    fn on(export: Option<&str>, mode: u32) -> Self {
        let server = nfs_testkit::knfsd::Knfsd::new(export);
        fs::set_permissions(server.local(), Permissions::from_mode(mode)).unwrap();
        Self { server, ballast: None, usual: &[] }
    }

    /// On the export whose directories have the mode 0755, whatever they are given.
    pub(crate) fn without_permissions() -> Self {
        let mut world = Self::beside("vfat", 0o755);
        world.usual = &[("mountPermissions", "0755")];
        world
    }

    /// What every volume has to be asked for with.
    pub(crate) fn usual(&self) -> &'static [(&'static str, &'static str)] {
        self.usual
    }

    /// On an export whose disk has room for a few dozen objects.
    pub(crate) fn on_a_small_disk() -> Self {
        const ROOM: u64 = 256 << 10;
        let mut world = Self::beside("small", 0o755);
        let path = world.local().with_extension("ballast");
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

impl Deref for Knfsd {
    type Target = nfs_testkit::knfsd::Knfsd;

    fn deref(&self) -> &Self::Target {
        &self.server
    }
}

impl DerefMut for Knfsd {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.server
    }
}

impl Drop for Knfsd {
    fn drop(&mut self) {
        if let Some(ballast) = &self.ballast {
            let _either_way = fs::remove_file(ballast);
        }
    }
}
