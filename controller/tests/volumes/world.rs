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
use nfs_client::{Client, Config, SourcePort};
use nfs_testkit::fake::FakeServer;
#[cfg(feature = "wire")]
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions, Squash};
use volume::sealed::{Sealed, unseal};

mod by_hand;
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
    Directory {
        mode: u32,
        owner: (u32, u32),
    },
    /// A link, or a file that holds a text in the place of one.
    Text(String),
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
                Some(target) => Object::Text(target),
                None if server.list(&path).is_some() => {
                    Object::Directory { mode: server.mode(&path)?, owner: server.owner(&path)? }
                }
                None => file(&server.file(&path)?),
            }),
            Place::Fake(..) => None,
            Place::Here(path) => {
                let found = fs::symlink_metadata(&path).ok()?;
                Some(if found.is_dir() {
                    Object::Directory { mode: found.mode() & 0o7777, owner: (found.uid(), found.gid()) }
                } else if found.is_symlink() {
                    Object::Text(fs::read_link(&path).ok()?.into_os_string().into_string().unwrap())
                } else {
                    file(&fs::read(&path).ok()?)
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
        let (server, share, usual) = (self.server(), self.share().to_owned(), self.usual());
        Controller { operations, servers, faults, server, share, usual }
    }

    /// What every volume has to be asked for with.
    fn usual(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            #[cfg(feature = "kernel")]
            Self::Knfsd(server) => server.usual(),
            _ => &[],
        }
    }
}

fn file(content: &[u8]) -> Object {
    match unseal(content) {
        Sealed::Whole(text) => Object::Text(text.to_owned()),
        _ => Object::File,
    }
}
