//! A real NFS client whose server falls silent in the middle of everything.
//!
//! The node gets a network namespace of its own, where the server is a relay that can be paused. The relay's other end stays in the namespace of the
//! test, so no other test notices. The plugin gives the namespace its own NFS client identifier: under a common one the server would take each namespace for
//! a reboot of the other.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use csi_proto::csi;
use nfs_testkit::island::{self, Valve};
use node_plugin::Config;
use node_plugin::mounter::{Api, ClientIdentity, Filesystem, LinuxMounter, Mounter, Unmount};
use node_plugin::server::{Network, ServerFault, Servers};
use node_plugin::worker::Census;
use tonic::Code;
use volume::Server;

use crate::disk::Disk;
use crate::plugin::{AT_ONCE, Plugin, at_once, config, failure, real, start_with, volume, within};

/// The addresses under which the server is reached; the second is for when it moves.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];

/// Threads without work end soon, so that a test need not wait for its end.
const THREAD_IDLE: Duration = Duration::from_secs(10);

/// A node that reaches the server through valves, one for each of [`ADDRESSES`].
struct Island {
    disk: Disk,
    mounter: LinuxMounter,
    valves: [Valve; 2],
    /// At which of its addresses the resolver says that the server is.
    place: Place,
    name: String,
}

/// A resolver whose server moves.
#[derive(Clone, Default)]
struct Place(Arc<AtomicUsize>);

impl Servers for Place {
    fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, ServerFault> {
        Ok(vec![(ADDRESSES[self.0.load(Ordering::SeqCst)], server.port()).into()])
    }

    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault> {
        Network::new().ping(address)
    }
}

impl Island {
    fn new() -> Self {
        let given = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} must be set"));
        let server: Server = given("BERTH_TEST_SERVER").parse().unwrap();
        let address = (server.host(), server.port()).to_socket_addrs().unwrap().next().unwrap();
        let disk = Disk::new();
        let name = disk.root.file_name().unwrap().to_str().unwrap().replace('.', "t");
        let valves = island::enter(address, ADDRESSES);
        let identity = ClientIdentity::at(name.clone(), island::identifier(&disk.root.join("sys")));
        let mounter =
            LinuxMounter::new(Filesystem::Nfs, Api::Newest, disk.root.join("scratch")).identified_by(identity);
        Self { disk, mounter, valves, place: Place::default(), name }
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

    fn pool(&self) -> PathBuf {
        self.disk.root.join("pool")
    }

    async fn start(&self) -> Plugin<LinuxMounter, Place> {
        let config = Config { thread_idle: THREAD_IDLE, ..config(&self.disk.root, real()) };
        start_with(self.mounter.clone(), self.place.clone(), &self.disk.root, config).await
    }

    /// A plugin whose share is mounted, with two volumes.
    async fn plugin(&self) -> Plugin<LinuxMounter, Place> {
        let mut plugin = self.start().await;
        assert_eq!(failure(plugin.publish(self.volume("1", &self.target("0"))).await).0, Code::NotFound);
        for name in ["1", "2"] {
            fs::create_dir(self.share().join(format!("{}-{name}", self.name))).unwrap();
        }
        plugin
    }

    fn share(&self) -> PathBuf {
        fs::read_dir(self.pool()).unwrap().next().unwrap().unwrap().path()
    }

    /// The server is at its second address from now on, and the first is silent.
    fn move_server(&self) {
        self.place.0.store(1, Ordering::SeqCst);
        self.valves[0].shut();
    }

    fn address_at(&self, at: &Path) -> Option<String> {
        let table = self.mounter.table().unwrap();
        table.top(at).and_then(|entry| entry.options.get("addr").map(str::to_owned))
    }

    fn is_mounted(&self, at: &Path) -> bool {
        self.mounter.table().unwrap().top(at).is_some()
    }

    /// What is mounted from the server, in the pool and for pods.
    fn mounts(&self) -> Vec<PathBuf> {
        let table = self.mounter.table().unwrap();
        let of_server = table.entries().iter().filter(|entry| entry.fs_type == "nfs4");
        of_server.map(|entry| entry.mount_point.clone()).collect()
    }

    /// Ends the plugin and starts another, as when its pod is replaced: the pool ends with the container.
    async fn restart(&self, plugin: Plugin<LinuxMounter, Place>) -> Plugin<LinuxMounter, Place> {
        plugin.end().await;
        for at in self.mounts().into_iter().filter(|at| at.starts_with(self.pool())) {
            self.mounter.unmount(&at, Unmount::Detach).unwrap();
            fs::remove_dir(at).unwrap();
        }
        self.start().await
    }

    /// Undoes all that a test has done, with the server back at both addresses.
    ///
    /// The way to the server is threads of this process. Whoever ends the last use of a superblock says goodbye to the server; if that is a thread that
    /// comes back late, while the process ends, the way is gone, and the process stays until the kernel gives up: six minutes on 6.1, three for
    /// `DESTROY_SESSION` and three for `DESTROY_CLIENTID`. So this waits until no thread is left, and nothing that knows the server.
    async fn leave(self, plugin: Plugin<LinuxMounter, Place>) {
        self.valves.iter().for_each(Valve::open);
        until_free(&plugin).await;
        let mounts = self.mounts();
        let is_share = |at: &&PathBuf| at.starts_with(self.pool()) && at.join(format!("{}-1", self.name)).exists();
        let share = mounts.iter().find(is_share).unwrap();
        for name in ["1", "2"] {
            fs::remove_dir_all(share.join(format!("{}-{name}", self.name))).unwrap();
        }
        let workers = plugin.node.workers().clone();
        plugin.end().await;
        for at in self.mounts() {
            self.mounter.unmount(&at, Unmount::Detach).unwrap();
        }
        until(|| workers.census().threads == 0, || format!("{workers:?}")).await;
        let clients = || fs::read_to_string("/proc/thread-self/net/nfsfs/servers").unwrap();
        until(|| clients().lines().count() <= 1, clients).await;
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // Also after a failure: what waits for the server would keep the process from ending.
        self.valves.iter().for_each(Valve::open);
    }
}

/// Waits for something, which `told` describes if it never comes.
async fn until(condition: impl Fn() -> bool, told: impl Fn() -> String) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_mins(3), waited).await;
    assert!(came.is_ok(), "it never came true: {}", told());
}

async fn until_free(plugin: &Plugin<LinuxMounter, Place>) {
    let workers = plugin.node.workers();
    until(|| workers.census().stuck == 0, || format!("{workers:?}")).await;
}

#[tokio::test]
async fn a_silent_server_holds_up_one_thread_and_no_call() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let (first, second, third) = (island.target("1"), island.target("2"), island.target("3"));
    plugin.publish(island.volume("1", &first)).await.unwrap();
    plugin.publish(island.volume("2", &second)).await.unwrap();
    fs::write(first.join("file"), "before").unwrap();

    island.valves[0].shut();
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

    island.valves[0].open();
    until_free(&plugin).await;
    plugin.publish(island.volume("1", &third)).await.unwrap();
    assert_eq!(fs::read_to_string(third.join("file")).unwrap(), "before");
    for target in [&first, &third] {
        plugin.unpublish(target).await.unwrap();
    }
    island.leave(plugin).await;
}

#[tokio::test]
async fn a_publish_that_hangs_in_the_kernel_can_be_given_up() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let target = island.target("1");
    island.valves[0].shut();
    // Nothing of this directory is in the client's cache: the lookup has to ask.
    let publish = within(real().mount + AT_ONCE, plugin.publish(island.volume("3", &target)));
    assert_eq!(failure(publish.await).0, Code::DeadlineExceeded);
    at_once(plugin.unpublish(&target)).await.unwrap();
    island.valves[0].open();
    until_free(&plugin).await;
    assert!(!island.is_mounted(&target) && !target.exists());
    island.leave(plugin).await;
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
    island.leave(plugin).await;
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
    island.leave(plugin).await;
}

/// The pool is empty then, and a pod's mount is all that the kernel still has of the server: at its old address.
#[tokio::test]
async fn a_server_that_has_moved_is_mounted_where_it_is_by_the_next_plugin() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let (old, new) = (island.target("old"), island.target("new"));
    plugin.publish(island.volume("1", &old)).await.unwrap();
    island.move_server();
    let mut plugin = island.restart(plugin).await;
    let started = std::time::Instant::now();
    plugin.publish(island.volume("2", &new)).await.unwrap();
    eprintln!("MEASURED moved, by the next plugin: {:?}, at {:?}", started.elapsed(), island.address_at(&new));
    assert_eq!(island.address_at(&new).as_deref(), Some("127.0.0.2"));
    fs::write(new.join("file"), "after").unwrap();
    island.leave(plugin).await;
}

#[tokio::test]
async fn another_share_of_a_server_that_has_moved_is_mounted_where_it_is() {
    let island = Island::new();
    let mut plugin = island.plugin().await;
    let (old, new) = (island.target("old"), island.target("new"));
    plugin.publish(island.volume("1", &old)).await.unwrap();
    island.move_server();
    let mut other = island.volume("2", &new);
    let below = other.volume_context.remove("subDir").unwrap();
    other.volume_context.entry("share".to_owned()).and_modify(|share| *share = format!("{share}/{below}"));
    plugin.publish(other).await.unwrap();
    assert_eq!(island.address_at(&new).as_deref(), Some("127.0.0.2"));
    fs::write(new.join("file"), "after").unwrap();
    // The old mount is still there for whoever cleans up.
    island.leave(plugin).await;
}
