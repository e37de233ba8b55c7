//! The plugin in a mount namespace of its own, as a container runtime sets it up: kubelet's directory propagates both ways, the pool's volume neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use csi_runtime::metrics::Metrics;
use node_plugin::metrics::NodeMetrics;
use node_plugin::mounter::{LinuxMounter, Mounter};
use node_plugin::mountinfo::MountTable;
use node_plugin::publish::Publish;
use node_plugin::server::Servers;
use node_plugin::{Config, Node};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

/// What is done in a container.
type Task<S> = Box<dyn FnOnce(&tokio::runtime::Runtime, &Node<LinuxMounter, S>, &Path) + Send>;

/// A container in which a plugin runs. Dropped, it ends, and its mount namespace with it.
pub(crate) struct Container<S> {
    tasks: Option<Sender<(Task<S>, Sender<()>)>>,
    main: Option<JoinHandle<()>>,
    namespace: PathBuf,
}

impl<S: Servers> Container<S> {
    /// On a node whose kubelet has the directory `kubelet`, which is a shared mount.
    pub(crate) fn start(mounter: LinuxMounter, servers: S, kubelet: &Path) -> Self {
        let (tasks, received) = channel();
        let (ready, namespace) = channel();
        let kubelet = kubelet.to_owned();
        let main = thread::spawn(move || run(mounter, servers, &kubelet, &ready, &received));
        Self { tasks: Some(tasks), main: Some(main), namespace: namespace.recv().unwrap() }
    }

    /// Does something with the plugin, which is also told where its pool is.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&tokio::runtime::Runtime, &Node<LinuxMounter, S>, &Path) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = channel();
        let task: Task<S> = Box::new(move |runtime, node, pool| answer.send(work(runtime, node, pool)).unwrap());
        let (done, is_done) = channel();
        self.tasks.as_ref().unwrap().send((task, done)).unwrap();
        is_done.recv().unwrap();
        answered.recv().unwrap()
    }

    /// Publishes a volume at a target.
    pub(crate) fn publish(&self, request: Publish) {
        self.with(move |runtime, node, _| runtime.block_on(node.publish(request)).unwrap());
    }

    /// Ends it, and waits until its namespace is gone.
    pub(crate) fn end(mut self) {
        self.tasks = None;
        self.main.take().unwrap().join().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while is_used(&self.namespace) {
            assert!(Instant::now() < until, "a thread of the container does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The table that the container itself sees.
pub(crate) fn table_in<S: Servers>(container: &Container<S>, mounter: &LinuxMounter) -> MountTable {
    let mounter = mounter.clone();
    container.with(move |_, _, _| mounter.table().unwrap())
}

fn run<S: Servers>(
    mounter: LinuxMounter,
    servers: S,
    kubelet: &Path,
    ready: &Sender<PathBuf>,
    tasks: &Receiver<(Task<S>, Sender<()>)>,
) {
    #[expect(deprecated, reason = "its successor is unsafe because of UnshareFlags::FILES, which is not used here")]
    rustix::thread::unshare(UnshareFlags::NEWNS).unwrap();
    // `mountPropagation: None`: a volume of its own, private. kubelet's directory stays a peer of the node's: Bidirectional.
    let pool = tempfile::tempdir().unwrap();
    rustix::mount::mount("pool", pool.path(), "tmpfs", MountFlags::empty(), None).unwrap();
    rustix::mount::mount_change(pool.path(), MountPropagationFlags::PRIVATE).unwrap();
    rustix::mount::mount_change(kubelet, MountPropagationFlags::SHARED).unwrap();
    ready.send(fs::read_link("/proc/thread-self/ns/mnt").unwrap()).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { thread_idle: Duration::from_millis(50), ..Config::new(pool.path().to_owned()) };
    let node = Node::new(mounter, servers, config, NodeMetrics::new(&Metrics::new()));
    for (task, done) in tasks {
        task(&runtime, &node, pool.path());
        done.send(()).unwrap();
    }
    // A container ends with what is mounted in it; only the directory on which the volume lay is the test's to remove.
    std::mem::forget(pool);
}

fn is_used(namespace: &Path) -> bool {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    threads.filter_map(|thread| fs::read_link(thread.path().join("ns/mnt")).ok()).any(|of| of == namespace)
}
