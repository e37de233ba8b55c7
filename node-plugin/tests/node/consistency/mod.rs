//! What a pod sees of what pods on other nodes do, and when: the sentences of `docs/consistency.md`, each held by a test.
//!
//! Two nodes are two [islands](nfs_testkit::island) of one machine, each with the NFS client of a kernel of its own as far
//! as the server can tell. They mount as the plugin does, with the options that a StorageClass names.

mod locks;
mod names;
mod restarts;
mod values;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nfs_testkit::island::{self, Valve};
use nfs_testkit::knfsd::Knfsd;
use node_plugin::mounter::{Api, Filesystem, LinuxMounter, MountRequest, Mounter, Unmount};
use node_plugin::server::{Network, Servers};
use node_plugin::share::Share;
use volume::mount_options::MountAttributes;
use volume::{MountOptions, Server};

use crate::disk::Disk;

/// How many times a race is run: often enough that a promise which does not hold is seen not to.
const ROUNDS: usize = 50;

/// A server, and a node's disk on which the nodes below mount its share.
struct World {
    server: Knfsd,
    disk: Disk,
    mounter: LinuxMounter,
}

/// A node with a volume mounted.
struct Node {
    at: PathBuf,
    valve: Valve,
    mounter: LinuxMounter,
}

impl World {
    fn new() -> Self {
        let server = Knfsd::new(None);
        let disk = Disk::new();
        let mounter = LinuxMounter::new(Filesystem::Nfs, Api::Newest, disk.root.join("scratch"));
        Self { server, disk, mounter }
    }

    /// Two nodes whose class has these mount options, the first of which is the writer in most tests.
    fn pair(&self, options: &[&str]) -> (Node, Node) {
        (self.node("a", options), self.node("b", options))
    }

    fn node(&self, name: &str, options: &[&str]) -> Node {
        let at = self.disk.root.join(name);
        fs::create_dir(&at).unwrap();
        let address = (self.server.server(), 2049).to_socket_addrs().unwrap().next().unwrap();
        // The server remembers clients by name, also those of tests that have ended.
        let name = format!("{name}-{}", self.server.share().replace('/', "-"));
        let server: Server = Ipv4Addr::LOCALHOST.to_string().parse().unwrap();
        let options = MountOptions::parse(options, server.port()).unwrap();
        let share = Share::new(server, self.server.share().parse().unwrap(), options, true);
        let (root, mounter) = (self.disk.root.clone(), self.mounter.clone());
        let mount = move || {
            let [valve] = island::enter(address, [Ipv4Addr::LOCALHOST]);
            fs::write(island::identifier(&root.join(format!("sys-{name}"))), &name).unwrap();
            let tree = mounter.mount(&MountRequest {
                source: share.location(),
                address: Network::new().addresses(&share.server).unwrap()[0],
                options: share.options.superblock(),
                attributes: MountAttributes::default(),
            });
            mounter.attach(tree.unwrap(), &at).unwrap();
            Node { at, valve, mounter }
        };
        thread::spawn(mount).join().unwrap()
    }
}

impl Node {
    fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Adds a line, with an open and a close of its own.
    fn append(&self, name: &str, line: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    fn length(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.valve.open();
        let _either_way = self.mounter.unmount(&self.at, Unmount::Detach);
    }
}

/// How long it takes until something is seen; a panic if that is longer than promised, by the clock of a machine that may be
/// emulated.
fn seen_within(promised: Duration, what: &str, is_seen: impl Fn() -> bool) -> Duration {
    let slowness = std::env::var("BERTH_TEST_SLOWNESS").map_or(1, |times| times.parse().unwrap());
    // The kernel counts in whole ticks from when an answer came, and the look itself takes its time.
    let (since, limit) = (Instant::now(), promised + Duration::from_secs(1) * slowness);
    while !is_seen() {
        assert!(since.elapsed() < limit, "{what}: not seen within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: seen after {:?} ({promised:?} promised)", since.elapsed());
    since.elapsed()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
