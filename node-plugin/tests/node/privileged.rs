//! The kernel's own mounts, with a tmpfs in the share's place. Needs root; each test has a mount namespace of its own, so that nothing is left on the
//! machine.

mod groups;
mod terms;

use std::any::Any;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::mounter::{Api, Filesystem, LinuxMounter, Mounter, Unmount};
use node_plugin::publish::Publish;
use node_plugin::server::{ServerFault, Servers};
use tonic::Code;
use volume::{AccessMode, MountOptions, Server, VolumeContext};

use crate::container::{Container, table_in};
use crate::contract::{Bench, hold_to_contract};
use crate::cover::whole;
use crate::disk::Disk;
use crate::plugin::{Plugin, capability, deadlines, failure, start, volume};
use crate::program::{PATIENCE, Program};

/// As kubelet asks for a volume.
fn wanted(name: &str, target: &Path) -> Publish {
    let context = volume(name, target).volume_context;
    Publish {
        volume: name.to_owned(),
        context: VolumeContext::from_map(&context).unwrap().0,
        options: MountOptions::default(),
        mode: AccessMode::MultiNodeMultiWriter,
        read_only: false,
        target: target.to_owned(),
    }
}

/// Every server is there: a tmpfs needs none.
struct Present;

impl Servers for Present {
    fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, ServerFault> {
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], server.port()))])
    }

    fn ping(&self, _address: SocketAddr) -> Result<(), ServerFault> {
        Ok(())
    }
}

struct Machine {
    disk: Disk,
    mounter: LinuxMounter,
}

impl Machine {
    fn new(api: Api) -> Self {
        let disk = Disk::new();
        let mounter = LinuxMounter::new(Filesystem::StandIn, api, disk.root.join("scratch"));
        Self { disk, mounter }
    }

    fn target(&self, pod: &str) -> PathBuf {
        self.disk.root.join(format!("pods/{pod}/mount"))
    }

    /// Where the pool has the only share.
    fn share(&self) -> PathBuf {
        fs::read_dir(self.disk.root.join("pool")).unwrap().next().unwrap().unwrap().path()
    }

    async fn plugin(&self) -> Plugin<LinuxMounter, Present> {
        start(self.mounter.clone(), Present, &self.disk.root, deadlines()).await
    }

    /// A plugin whose share is mounted and holds the directories `pvc-1` and `pvc-2`.
    async fn plugin_with_volumes(&self) -> Plugin<LinuxMounter, Present> {
        let mut plugin = self.plugin().await;
        assert_eq!(failure(plugin.publish(volume("pvc-1", &self.target("0"))).await).0, Code::NotFound);
        for name in ["pvc-1", "pvc-2"] {
            fs::create_dir(self.share().join(name)).unwrap();
        }
        plugin
    }
}

impl Bench for Machine {
    type M = LinuxMounter;

    fn mounter(&self) -> &LinuxMounter {
        &self.mounter
    }

    fn dir(&self) -> &Path {
        &self.disk.root
    }

    fn make_on_share(&self, share: &Path, name: &str) {
        fs::create_dir(share.join(name)).unwrap();
    }

    fn hold(&self, at: &Path) -> Box<dyn Any> {
        Box::new(File::create(at.join("in-use")).unwrap())
    }
}

#[test]
fn the_mount_api_keeps_the_contract() {
    hold_to_contract(|| Machine::new(Api::Newest));
}

#[test]
fn mount_2_keeps_the_contract() {
    hold_to_contract(|| Machine::new(Api::Legacy));
}

async fn a_pod_reads_what_another_wrote(api: Api) {
    let machine = Machine::new(api);
    let mut plugin = machine.plugin_with_volumes().await;
    let (writer, reader, stranger) = (machine.target("1"), machine.target("2"), machine.target("3"));
    plugin.publish(volume("pvc-1", &writer)).await.unwrap();
    let mut read_only = volume("pvc-1", &reader);
    read_only.readonly = true;
    plugin.publish(read_only).await.unwrap();
    plugin.publish(volume("pvc-2", &stranger)).await.unwrap();

    fs::write(writer.join("file"), "hello").unwrap();
    assert_eq!(fs::read_to_string(reader.join("file")).unwrap(), "hello");
    assert_eq!(fs::write(reader.join("file"), "x").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(!stranger.join("file").exists());
    assert!(!writer.join("../pvc-2").join("file").exists());

    for target in [&writer, &reader, &stranger] {
        plugin.unpublish(target).await.unwrap();
        assert!(!target.exists());
    }
    assert_eq!(fs::read_to_string(machine.share().join("pvc-1/file")).unwrap(), "hello", "the volume keeps its data");
    plugin.node.sweep().await.unwrap();
    assert_eq!(fs::read_dir(machine.disk.root.join("pool")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_pod_reads_what_another_wrote_through_the_mount_api() {
    a_pod_reads_what_another_wrote(Api::Newest).await;
}

#[tokio::test]
async fn a_pod_reads_what_another_wrote_through_mount_2() {
    a_pod_reads_what_another_wrote(Api::Legacy).await;
}

/// Other mount namespaces (the node's, when the plugin runs in a container) must see the flags too: a remount would not reach them.
async fn a_read_only_volume_is_read_only_in_every_namespace(api: Api) {
    let machine = Machine::new(api);
    let peer = machine
        .disk
        .root
        .parent()
        .unwrap()
        .join(format!("{}-peer", machine.disk.root.file_name().unwrap().to_str().unwrap()));
    fs::create_dir(&peer).unwrap();
    rustix::mount::mount_bind(&machine.disk.root, &peer).unwrap();
    let mut plugin = machine.plugin_with_volumes().await;
    let target = machine.target("1");
    let mut read_only = volume("pvc-1", &target);
    read_only.readonly = true;
    plugin.publish(read_only).await.unwrap();
    let seen = peer.join(target.strip_prefix(&machine.disk.root).unwrap());
    let table = machine.mounter.table().unwrap();
    assert!(table.top(&seen).expect("the mount propagates").attributes.read_only);
    assert_eq!(fs::write(seen.join("file"), "x").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    plugin.unpublish(&target).await.unwrap();
    assert!(machine.mounter.table().unwrap().top(&seen).is_none(), "and so does its end");
    rustix::mount::unmount(&peer, rustix::mount::UnmountFlags::DETACH).unwrap();
    fs::remove_dir(&peer).unwrap();
}

#[tokio::test]
async fn a_read_only_volume_is_read_only_in_every_namespace_through_the_mount_api() {
    a_read_only_volume_is_read_only_in_every_namespace(Api::Newest).await;
}

#[tokio::test]
async fn a_read_only_volume_is_read_only_in_every_namespace_through_mount_2() {
    a_read_only_volume_is_read_only_in_every_namespace(Api::Legacy).await;
}

#[tokio::test]
async fn publish_is_idempotent_and_judged_by_the_table_after_a_restart() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    let target = machine.target("1");
    plugin.publish(volume("pvc-1", &target)).await.unwrap();
    let before = machine.mounter.table().unwrap();
    drop(plugin);

    let mut plugin = machine.plugin().await;
    plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert_eq!(machine.mounter.table().unwrap(), before);
    assert_eq!(failure(plugin.publish(volume("pvc-2", &target)).await).0, Code::AlreadyExists);
    let mut single = volume("pvc-1", &machine.target("2"));
    single.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
    assert_eq!(failure(plugin.publish(single).await).0, Code::FailedPrecondition);
    let mut read_only = volume("pvc-1", &target);
    read_only.readonly = true;
    assert_eq!(failure(plugin.publish(read_only).await).0, Code::AlreadyExists);
    plugin.unpublish(&target).await.unwrap();
}

#[tokio::test]
async fn a_symbolic_link_on_the_share_leads_nowhere() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    std::os::unix::fs::symlink("/etc", machine.share().join("evil")).unwrap();
    std::os::unix::fs::symlink("../pvc-1", machine.share().join("pvc-2/evil")).unwrap();
    for name in ["evil", "pvc-2/evil"] {
        let target = machine.target("1");
        let (code, text) = failure(plugin.publish(volume(name, &target)).await);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(text.contains("symbolic link"), "{text}");
        assert!(machine.mounter.table().unwrap().top(&target).is_none());
    }
}

#[tokio::test]
async fn a_volume_in_use_is_detached_and_its_user_keeps_it() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    let target = machine.target("1");
    plugin.publish(volume("pvc-1", &target)).await.unwrap();
    let mut user = File::create(target.join("file")).unwrap();
    plugin.unpublish(&target).await.unwrap();
    assert!(!target.exists());
    std::io::Write::write_all(&mut user, b"late").unwrap();
    assert_eq!(fs::read_to_string(machine.share().join("pvc-1/file")).unwrap(), "late");
}

#[tokio::test]
async fn what_others_mounted_upon_a_volume_is_undone_with_it() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    let target = machine.target("1");
    plugin.publish(volume("pvc-1", &target)).await.unwrap();
    for _ in 0..2 {
        rustix::mount::mount("others", &target, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    }
    plugin.unpublish(&target).await.unwrap();
    assert!(machine.mounter.table().unwrap().top(&target).is_none() && !target.exists());
}

#[tokio::test]
async fn a_share_that_was_unmounted_behind_our_back_is_mounted_again() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    machine.mounter.unmount(&machine.share(), Unmount::Detach).unwrap();
    // A fresh tmpfs has no directories: the question is only whether one was mounted.
    let (code, _) = failure(plugin.publish(volume("pvc-1", &machine.target("1"))).await);
    assert_eq!(code, Code::NotFound);
    assert!(machine.mounter.table().unwrap().top(&machine.share()).is_some());
}

#[tokio::test]
async fn statistics_come_from_the_file_system() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    let target = machine.target("1");
    plugin.publish(volume("pvc-1", &target)).await.unwrap();
    let figures = plugin.stats("berth://server/share#pvc-1", &target).await.unwrap();
    assert!(figures[0].total > 0);
    assert_eq!(figures[0].used + figures[0].available, figures[0].total);
}

/// No thread, descriptor or mount may be left per cycle.
#[tokio::test]
async fn a_thousand_cycles_leave_nothing_behind() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin_with_volumes().await;
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = None;
    for cycle in 0..1000 {
        let target = machine.target(&format!("{}", cycle % 7));
        plugin.publish(volume("pvc-1", &target)).await.unwrap();
        plugin.unpublish(&target).await.unwrap();
        before.get_or_insert_with(|| (machine.mounter.table().unwrap(), plugin.node.workers().census()));
    }
    assert_eq!(before, Some((machine.mounter.table().unwrap(), plugin.node.workers().census())));
    // Other tests of this process open descriptors too; a leak would be a thousand.
    assert!(descriptors() < 500, "{} descriptors are open", descriptors());
}

/// The pool of a plugin in a container is no mount of the node's; pods' mounts are, and outlive the container.
#[test]
fn the_node_sees_pods_mounts_and_no_pool_and_they_outlive_the_container() {
    let machine = Machine::new(Api::Newest);
    let kubelet = machine.disk.root.clone();
    let before = machine.mounter.table().unwrap().entries().len();
    let container = Container::start(machine.mounter.clone(), Present, &kubelet);
    // The first attempt mounts the share, on which the volume's directory is made then.
    let target = machine.target("1");
    let first = wanted("pvc-1", &target);
    container.with(move |runtime, node, pool| {
        runtime.block_on(node.publish(first)).unwrap_err();
        let share = fs::read_dir(pool).unwrap().next().unwrap().unwrap().path();
        fs::create_dir(share.join("pvc-1")).unwrap();
    });
    container.publish(wanted("pvc-1", &target));
    fs::write(target.join("file"), "hello").unwrap();
    let inside = table_in(&container, &machine.mounter);
    let device = inside.top(&target).unwrap().device;
    assert_eq!(inside.of_device(device).count(), 2, "the share and the pod");

    let table = machine.mounter.table().unwrap();
    let seen: Vec<_> = table.of_device(device).map(|entry| entry.mount_point.clone()).collect();
    assert_eq!(seen, std::slice::from_ref(&target), "of the share, the node sees the pod's mount alone");
    assert_eq!(table.entries().len(), before + 1);

    container.end();
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "hello");
    // The next one recognises it, although its pool is empty.
    let container = Container::start(machine.mounter.clone(), Present, &kubelet);
    container.publish(wanted("pvc-1", &target));
    container.with({
        let target = target.clone();
        move |runtime, node, _| runtime.block_on(node.unpublish(&target)).unwrap()
    });
    assert!(!target.exists());
    container.end();
    assert_eq!(machine.mounter.table().unwrap().entries().len(), before);
}

/// A release that kept its pool in kubelet's folder; a clone of the share, as a pod has one.
#[tokio::test]
async fn the_pool_of_an_earlier_release_is_detached_and_pods_keep_what_they_have() {
    let disk = Disk::new();
    let dir = tempfile::tempdir_in(&disk.root).unwrap();
    let place = |below: &str| {
        let at = dir.path().join(below);
        fs::create_dir_all(&at).unwrap();
        at
    };
    let (share, pod, pool) = (place("plugins/csi.example/pool/abc"), place("pods/1/mount"), place("elsewhere"));
    rustix::mount::mount("server:/share", &share, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    fs::write(share.join("file"), "hello").unwrap();
    rustix::mount::mount_bind(&share, &pod).unwrap();

    // In the same place it is the pool.
    let mut program = Program::start_in(dir, &[]);
    drop(program.registered().await);
    assert!(share.join("file").exists());
    program.terminate();
    program.end().await;

    let dir = std::mem::replace(&mut program.dir, tempfile::tempdir().unwrap());
    let program = Program::start_in(dir, &[&format!("--pool-dir={}", pool.display())]);
    let until = Instant::now() + PATIENCE;
    while share.parent().unwrap().exists() {
        assert!(Instant::now() < until, "it is mounted still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fs::read_to_string(pod.join("file")).unwrap(), "hello");
    rustix::mount::unmount(&pod, rustix::mount::UnmountFlags::DETACH).unwrap();
    drop(program);
}

/// What the driver keeps on a share is not seen in a volume that is all of it.
async fn a_covered_directory_is_empty_and_stays_so(api: Api) {
    let machine = Machine::new(api);
    let mut plugin = machine.plugin_with_volumes().await;
    let records = machine.share().join(".berth/records");
    fs::create_dir_all(&records).unwrap();
    fs::write(records.join("pvc-1"), "a record").unwrap();
    let target = machine.target("1");
    plugin.publish(whole(&target)).await.unwrap();
    assert_eq!(fs::read_dir(machine.disk.root.join("scratch")).unwrap().count(), 0, "a stage is left");

    let folder = target.join(".berth");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let room = fs::write(folder.join("file"), "x").unwrap_err();
    assert_eq!(room.kind(), ErrorKind::StorageFull, "{room}");
    // kubelet's walk for an fsGroup, which would fail the pod if it failed.
    std::os::unix::fs::chown(&folder, None, Some(7)).unwrap();
    assert_ne!(fs::metadata(machine.share().join(".berth")).unwrap().gid(), 7);
    assert!(target.join("pvc-2").is_dir(), "the rest is there");

    plugin.unpublish(&target).await.unwrap();
    assert!(!target.exists());
    assert_eq!(fs::read_to_string(records.join("pvc-1")).unwrap(), "a record");
    let metrics = plugin.metrics.encode().unwrap();
    assert!(metrics.lines().any(|line| line == "berth_detached_mounts_total 0"), "{metrics}");

    plugin.publish(whole(&target)).await.unwrap();
    rustix::mount::mount("others", &target, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    plugin.unpublish(&target).await.unwrap();
    assert!(machine.mounter.table().unwrap().top(&target).is_none() && !target.exists());

    // A link of that name leads out of the share, or to what is a pod's.
    fs::rename(machine.share().join(".berth"), machine.share().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", machine.share().join(".berth")).unwrap();
    plugin.publish(whole(&target)).await.unwrap();
    assert!(target.join("elsewhere/records/pvc-1").exists());
    plugin.unpublish(&target).await.unwrap();
}

#[tokio::test]
async fn a_covered_directory_is_empty_and_stays_so_through_the_mount_api() {
    a_covered_directory_is_empty_and_stays_so(Api::Newest).await;
}

#[tokio::test]
async fn a_covered_directory_is_empty_and_stays_so_through_mount_2() {
    a_covered_directory_is_empty_and_stays_so(Api::Legacy).await;
}
