//! A real NFS client whose server falls silent in the middle of everything.
//!
//! The node gets a network namespace of its own, where the server is a relay that can be paused. The relay's other end stays in the namespace of the
//! test, so no other test notices. The plugin gives the namespace its own NFS client identifier: under a common one the server would take each namespace for
//! a reboot of the other.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use csi_proto::csi;
use node_plugin::mounter::{Api, ClientIdentity, Filesystem, LinuxMounter, Mounter, Unmount};
use node_plugin::server::{Network, ServerFault, Servers};
use node_plugin::worker::Census;
use rustix::mount::MountFlags;
use rustix::thread::UnshareFlags;
use tonic::Code;
use volume::Server;

use crate::disk::Disk;
use crate::plugin::{AT_ONCE, Plugin, at_once, failure, real, start, volume, within};

/// Open or closed, for all connections.
#[derive(Default)]
struct Valve {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl Valve {
    fn set(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap() = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.is_closed.lock().unwrap(), |is_closed| *is_closed).unwrap());
    }
}

/// The addresses under which the server is reached; the second is for when it moves.
const ADDRESSES: [&str; 2] = ["127.0.0.1:2049", "127.0.0.2:2049"];

/// A node that reaches the server through valves, one for each of [`ADDRESSES`].
struct Island {
    disk: Disk,
    mounter: LinuxMounter,
    valve: Arc<Valve>,
    /// At which of its addresses the resolver says that the server is.
    place: Place,
    name: String,
}

/// A resolver whose server moves.
#[derive(Clone, Default)]
struct Place(Arc<AtomicUsize>);

impl Servers for Place {
    fn addresses(&self, _server: &Server) -> Result<Vec<SocketAddr>, ServerFault> {
        Ok(vec![ADDRESSES[self.0.load(Ordering::SeqCst)].parse().unwrap()])
    }

    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault> {
        Network::new().ping(address)
    }
}

/// Connects to the server for each connection that comes, from the namespace in which it was called.
fn relay(server: SocketAddr, valve: Arc<Valve>) -> Sender<TcpStream> {
    let (sender, connections) = channel::<TcpStream>();
    thread::spawn(move || {
        for inside in connections {
            let outside = TcpStream::connect(server).unwrap();
            for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                let (from, to, valve) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&valve));
                thread::spawn(move || pump(from, to, &valve));
            }
        }
    });
    sender
}

fn pump(mut from: TcpStream, mut to: TcpStream, valve: &Valve) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        valve.pass();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

impl Island {
    fn new() -> Self {
        let given = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} must be set"));
        let server: Server = given("BERTH_TEST_SERVER").parse().unwrap();
        let address = (server.host(), server.port()).to_socket_addrs().unwrap().next().unwrap();
        let valves = [(); 2].map(|()| Arc::new(Valve::default()));
        let relays = valves.each_ref().map(|valve| relay(address, Arc::clone(valve)));

        let disk = Disk::new();
        let name = disk.root.file_name().unwrap().to_str().unwrap().replace('.', "t");
        #[expect(
            deprecated,
            reason = "its successor is unsafe because of UnshareFlags::FILES, which is not used here"
        )]
        rustix::thread::unshare(UnshareFlags::NEWNET).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let identifier = sysfs(&disk.root).unwrap().join("fs/nfs/net/nfs_client/identifier");
        for (address, connections) in ADDRESSES.into_iter().zip(relays) {
            let listener = TcpListener::bind(address).unwrap();
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if connections.send(stream).is_err() {
                        return;
                    }
                }
            });
        }
        let mounter = LinuxMounter::new(Filesystem::Nfs, Api::Newest, disk.root.join("scratch"))
            .identified_by(ClientIdentity::at(name.clone(), identifier));
        let [valve, _] = valves;
        Self { disk, mounter, valve, place: Place::default(), name }
    }

    fn target(&self, pod: &str) -> PathBuf {
        self.disk.root.join(format!("pods/{pod}/mount"))
    }

    fn volume(&self, name: &str, target: &Path) -> csi::NodePublishVolumeRequest {
        let mut request = volume(&format!("{}-{name}", self.name), target);
        request.volume_context.insert("server".to_owned(), "127.0.0.1".to_owned());
        request.volume_context.insert("share".to_owned(), std::env::var("BERTH_TEST_SHARE").unwrap());
        csi::NodePublishVolumeRequest { volume_id: "a volume".to_owned(), ..request }
    }

    /// A plugin whose share is mounted, with two volumes.
    async fn plugin(&self) -> Plugin<LinuxMounter, Place> {
        let mut plugin = start(self.mounter.clone(), self.place.clone(), &self.disk.root, real()).await;
        assert_eq!(failure(plugin.publish(self.volume("1", &self.target("0"))).await).0, Code::NotFound);
        for name in ["1", "2"] {
            fs::create_dir(self.share().join(format!("{}-{name}", self.name))).unwrap();
        }
        plugin
    }

    fn share(&self) -> PathBuf {
        fs::read_dir(self.disk.root.join("pool")).unwrap().next().unwrap().unwrap().path()
    }

    /// The server is at its second address from now on, and the first is silent.
    fn move_server(&self) {
        self.place.0.store(1, Ordering::SeqCst);
        self.valve.set(true);
    }

    fn address_at(&self, at: &Path) -> Option<String> {
        let table = self.mounter.table().unwrap();
        table.top(at).and_then(|entry| entry.options.get("addr").map(str::to_owned))
    }

    fn is_mounted(&self, at: &Path) -> bool {
        self.mounter.table().unwrap().top(at).is_some()
    }
}

/// The `/sys` of this network namespace.
fn sysfs(root: &Path) -> io::Result<PathBuf> {
    let sys = root.join("sys");
    fs::create_dir(&sys)?;
    rustix::mount::mount("sysfs", &sys, "sysfs", MountFlags::empty(), None)?;
    Ok(sys)
}

impl Drop for Island {
    fn drop(&mut self) {
        self.valve.set(false);
        for share in fs::read_dir(self.disk.root.join("pool")).unwrap() {
            let share = share.unwrap().path();
            for name in ["1", "2"] {
                let _ = fs::remove_dir_all(share.join(format!("{}-{name}", self.name)));
            }
            let _ = self.mounter.unmount(&share, Unmount::Detach);
        }
    }
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(3), waited).await.expect("the condition never came true");
}

#[tokio::test]
async fn a_silent_server_holds_up_one_thread_and_no_call() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let (first, second, third) = (island.target("1"), island.target("2"), island.target("3"));
    plugin.publish(island.volume("1", &first)).await.unwrap();
    plugin.publish(island.volume("2", &second)).await.unwrap();
    fs::write(first.join("file"), "before").unwrap();

    island.valve.set(true);
    let (code, text) = failure(within(real().stats + AT_ONCE, plugin.stats("a volume", &first)).await);
    assert_eq!(code, Code::DeadlineExceeded, "{text}");
    for _ in 0..20 {
        assert_eq!(failure(at_once(plugin.publish(island.volume("1", &third))).await).0, Code::Unavailable);
        assert_eq!(failure(at_once(plugin.stats("a volume", &second)).await).0, Code::Unavailable);
    }
    assert_eq!(plugin.node.workers().census(), Census { threads: 2, stuck: 1 });

    // No plain unmount is tried where a thread is stuck already.
    at_once(plugin.unpublish(&second)).await.expect("unpublish ends although the server is silent");
    assert!(!island.is_mounted(&second) && !second.exists());
    at_once(plugin.publish(island.volume("1", &first))).await.expect("what is mounted needs no server");

    island.valve.set(false);
    until(|| plugin.node.workers().census().stuck == 0).await;
    plugin.publish(island.volume("1", &third)).await.unwrap();
    assert_eq!(fs::read_to_string(third.join("file")).unwrap(), "before");
    for target in [&first, &third] {
        plugin.unpublish(target).await.unwrap();
    }
}

#[tokio::test]
async fn a_publish_that_hangs_in_the_kernel_can_be_given_up() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let target = island.target("1");
    island.valve.set(true);
    // Nothing of this directory is in the client's cache: the lookup has to ask.
    let publish = within(real().mount + AT_ONCE, plugin.publish(island.volume("3", &target)));
    assert_eq!(failure(publish.await).0, Code::DeadlineExceeded);
    at_once(plugin.unpublish(&target)).await.unwrap();
    island.valve.set(false);
    until(|| plugin.node.workers().census().stuck == 0).await;
    assert!(!island.is_mounted(&target) && !target.exists());
}

/// The server is at another address, and nothing answers at the old one: a failover, a Service that was made again, a mount target that was replaced.
#[tokio::test]
async fn a_server_that_has_moved_is_mounted_where_it_is_while_old_pods_wait() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let (old, new) = (island.target("old"), island.target("new"));
    plugin.publish(island.volume("1", &old)).await.unwrap();
    fs::write(old.join("file"), "before").unwrap();
    island.move_server();

    let first = plugin.publish(island.volume("2", &new)).await;
    assert_eq!(failure(first).0, Code::DeadlineExceeded, "nobody knows yet");
    let started = std::time::Instant::now();
    plugin.publish(island.volume("2", &new)).await.expect("the same pod, at its second attempt");
    eprintln!("MEASURED moved, with a living clone: {:?}, at {:?}", started.elapsed(), island.address_at(&new));
    assert_eq!(island.address_at(&new).as_deref(), Some("127.0.0.2"));
    fs::write(new.join("file"), "after").unwrap();

    within(real().unmount + AT_ONCE, plugin.unpublish(&old)).await.unwrap();
    assert!(!island.is_mounted(&old) && !old.exists());
    plugin.unpublish(&new).await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_moved_is_mounted_where_it_is_when_no_pod_is_left() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let target = island.target("1");
    plugin.publish(island.volume("1", &target)).await.unwrap();
    plugin.unpublish(&target).await.unwrap();
    island.move_server();

    assert_eq!(failure(plugin.publish(island.volume("2", &target)).await).0, Code::DeadlineExceeded);
    let started = std::time::Instant::now();
    plugin.publish(island.volume("2", &target)).await.expect("the same pod, at its second attempt");
    eprintln!("MEASURED moved, without a clone: {:?}, at {:?}", started.elapsed(), island.address_at(&target));
    assert_eq!(island.address_at(&target).as_deref(), Some("127.0.0.2"));
    fs::write(target.join("file"), "after").unwrap();
    plugin.unpublish(&target).await.unwrap();
}
