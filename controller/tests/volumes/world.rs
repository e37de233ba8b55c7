//! A server with a share, and controllers that use it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use ::controller::backend::directory::faults::Faults;
use ::controller::operations::{Counts, Operations};
use ::controller::servers::{Servers, Settings};
use csi_runtime::metrics::Metrics;
use nfs_client::{Client, Config, SetAttributes, SourcePort};
use nfs_testkit::fake::FakeServer;
#[cfg(feature = "wire")]
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions, Squash};

mod controller;
mod fake;
#[cfg(feature = "kernel")]
mod knfsd;

pub(crate) use self::controller::Controller;
#[cfg(feature = "kernel")]
pub(crate) use knfsd::Knfsd;

/// Path of the share on servers of the test's own.
const EXPORT: &str = "/export";

/// A server.
pub(crate) enum World {
    Fake(FakeServer),
    #[cfg(feature = "wire")]
    // The disk goes first: a directory on which something is mounted cannot be removed.
    Ganesha(#[expect(dead_code, reason = "held until the test ends")] Option<Disk>, Box<Ganesha>),
    #[cfg(feature = "kernel")]
    Knfsd(Knfsd),
}

/// Something below the share, as the server itself has it.
enum Place<'a> {
    Fake(&'a FakeServer, String),
    #[cfg_attr(
        not(any(feature = "wire", feature = "kernel")),
        expect(dead_code, reason = "there is only the fake then")
    )]
    Here(PathBuf),
}

/// A file system in memory that holds 60 objects.
#[cfg(feature = "wire")]
pub(crate) struct Disk(std::path::PathBuf);

#[cfg(feature = "wire")]
impl Disk {
    fn mount(at: std::path::PathBuf) -> Self {
        let options = ["-t", "tmpfs", "-o", "size=1m,nr_inodes=60", "small"];
        let done = std::process::Command::new("mount").args(options).arg(&at).status().unwrap();
        assert!(done.success(), "cannot mount a tmpfs: this test needs root and CAP_SYS_ADMIN");
        Self(at)
    }
}

#[cfg(feature = "wire")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _either_way = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What lies somewhere on the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    Directory { mode: u32, owner: (u32, u32) },
    Link(String),
    File,
}

impl World {
    #[cfg(feature = "wire")]
    pub(crate) fn ganesha() -> Self {
        Self::ganesha_with(GaneshaOptions::default())
    }

    #[cfg(feature = "wire")]
    fn ganesha_with(options: GaneshaOptions) -> Self {
        Self::Ganesha(None, Box::new(Ganesha::start(options).unwrap()))
    }

    /// A server whose user 0 is nobody, with an export that everybody may write to.
    #[cfg(feature = "wire")]
    pub(crate) fn squashed_ganesha() -> Self {
        Self::open_ganesha(Self::ganesha_that_squashes())
    }

    /// A server whose users are all nobody, with an export that everybody may write to.
    #[cfg(feature = "wire")]
    pub(crate) fn ganesha_of_nobodies() -> Self {
        Self::open_ganesha(Self::ganesha_with(GaneshaOptions { squash: Squash::All, ..GaneshaOptions::default() }))
    }

    #[cfg(feature = "wire")]
    fn open_ganesha(world: Self) -> Self {
        use std::os::unix::fs::PermissionsExt;
        if let Self::Ganesha(_, server) = &world {
            std::fs::set_permissions(server.export(), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        world
    }

    /// A server whose user 0 is nobody, with an export that only user 0 may write to.
    #[cfg(feature = "wire")]
    pub(crate) fn ganesha_that_squashes() -> Self {
        Self::ganesha_with(GaneshaOptions { squash: Squash::Root, ..GaneshaOptions::default() })
    }

    #[cfg(feature = "wire")]
    pub(crate) fn ganesha_for_low_ports() -> Self {
        Self::ganesha_with(GaneshaOptions { privileged_port: true, ..GaneshaOptions::default() })
    }

    /// A server whose export has room for a few dozen objects.
    #[cfg(feature = "wire")]
    pub(crate) fn ganesha_on_a_small_disk() -> Self {
        let mut server = Ganesha::start(GaneshaOptions::default()).unwrap();
        server.kill();
        let disk = Disk::mount(server.export());
        server.resume().unwrap();
        Self::Ganesha(Some(disk), Box::new(server))
    }

    /// Ends the server without a word and starts it again with a grace period of so many seconds.
    #[cfg(any(feature = "wire", feature = "kernel"))]
    pub(crate) fn restart_with_grace(&mut self, seconds: u32) {
        match self {
            Self::Fake(_) => panic!("this test is for real servers"),
            #[cfg(feature = "wire")]
            Self::Ganesha(_, server) => {
                // Ganesha looks twice in a lease whether its period is over.
                let options =
                    GaneshaOptions { grace_seconds: Some(seconds), lease_seconds: 10, ..GaneshaOptions::default() };
                server.set_options(options);
                server.crash().unwrap();
            }
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => server.restart_with_grace(seconds),
        }
    }

    /// The server as a class names it.
    pub(crate) fn server(&self) -> String {
        match self {
            Self::Fake(_) => "fake".to_owned(),
            #[cfg(feature = "wire")]
            Self::Ganesha(_, server) => format!("127.0.0.1:{}", server.port()),
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => server.server().to_owned(),
        }
    }

    /// Another name of the server.
    pub(crate) fn alias(&self) -> String {
        match self {
            Self::Fake(_) => "fake.alias".to_owned(),
            #[cfg(feature = "wire")]
            Self::Ganesha(_, server) => format!("localhost:{}", server.port()),
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => server.server().replace("127.0.0.1", "localhost"),
        }
    }

    /// Path of the share on the server.
    pub(crate) fn share(&self) -> &str {
        match self {
            Self::Fake(_) => EXPORT,
            #[cfg(feature = "wire")]
            Self::Ganesha(..) => EXPORT,
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => server.share(),
        }
    }

    fn place(&self, path: &str) -> Place<'_> {
        match self {
            Self::Fake(server) => Place::Fake(server, format!("{EXPORT}/{path}")),
            #[cfg(feature = "wire")]
            Self::Ganesha(_, server) => Place::Here(server.export().join(path)),
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => Place::Here(server.local().join(path)),
        }
    }

    fn settings(&self, source_port: SourcePort) -> Settings {
        let mut settings = Settings::new("test", source_port);
        #[cfg_attr(
            not(any(feature = "wire", feature = "kernel")),
            expect(irrefutable_let_patterns, reason = "there is only the fake then")
        )]
        if let Self::Fake(server) = self {
            let connector = server.connector();
            settings.connect = Box::new(move |named| {
                // Only the fake itself answers; any other name is a server that is not there.
                if ["fake", "fake.alias"].contains(&named.host()) {
                    Client::with_connector(Config::new("fake", 2049), connector.clone())
                } else {
                    Client::new(Config::new(named.host(), named.port()))
                }
            });
        }
        settings
    }

    /// A client that does by hand what people do.
    pub(crate) fn by_hand(&self) -> Client {
        (self.settings(SourcePort::PreferReserved).connect)(&self.server().parse().unwrap())
    }

    /// Removes something below the share, a directory only if it is empty.
    pub(crate) async fn remove(&self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let client = self.by_hand();
        let directory = client.open_dir(&self.names_to(parent)).await.unwrap();
        client.remove(&directory, name).await.unwrap();
        client.shutdown().await;
    }

    /// The way to something below the share.
    pub(crate) fn names_to<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        self.share().split('/').chain(path.split('/')).filter(|name| !name.is_empty()).collect()
    }

    pub(crate) fn make_dir(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_dir(&path),
            Place::Here(path) => fs::create_dir_all(path).unwrap(),
        }
    }

    pub(crate) fn make_file(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_file(&path, "data"),
            Place::Here(path) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "data").unwrap();
            }
        }
    }

    pub(crate) fn make_symlink(&self, path: &str, target: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_symlink(&path, target),
            Place::Here(path) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, path).unwrap();
            }
        }
    }

    /// Makes a symbolic link an hour ago.
    pub(crate) fn make_old_symlink(&self, path: &str, target: &str) {
        self.make_symlink(path, target);
        match self.place(path) {
            Place::Fake(server, path) => server.age(&path, 3600),
            Place::Here(path) => {
                let touched = std::process::Command::new("touch").args(["-h", "-d", "1 hour ago"]).arg(path).status();
                assert!(touched.unwrap().success());
            }
        }
    }

    /// Lets everybody write to a directory.
    pub(crate) async fn open_to_others(&self, path: &str) {
        self.change(path, SetAttributes::mode(0o777)).await;
    }

    /// Lets nobody but user 0 into a directory.
    pub(crate) fn close(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.change(&path, SetAttributes::mode(0)),
            Place::Here(path) => {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
            }
        }
    }

    /// Gives something to a user, with this mode if it is a directory, as on the server itself.
    pub(crate) fn give(&self, path: &str, uid: u32, mode: Option<u32>) {
        match self.place(path) {
            Place::Fake(server, path) => {
                server.change(&path, SetAttributes { mode, ..SetAttributes::owner(Some(uid), Some(uid)) });
            }
            Place::Here(path) => {
                std::os::unix::fs::lchown(&path, Some(uid), Some(uid)).unwrap();
                if let Some(mode) = mode {
                    use std::os::unix::fs::PermissionsExt;
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
    }

    /// Makes a directory with this mode and owner, as on the server itself.
    pub(crate) fn lay(&self, path: &str, mode: u32, (uid, gid): (u32, u32)) {
        self.make_dir(path);
        match self.place(path) {
            Place::Fake(server, path) => {
                server.change(&path, SetAttributes { mode: Some(mode), ..SetAttributes::owner(Some(uid), Some(gid)) });
            }
            Place::Here(path) => {
                use std::os::unix::fs::PermissionsExt;
                std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    /// Does what kubelet does for a pod's `fsGroup` to a volume that is the whole share: the group of everything changes, links
    /// included, and directories and files get what the group needs. Without a group: where root may not give things away.
    pub(crate) async fn give_to_fs_group(&self, gid: Option<u32>) {
        let client = self.by_hand();
        let objects = self.tree().into_iter().chain([(String::new(), Object::Directory { mode: 0, owner: (0, 0) })]);
        for (path, object) in objects {
            let names = self.names_to(&path);
            let (name, parent) = names.split_last().unwrap();
            let parent = client.open_dir(parent).await.unwrap();
            let found = client.entry(&parent, name).await.unwrap();
            let added = match object {
                Object::Directory { .. } => Some(0o2770),
                Object::File => Some(0o660),
                Object::Link(_) => None,
            };
            let mode = added.map(|added| found.attributes.mode.unwrap() | added);
            let changed =
                client.setattr(&found.handle, SetAttributes { mode, ..SetAttributes::owner(None, gid) }).await;
            assert!(changed.is_ok() || gid.is_none(), "{path}: {changed:?}");
        }
        client.shutdown().await;
    }

    /// Renames something below the share, as on the server itself.
    pub(crate) async fn rename(&self, from: &str, to: &str) {
        let client = self.by_hand();
        let mut directories = Vec::new();
        for path in [from, to] {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            directories.push((client.open_dir(&self.names_to(parent)).await.unwrap(), name));
        }
        let [(from, old), (to, new)] = &directories[..] else { unreachable!("two paths") };
        client.rename((from, old), (to, new)).await.unwrap();
        client.shutdown().await;
    }

    /// Changes owner or mode of a directory.
    pub(crate) async fn change(&self, path: &str, attributes: SetAttributes) {
        let client = self.by_hand();
        let directory = client.open_dir(&self.names_to(path)).await.unwrap();
        client.setattr(&directory, attributes).await.unwrap();
        client.shutdown().await;
    }

    /// Everything below the share, by path.
    pub(crate) fn tree(&self) -> BTreeMap<String, Object> {
        let mut tree = BTreeMap::new();
        self.grow(&mut tree, "");
        tree
    }

    fn grow(&self, tree: &mut BTreeMap<String, Object>, below: &str) {
        for name in self.names(below) {
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let object = self.object(&path);
            if matches!(object, Some(Object::Directory { .. })) {
                self.grow(tree, &path);
            }
            // It may be gone by now: the reaper is at work.
            if let Some(object) = object {
                tree.insert(path, object);
            }
        }
    }

    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        match self.place(path) {
            Place::Fake(server, path) => server.list(&path).unwrap_or_default(),
            Place::Here(path) => {
                let entries = fs::read_dir(path).into_iter().flatten().flatten();
                let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
                names.sort();
                names
            }
        }
    }

    pub(crate) fn object(&self, path: &str) -> Option<Object> {
        match self.place(path) {
            Place::Fake(server, path) if server.exists(&path) => Some(match server.link(&path) {
                Some(target) => Object::Link(target),
                None if server.list(&path).is_some() => {
                    Object::Directory { mode: server.mode(&path)?, owner: server.owner(&path)? }
                }
                None => Object::File,
            }),
            Place::Fake(..) => None,
            Place::Here(path) => {
                let found = fs::symlink_metadata(&path).ok()?;
                Some(if found.is_dir() {
                    Object::Directory { mode: found.mode() & 0o7777, owner: (found.uid(), found.gid()) }
                } else if found.is_symlink() {
                    Object::Link(fs::read_link(&path).ok()?.into_os_string().into_string().unwrap())
                } else {
                    Object::File
                })
            }
        }
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.object(path).is_some()
    }

    /// Paths below the share that are not the driver's own.
    pub(crate) fn places(&self) -> Vec<String> {
        let ours = |path: &String| path.split('/').any(|name| name == ".berth" || name.starts_with(".berth-trash~"));
        self.tree().into_keys().filter(|path| !ours(path)).collect()
    }

    /// Entries of one of the driver's folders.
    pub(crate) fn folder(&self, name: &str) -> Vec<String> {
        self.names(&format!(".berth/{name}"))
    }

    /// Waits until the trash is empty: a minute, or longer where the lab says that everything takes longer.
    pub(crate) async fn until_reaped(&self) {
        let slowness = std::env::var("BERTH_TEST_SLOWNESS").map_or(1, |factor| factor.parse().unwrap());
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1) * slowness;
        while !self.folder("trash").is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "still in the trash: {:?}", self.folder("trash"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn controller(&self) -> Controller {
        self.controller_from(SourcePort::PreferReserved)
    }

    pub(crate) fn controller_from(&self, source_port: SourcePort) -> Controller {
        let faults = Faults::default();
        let servers = Servers::new(Settings { faults: faults.clone(), ..self.settings(source_port) });
        let operations = Operations::new("csi.berth.dev", servers.clone(), Counts::new(&Metrics::new()));
        Controller { operations, servers, faults, server: self.server(), share: self.share().to_owned() }
    }
}
