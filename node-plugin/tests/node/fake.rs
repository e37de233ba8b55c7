//! A kernel and its servers in memory: the mount table is real enough to be judged, and servers can be told to fail or to hang.
//!
//! `contract.rs` holds this mounter to the one of Linux.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use node_plugin::mounter::{Fault, MountRequest, Mounter, Unmount, Usage};
use node_plugin::mountinfo::{Device, Entry, MountTable};
use node_plugin::server::{ServerFault, Servers};
use rustix::io::Errno;
use volume::mount_options::MountAttributes;
use volume::{Server, SubPath};

/// Clones are the same world.
#[derive(Clone, Default)]
pub(crate) struct FakeMounter {
    world: Arc<(Mutex<World>, Condvar)>,
}

#[derive(Default)]
struct World {
    table: Vec<Entry>,
    ids: u64,
    superblocks: HashMap<String, u32>,
    /// What servers have: `host:/path`.
    directories: BTreeSet<String>,
    /// What servers refuse to have mounted.
    denied: HashSet<String>,
    /// Servers that do not answer.
    hung: HashSet<String>,
    /// Mounts that somebody uses.
    busy: HashSet<PathBuf>,
    /// Calls of `mount`, by what was mounted.
    mounted: Vec<String>,
    /// The addresses from which it was, in the same order.
    mounted_from: Vec<SocketAddr>,
    /// Servers that refuse connections.
    down: HashSet<String>,
    /// What the resolver says; servers that are not in here have one address each.
    resolved: HashMap<String, Vec<SocketAddr>>,
    /// Addresses that refuse connections.
    closed: HashSet<SocketAddr>,
    /// Those that do when a mount follows the question.
    closed_after_ping: HashSet<SocketAddr>,
    /// How far is read ahead on each superblock, in KiB.
    read_ahead: HashMap<Device, u64>,
}

#[derive(Debug)]
pub(crate) struct FakeTree {
    device: Device,
    source: String,
    attributes: MountAttributes,
}

impl FakeMounter {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.0.lock().unwrap()
    }

    /// Creates a directory on a server.
    pub(crate) fn make(&self, location: &str) {
        self.lock().directories.insert(location.to_owned());
    }

    /// Lets a server refuse to have this mounted.
    pub(crate) fn deny(&self, location: &str) {
        self.lock().denied.insert(location.to_owned());
    }

    /// Stops a server: whoever asks it waits.
    pub(crate) fn hang(&self, host: &str) {
        self.lock().hung.insert(host.to_owned());
    }

    /// Starts it again.
    pub(crate) fn release(&self, host: &str) {
        self.lock().hung.remove(host);
        self.world.1.notify_all();
    }

    /// Stops a server so that its port is closed.
    pub(crate) fn stop(&self, host: &str) {
        self.lock().down.insert(host.to_owned());
    }

    /// Gives a server these addresses, in this order.
    pub(crate) fn resolve(&self, host: &str, addresses: &[SocketAddr]) {
        self.lock().resolved.insert(host.to_owned(), addresses.to_vec());
    }

    /// Closes the port at one address.
    pub(crate) fn close(&self, address: SocketAddr) {
        self.lock().closed.insert(address);
    }

    /// Lets an address answer the question whether it serves NFS, and refuse what follows.
    pub(crate) fn close_after_ping(&self, address: SocketAddr) {
        self.lock().closed_after_ping.insert(address);
    }

    /// Lets somebody use what is mounted at a place.
    pub(crate) fn hold(&self, at: &Path) {
        self.lock().busy.insert(at.to_owned());
    }

    /// What was asked from servers, in order.
    pub(crate) fn mounted(&self) -> Vec<String> {
        self.lock().mounted.clone()
    }

    /// From where it was asked, in the same order.
    pub(crate) fn mounted_from(&self) -> Vec<SocketAddr> {
        self.lock().mounted_from.clone()
    }

    /// How far is read ahead in what is mounted at a place, in KiB, if the plugin has said it.
    pub(crate) fn read_ahead(&self, at: &Path) -> Option<u64> {
        let world = self.lock();
        world.read_ahead.get(&world.table[world.top(at)?].device).copied()
    }

    /// Mounts something that the plugin did not.
    pub(crate) fn mount_by_others(&self, source: &str, at: &Path) {
        let mut world = self.lock();
        let device = world.superblock(source);
        world.attach(FakeTree { device, source: source.to_owned(), attributes: MountAttributes::default() }, at);
    }

    fn wait_for<'a>(&self, world: MutexGuard<'a, World>, location: &str) -> MutexGuard<'a, World> {
        let host = location.split(":/").next().unwrap().to_owned();
        self.world.1.wait_while(world, |world| world.hung.contains(&host)).unwrap()
    }
}

impl World {
    fn superblock(&mut self, key: &str) -> Device {
        let next = u32::try_from(self.superblocks.len()).unwrap() + 40;
        Device { major: 0, minor: *self.superblocks.entry(key.to_owned()).or_insert(next) }
    }

    /// Where the resolver says that a server is. Unless it was told, the last octet stands for the host, so that `ping` knows whom it is asked for.
    fn addresses(&mut self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Some(told) = self.resolved.get(host) {
            return told.clone();
        }
        let minor = self.superblock(&format!("host {host}")).minor;
        vec![SocketAddr::from(([10, 0, 0, u8::try_from(minor).unwrap()], port))]
    }

    fn attach(&mut self, tree: FakeTree, at: &Path) {
        self.ids += 1;
        let relatime = !tree.attributes.noatime && !tree.attributes.strictatime;
        self.table.push(Entry {
            id: self.ids,
            device: tree.device,
            root: PathBuf::from("/"),
            mount_point: at.to_owned(),
            attributes: MountAttributes { relatime, ..tree.attributes },
            fs_type: "nfs4".to_owned(),
            source: tree.source,
        });
    }

    fn top(&self, at: &Path) -> Option<usize> {
        self.table.iter().rposition(|entry| entry.mount_point == at)
    }

    fn is_last_use(&self, device: Device) -> bool {
        !self.table.iter().any(|entry| entry.device == device)
    }
}

impl Mounter for FakeMounter {
    type Tree = FakeTree;
    /// Id of the mount.
    type Root = u64;

    fn table(&self) -> io::Result<MountTable> {
        Ok(MountTable::new(self.lock().table.clone()))
    }

    fn mount(&self, request: &MountRequest) -> Result<FakeTree, Fault> {
        let mut world = self.wait_for(self.lock(), &request.source);
        world.mounted.push(request.source.clone());
        world.mounted_from.push(request.address);
        if world.closed.contains(&request.address) || world.closed_after_ping.contains(&request.address) {
            return Err(Fault::new("fsconfig(create)", Errno::CONNREFUSED));
        }
        if world.denied.contains(&request.source) {
            return Err(Fault::new("fsconfig(create)", Errno::ACCESS));
        }
        if !world.directories.contains(&request.source) {
            return Err(Fault::new("fsconfig(create)", Errno::NOENT));
        }
        let device = world.superblock(&format!("{} {:?}", request.source, request.options));
        Ok(FakeTree { device, source: request.source.clone(), attributes: request.attributes })
    }

    fn open(&self, at: &Path) -> Result<u64, Fault> {
        let world = self.lock();
        world.top(at).map(|top| world.table[top].id).ok_or_else(|| Fault::new("openat", Errno::NOENT))
    }

    fn clone_tree(&self, from: &u64, below: Option<&SubPath>, attributes: MountAttributes) -> Result<FakeTree, Fault> {
        let world = self.lock();
        let Some(top) = world.table.iter().position(|entry| entry.id == *from) else {
            return Err(Fault::new("open_tree", Errno::INVAL));
        };
        let (device, share) = (world.table[top].device, world.table[top].source.clone());
        let source = below.map_or(share.clone(), |below| format!("{}/{below}", share.trim_end_matches('/')));
        let world = self.wait_for(world, &source);
        if !world.directories.contains(&source) {
            return Err(Fault::new("openat2", Errno::NOENT));
        }
        Ok(FakeTree { device, source, attributes })
    }

    fn attach(&self, tree: FakeTree, at: &Path) -> Result<(), Fault> {
        let found = std::fs::symlink_metadata(at).map_err(|_| Fault::new("openat", Errno::NOENT))?;
        if !found.is_dir() {
            return Err(Fault::new("openat", Errno::NOTDIR));
        }
        self.lock().attach(tree, at);
        Ok(())
    }

    fn unmount(&self, at: &Path, how: Unmount) -> io::Result<()> {
        let mut world = self.lock();
        let top = world.top(at).ok_or(Errno::INVAL)?;
        if how == Unmount::Plain && world.busy.contains(at) {
            return Err(Errno::BUSY.into());
        }
        world.busy.remove(at);
        let gone = world.table.remove(top);
        // As in the kernel: off the tree first, then the last user waits for the server.
        if world.is_last_use(gone.device) {
            drop(self.wait_for(world, &gone.source));
        }
        Ok(())
    }

    fn usage(&self, at: &Path) -> io::Result<Usage> {
        let world = self.lock();
        let location = world.top(at).map(|top| world.table[top].source.clone()).ok_or(Errno::NOENT)?;
        drop(self.wait_for(world, &location));
        Ok(Usage { total_bytes: 1000, available_bytes: 300, used_bytes: 600, total_inodes: 50, free_inodes: 40 })
    }

    fn set_read_ahead(&self, device: Device, kib: u64) -> io::Result<()> {
        self.lock().read_ahead.insert(device, kib);
        Ok(())
    }
}

impl Servers for FakeMounter {
    fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, ServerFault> {
        let host = server.host().to_owned();
        if host.ends_with(".invalid") {
            return Err(ServerFault::Resolve { host, source: io::Error::other("no such name") });
        }
        Ok(self.lock().addresses(&host, server.port()))
    }

    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault> {
        let mut world = self.lock();
        let down = world.down.clone();
        let is_down = down.iter().any(|host| world.addresses(host, address.port()).contains(&address));
        if is_down || world.closed.contains(&address) { Err(ServerFault::Refused { address }) } else { Ok(()) }
    }
}
