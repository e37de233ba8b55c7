//! What the plugin asks of the kernel and the network, answered from memory.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use node_plugin::mounter::{Fault, KernelClient, MountRequest, Mounter, Unmount, Usage};
use node_plugin::mountinfo::{Device, Entry, MountTable, SuperOptions};
use node_plugin::server::{ServerFault, Servers};
use rustix::io::Errno;
use volume::mount_options::MountAttributes;
use volume::{Server, SubPath};

use super::{Client, DISK, FakeMounter, FakeTree, RESOLVER, Superblock, host_of};

/// How long a silent address is waited for.
const SILENCE: Duration = Duration::from_millis(1200);

impl Mounter for FakeMounter {
    type Tree = FakeTree;
    /// Id of the mount.
    type Root = u64;

    fn table(&self) -> io::Result<MountTable> {
        Ok(MountTable::new(self.lock().table.clone()))
    }

    fn mount(&self, request: &MountRequest) -> Result<FakeTree, Fault> {
        let world = self.lock();
        let asked_at = world.asks_at(request.address);
        let mut world = self.wait_for(self.wait_for(world, &request.source, Some(request.address)), "", Some(asked_at));
        world.mounted.push(request.source.clone());
        world.mounted_from.push(request.address);
        let is_refused = world.refused_mount == Some(world.mounted.len() - 1);
        let is_closed = world.closed.contains(&request.address) || world.closed_after_ping.contains(&request.address);
        if is_refused || is_closed {
            return Err(Fault::new("fsconfig(create)", Errno::CONNREFUSED));
        }
        if world.denied.contains(&request.source) {
            return Err(Fault::new("fsconfig(create)", Errno::ACCESS));
        }
        let source = world.links.get(&request.source).unwrap_or(&request.source).clone();
        let is_fresh = request.options.iter().any(|(option, _)| option == "nosharecache");
        let Some(&object) = world.names.get(&source).filter(|_| !is_fresh).or_else(|| world.directories.get(&source))
        else {
            return Err(Fault::new("fsconfig(create)", Errno::NOENT));
        };
        if !is_fresh {
            world.names.insert(source.clone(), object);
        }
        let value = |name: &str| request.options.iter().find(|(option, _)| option == name)?.1.clone();
        let version = value("vers").unwrap_or_default();
        let protection = world.protection(request.address, &request.options);
        let shown = SuperOptions::new(format!("rw,vers={version},{protection},addr={}", asked_at.ip()));
        let key = format!("{source} {asked_at} {:?} {}", request.options, world.incarnation);
        let superblock = world.superblock(&key, Some(asked_at), shown);
        let known = KernelClient { address: asked_at, host: host_of(&request.source).to_owned() };
        let identity = world.identity;
        if !world.clients.iter().any(|client| client.known.address == asked_at) {
            world.clients.push(Client { known, identity });
        }
        Ok(world.tree(&superblock, source, object, request.attributes))
    }

    fn clients(&self) -> io::Result<Vec<KernelClient>> {
        Ok(self.lock().clients().map(|client| client.known.clone()).collect())
    }

    fn renew_client(&self) -> io::Result<()> {
        self.lock().identity += 1;
        Ok(())
    }

    fn open(&self, at: &Path) -> Result<u64, Fault> {
        let mut world = self.lock();
        if std::mem::take(&mut world.undone_before_open) {
            let top = world.top(at).unwrap();
            world.table.remove(top);
        }
        let Some(top) = world.top(at) else { return Ok(0) };
        let Entry { id, source, device, .. } = world.table[top].clone();
        drop(self.wait_for_device(world, &source, device));
        Ok(id)
    }

    fn device(&self, root: &u64) -> Result<Device, Fault> {
        Ok(self.lock().table.iter().find(|entry| entry.id == *root).map_or(DISK, |entry| entry.device))
    }

    fn clone_tree(&self, from: &u64, below: Option<&SubPath>, attributes: MountAttributes) -> Result<FakeTree, Fault> {
        let world = self.lock();
        let Some(from) = world.table.iter().find(|entry| entry.id == *from).cloned() else {
            return Err(Fault::new("open_tree", Errno::INVAL));
        };
        let mut world = self.wait_for_device(world, &from.source, from.device);
        let root = world.roots[&from.id];
        let Some(share) = world.directories.iter().find(|(_, object)| **object == root).map(|(at, _)| at.clone())
        else {
            return Err(Fault::new("statx", Errno::STALE));
        };
        let join =
            |base: &str| below.map_or(base.to_owned(), |below| format!("{}/{below}", base.trim_end_matches('/')));
        let Some(&object) = world.directories.get(&join(&share)) else {
            return Err(Fault::new("openat2", Errno::NOENT));
        };
        let superblock = Superblock { device: from.device, address: None, options: from.options.clone() };
        Ok(world.tree(&superblock, join(&from.source), object, attributes))
    }

    fn is_same(&self, root: &u64, tree: &FakeTree) -> Result<bool, Fault> {
        Ok(self.lock().roots.get(root) == Some(&tree.object))
    }

    fn cover(&self, tree: FakeTree, name: &str) -> Result<FakeTree, Fault> {
        let world = self.lock();
        let world = self.wait_for_device(world, &tree.source, tree.device);
        let Some((location, _)) = world.directories.iter().find(|(_, object)| **object == tree.object) else {
            return Err(Fault::new("openat2", Errno::STALE));
        };
        let directory = format!("{location}/{name}");
        let is_seen = world.directories.contains_key(&directory) && !world.denied.contains(&directory);
        Ok(FakeTree { covered: is_seen.then(|| name.to_owned()), ..tree })
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
        let mut locked = self.lock();
        let world = &mut *locked;
        let top = world.top(at).ok_or(Errno::INVAL)?;
        let id = world.table[top].id;
        let has_others = world.table.iter().any(|entry| entry.parent == id);
        if how == Unmount::Plain && (world.busy.contains(at) || has_others) {
            return Err(Errno::BUSY.into());
        }
        world.busy.remove(at);
        world.table.retain(|entry| entry.parent != id);
        let top = world.table.iter().position(|entry| entry.id == id).ok_or(Errno::INVAL)?;
        let gone = world.table.remove(top);
        let host = host_of(&gone.source);
        if !world.table.iter().any(|entry| host_of(&entry.source) == host) {
            world.names.retain(|location, _| host_of(location) != host);
        }
        // As in the kernel: off the tree first, then the last user waits for the server.
        if world.is_last_use(gone.device) {
            drop(self.wait_for_device(locked, &gone.source, gone.device));
        }
        Ok(())
    }

    fn usage(&self, at: &Path) -> io::Result<Usage> {
        let world = self.lock();
        let Entry { source, device, .. } = world.top(at).map(|top| world.table[top].clone()).ok_or(Errno::NOENT)?;
        drop(self.wait_for_device(world, &source, device));
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
        let mut world = self.lock();
        world.questions += 1;
        let found = self.wait_for(world, RESOLVER, None).addresses(&host, server.port());
        if found.is_empty() { Err(ServerFault::NoAddress { host }) } else { Ok(found) }
    }

    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault> {
        let mut world = self.lock();
        let down = world.down.clone();
        let is_down = down.iter().any(|host| world.addresses(host, address.port()).contains(&address));
        if world.hung.contains(&address.to_string()) && !world.answers_pings.contains(&address) {
            drop(world);
            // Longer than "at once".
            std::thread::sleep(SILENCE);
            return Err(ServerFault::Silent { address });
        }
        let is_closed = world.closed.contains(&address) || world.takes_no_questions.contains(&address);
        if is_down || is_closed { Err(ServerFault::Refused { address }) } else { Ok(()) }
    }
}
