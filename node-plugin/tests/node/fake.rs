//! A kernel and its servers in memory: the mount table is real enough to be judged, and servers can be told to fail, to hang, to move and to forget.
//!
//! `contract.rs` holds this mounter to the one of Linux.

mod calls;
mod ownership;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use node_plugin::mounter::{COVER, KernelClient};
use node_plugin::mountinfo::{Device, Entry, SuperOptions};
use volume::mount_options::MountAttributes;

/// The node's own disk.
const DISK: Device = Device { major: 8, minor: 1 };

/// Among what can hang, the resolver.
pub(crate) const RESOLVER: &str = "resolver";

/// Clones are the same world.
#[derive(Clone, Default)]
pub(crate) struct FakeMounter {
    world: Arc<(Mutex<World>, Condvar)>,
}

/// Which directory it is, whatever it is called: what a file handle tells.
type Object = u64;

#[derive(Default)]
struct World {
    table: Vec<Entry>,
    ids: u64,
    /// What the roots of the mounts are, by their ids.
    roots: HashMap<u64, Object>,
    superblocks: HashMap<String, Superblock>,
    /// What servers have: `host:/path`.
    directories: BTreeMap<String, Object>,
    objects: u64,
    /// What the kernel has seen under the names of shares, and believes wherever it may.
    names: BTreeMap<String, Object>,
    /// Locations that lead to others on the server: links, and further names of a server.
    links: HashMap<String, String>,
    /// What servers refuse to have mounted.
    denied: HashSet<String>,
    /// How often servers have been replaced.
    incarnation: u64,
    /// Servers, addresses and superblocks that do not answer.
    hung: HashSet<String>,
    /// Of them, addresses that say that they serve NFS.
    answers_pings: HashSet<SocketAddr>,
    /// Mounts that somebody uses.
    busy: HashSet<PathBuf>,
    /// Calls of `mount`, by what was mounted.
    mounted: Vec<String>,
    /// The addresses from which it was, in the same order.
    mounted_from: Vec<SocketAddr>,
    /// Servers that refuse connections.
    down: HashSet<String>,
    /// How often the resolver was asked.
    questions: usize,
    /// What the resolver says; servers that are not in here have one address each.
    resolved: HashMap<String, Vec<SocketAddr>>,
    /// Addresses that refuse connections.
    closed: HashSet<SocketAddr>,
    /// Those that refuse the question alone.
    takes_no_questions: HashSet<SocketAddr>,
    /// Those that do when a mount follows the question.
    closed_after_ping: HashSet<SocketAddr>,
    /// The mount that is refused, by its number.
    refused_mount: Option<usize>,
    /// By what the connections to an address are protected: the first mount decides for all.
    protected: HashMap<SocketAddr, String>,
    /// How far is read ahead on each superblock, in KiB.
    read_ahead: HashMap<Device, u64>,
    /// What the kernel keeps of servers, for as long as something of them is mounted.
    clients: Vec<Client>,
    /// How often the kernel's client was given another name.
    identity: u64,
    merges_clients: bool,
    /// Whether the next mount that is opened has been undone a moment before.
    undone_before_open: bool,
    /// To whom what is in directories belongs.
    owners: ownership::Owners,
}

#[derive(Clone)]
struct Superblock {
    device: Device,
    address: Option<SocketAddr>,
    options: SuperOptions,
}

/// A server that the kernel knows at an address, under the name that its client had then.
#[derive(Clone)]
struct Client {
    known: KernelClient,
    identity: u64,
}

#[derive(Debug)]
pub(crate) struct FakeTree {
    id: u64,
    device: Device,
    source: String,
    object: Object,
    attributes: MountAttributes,
    options: SuperOptions,
    /// A directory in it over which an empty one is mounted.
    covered: Option<String>,
}

impl FakeMounter {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.0.lock().unwrap()
    }

    /// Creates a directory on a server.
    pub(crate) fn make(&self, location: &str) {
        let mut world = self.lock();
        world.objects += 1;
        let object = world.objects;
        world.directories.insert(location.to_owned(), object);
    }

    /// Renames a directory on a server, with what is in it.
    pub(crate) fn rename(&self, location: &str, to: &str) {
        let mut world = self.lock();
        let directories = std::mem::take(&mut world.directories);
        let renamed = |at: String| match at.strip_prefix(location) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
            _ => at,
        };
        world.directories = directories.into_iter().map(|(at, object)| (renamed(at), object)).collect();
    }

    /// Gives everything new handles, as a server does that was restored from a backup, or whose export was made again.
    pub(crate) fn forget_handles(&self) {
        let mut world = self.lock();
        let directories: Vec<String> = world.directories.keys().cloned().collect();
        for at in directories {
            world.objects += 1;
            let object = world.objects;
            world.directories.insert(at, object);
        }
    }

    /// Lets a location lead to another of the same server: by a link, or because the host is another name of it.
    pub(crate) fn link(&self, location: &str, real: &str) {
        self.lock().links.insert(location.to_owned(), real.to_owned());
    }

    /// Lets a server refuse to have this mounted.
    pub(crate) fn deny(&self, location: &str) {
        self.lock().denied.insert(location.to_owned());
    }

    /// Takes that back.
    pub(crate) fn allow(&self, location: &str) {
        self.lock().denied.remove(location);
    }

    /// Stops a server: whoever asks it waits.
    pub(crate) fn hang(&self, host: &str) {
        self.lock().hung.insert(host.to_owned());
    }

    /// Puts another server in the place of all that are there: what is mounted waits for ever, what is mounted from now on does not.
    pub(crate) fn replace_servers(&self) {
        let mut world = self.lock();
        world.incarnation += 1;
        let devices: Vec<String> = world.superblocks.values().map(|known| known.device.to_string()).collect();
        world.hung.extend(devices);
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

    /// Stops the resolver: whoever asks it waits, until it is released under the name of this constant.
    pub(crate) fn hang_resolver(&self) {
        self.hang(RESOLVER);
    }

    /// How often it was asked.
    pub(crate) fn questions(&self) -> usize {
        self.lock().questions
    }

    /// Closes the port at one address.
    pub(crate) fn close(&self, address: SocketAddr) {
        self.lock().closed.insert(address);
    }

    /// Lets an address take no questions, although it can be mounted from.
    pub(crate) fn refuse_questions(&self, address: SocketAddr) {
        self.lock().takes_no_questions.insert(address);
    }

    /// Lets one of the mounts that follow be refused: the next, where `after` is 0.
    pub(crate) fn refuse_mount(&self, after: usize) {
        let mut world = self.lock();
        world.refused_mount = Some(world.mounted.len() + after);
    }

    /// Lets an address answer the question whether it serves NFS, and refuse what follows.
    pub(crate) fn close_after_ping(&self, address: SocketAddr) {
        self.lock().closed_after_ping.insert(address);
    }

    /// Lets an address answer the question whether it serves NFS, and nothing that follows.
    pub(crate) fn hang_after_ping(&self, address: SocketAddr) {
        let mut world = self.lock();
        world.hung.insert(address.to_string());
        world.answers_pings.insert(address);
    }

    /// Lets the kernel find out that one server is behind all addresses, and go on at the first.
    pub(crate) fn merge_clients(&self) {
        self.lock().merges_clients = true;
    }

    /// How often the kernel's client was given another name.
    pub(crate) fn renewals(&self) -> u64 {
        self.lock().identity
    }

    /// Lets somebody use what is mounted at a place.
    pub(crate) fn hold(&self, at: &Path) {
        self.lock().busy.insert(at.to_owned());
    }

    /// Lets the next mount that is opened be undone a moment before, so that the directory below it is opened.
    pub(crate) fn undo_before_open(&self) {
        self.lock().undone_before_open = true;
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
        let superblock = world.superblock(source, None, SuperOptions::new("rw"));
        let tree = world.tree(&superblock, source.to_owned(), 0, MountAttributes::default());
        world.attach(tree, at);
    }

    /// Changes what the table says of a mount, as another release of this program would have made it.
    pub(crate) fn alter(&self, at: &Path, change: impl FnOnce(&mut Entry)) {
        let mut world = self.lock();
        let top = world.top(at).unwrap();
        change(&mut world.table[top]);
    }

    fn wait_for<'a>(
        &self,
        world: MutexGuard<'a, World>,
        location: &str,
        address: Option<SocketAddr>,
    ) -> MutexGuard<'a, World> {
        let waited_for = [Some(host_of(location).to_owned()), address.map(|address| address.to_string())];
        let hangs = |world: &mut World| waited_for.iter().flatten().any(|name| world.hung.contains(name));
        self.world.1.wait_while(world, hangs).unwrap()
    }

    /// Waits for the server of a superblock.
    fn wait_for_device<'a>(&self, world: MutexGuard<'a, World>, source: &str, device: Device) -> MutexGuard<'a, World> {
        let address = world.superblocks.values().find(|known| known.device == device).and_then(|known| known.address);
        let world = self.wait_for(world, &device.to_string(), None);
        self.wait_for(world, source, address)
    }
}

fn host_of(location: &str) -> &str {
    location.split(":/").next().unwrap()
}

impl World {
    fn superblock(&mut self, key: &str, address: Option<SocketAddr>, options: SuperOptions) -> Superblock {
        let minor = u32::try_from(self.superblocks.len()).unwrap() + 40;
        let fresh = || Superblock { device: Device { major: 0, minor }, address, options };
        self.superblocks.entry(key.to_owned()).or_insert_with(fresh).clone()
    }

    fn tree(
        &mut self,
        superblock: &Superblock,
        source: String,
        object: Object,
        attributes: MountAttributes,
    ) -> FakeTree {
        self.ids += 1;
        let Superblock { device, options, .. } = superblock.clone();
        FakeTree { id: self.ids, device, source, object, attributes, options, covered: None }
    }

    /// Where the resolver says that a server is. Unless it was told, the last octet stands for the host, so that `ping` knows whom it is asked for.
    fn addresses(&mut self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Some(told) = self.resolved.get(host) {
            return told.clone();
        }
        let minor = self.superblock(&format!("host {host}"), None, SuperOptions::default()).device.minor;
        vec![SocketAddr::from(([10, 0, 0, u8::try_from(minor).unwrap()], port))]
    }

    /// As Linux 6.8 and newer: the table is in the order in which mounts were made, not attached.
    fn attach(&mut self, tree: FakeTree, at: &Path) {
        if let Some(name) = &tree.covered {
            let superblock = self.superblock("the cover", None, SuperOptions::new("rw"));
            let cover = self.tree(&superblock, COVER.to_owned(), 0, MountAttributes::default());
            self.enter(cover, tree.id, &at.join(name));
        }
        let parent = self.top(at).map_or(0, |top| self.table[top].id);
        self.enter(tree, parent, at);
    }

    fn enter(&mut self, tree: FakeTree, parent: u64, at: &Path) {
        let relatime = !tree.attributes.noatime && !tree.attributes.strictatime;
        self.roots.insert(tree.id, tree.object);
        self.table.push(Entry {
            id: tree.id,
            parent,
            device: tree.device,
            root: PathBuf::from("/"),
            mount_point: at.to_owned(),
            attributes: MountAttributes { relatime, ..tree.attributes },
            is_shared: false,
            fs_type: "nfs4".to_owned(),
            source: tree.source,
            options: tree.options,
        });
        self.table.sort_by_key(|entry| entry.id);
    }

    fn top(&self, at: &Path) -> Option<usize> {
        let at_place = |entry: &&Entry| entry.mount_point == at;
        let covered = |id| self.table.iter().filter(at_place).any(|entry| entry.parent == id);
        self.table.iter().position(|entry| at_place(&entry) && !covered(entry.id))
    }

    fn is_last_use(&self, device: Device) -> bool {
        !self.table.iter().any(|entry| entry.device == device)
    }

    /// The clients of which something is mounted.
    fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|client| {
            let mut of_client = self.superblocks.values().filter(|known| known.address == Some(client.known.address));
            of_client.any(|known| !self.is_last_use(known.device))
        })
    }

    /// Where the kernel asks for what is to be mounted from an address.
    fn asks_at(&self, address: SocketAddr) -> SocketAddr {
        if !self.merges_clients || self.clients().any(|client| client.known.address == address) {
            return address;
        }
        let same = self.clients().find(|client| client.identity == self.identity);
        same.map_or(address, |client| client.known.address)
    }

    /// What a connection to an address is protected by, when somebody asks for this.
    fn protection(&mut self, address: SocketAddr, options: &[(String, Option<String>)]) -> String {
        let asked = |name: &str| options.iter().find(|(option, _)| option == name).and_then(|(_, value)| value.clone());
        let first = self.protected.entry(address).or_insert_with(|| asked("xprtsec").unwrap_or_default());
        let transport = if first.is_empty() || first == "none" { String::new() } else { format!(",xprtsec={first}") };
        format!("sec={}{transport}", asked("sec").as_deref().unwrap_or("sys"))
    }
}
