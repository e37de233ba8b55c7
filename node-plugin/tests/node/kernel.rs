//! The kernel's NFS client and a real server.
//!
//! `BERTH_TEST_SERVER` names the server (`host` or `host:port`), `BERTH_TEST_SHARE` a share on which this node's root may write; beside it the server
//! exports `squashed`, `lowport` and `restricted` (see `labkit/guest/serve-nfs`). Each test works in a directory of its own.

mod groups;
mod pool;

use std::any::Any;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use csi_proto::csi;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::mounter::{Api, Filesystem, LinuxMounter, MountRequest, Mounter, Unmount};
use node_plugin::server::{Network, Servers};
use node_plugin::share::Share;
use tonic::Code;
use volume::mount_options::MountAttributes;
use volume::{MountOptions, Server};

use crate::contract::{Bench, hold_to_contract};
use crate::disk::Disk;
use crate::plugin::{Plugin, at_once, capability, failure, real, start, volume};

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} must be set for the tests of the feature `kernel`"))
}

/// A node with a share of its own: a fresh directory of the one that was given.
struct Machine {
    disk: Disk,
    mounter: LinuxMounter,
    server: Server,
    /// Path of the fresh directory on the server.
    share: String,
    /// Where the share that was given is mounted, beside the plugin.
    base: PathBuf,
    name: String,
}

impl Machine {
    fn new(api: Api) -> Self {
        let disk = Disk::new();
        let mounter = LinuxMounter::new(Filesystem::Nfs, api, disk.root.join("scratch"));
        let server: Server = given("BERTH_TEST_SERVER").parse().unwrap();
        let given = given("BERTH_TEST_SHARE");
        let base = disk.root.join("base");
        fs::create_dir(&base).unwrap();
        let tree = mounter.mount(&request(&server, &given)).expect("the share that was given cannot be mounted");
        mounter.attach(tree, &base).expect("the share that was given cannot be mounted");
        let name = disk.root.file_name().unwrap().to_str().unwrap().replace('.', "t");
        fs::create_dir(base.join(&name)).expect("root of this node may not write on the share that was given");
        let share = format!("{}/{name}", given.trim_end_matches('/'));
        Self { disk, mounter, server, share, base, name }
    }

    /// The share as the server's own node would see it.
    fn inside(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    fn target(&self, pod: &str) -> PathBuf {
        self.disk.root.join(format!("pods/{pod}/mount"))
    }

    async fn plugin(&self) -> Plugin<LinuxMounter, Network> {
        start(self.mounter.clone(), Network::new(), &self.disk.root, real()).await
    }

    fn volume(&self, name: &str, target: &Path) -> csi::NodePublishVolumeRequest {
        let mut request = volume(name, target);
        request.volume_context.insert("server".to_owned(), self.server.to_string());
        request.volume_context.insert("share".to_owned(), self.share.clone());
        request.volume_id = format!("berth://{}{}#{name}", self.server, self.share);
        request
    }
}

/// The whole of another export of the server.
fn beside(machine: &Machine, export: &str, target: &Path) -> csi::NodePublishVolumeRequest {
    let given = given("BERTH_TEST_SHARE");
    let mut request = machine.volume("whole", target);
    request.volume_context.remove("subDir");
    request
        .volume_context
        .insert("share".to_owned(), Path::new(&given).with_file_name(export).to_str().unwrap().to_owned());
    request
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.inside());
        let _ = self.mounter.unmount(&self.base, Unmount::Detach);
    }
}

fn request(server: &Server, path: &str) -> MountRequest {
    let share = Share::new(server.clone(), path.parse().unwrap(), MountOptions::default(), true);
    MountRequest {
        source: share.location(),
        address: Network::new().addresses(server).unwrap()[0],
        options: share.options.superblock(),
        attributes: MountAttributes::default(),
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

    fn request(&self) -> MountRequest {
        request(&self.server, &self.share)
    }

    fn make_on_share(&self, share: &Path, name: &str) {
        fs::create_dir(share.join(name)).unwrap();
    }

    fn hold(&self, at: &Path) -> Box<dyn Any> {
        Box::new(File::create(at.join("in-use")).unwrap())
    }
}

#[test]
fn the_nfs_client_keeps_the_contract() {
    hold_to_contract(|| Machine::new(Api::Newest));
}

#[test]
fn the_nfs_client_keeps_the_contract_through_mount_2() {
    hold_to_contract(|| Machine::new(Api::Legacy));
}

#[test]
fn the_server_answers_a_ping() {
    let server: Server = given("BERTH_TEST_SERVER").parse().unwrap();
    let address = Network::new().addresses(&server).unwrap()[0];
    Network::new().ping(address).unwrap();
}

#[tokio::test]
async fn two_pods_share_a_volume_and_one_superblock() {
    let machine = Machine::new(Api::Newest);
    for name in ["pvc-1", "pvc-2"] {
        fs::create_dir(machine.inside().join(name)).unwrap();
    }
    let mut plugin = machine.plugin().await;
    let (writer, reader, stranger) = (machine.target("1"), machine.target("2"), machine.target("3"));
    plugin.publish(machine.volume("pvc-1", &writer)).await.unwrap();
    let mut read_only = machine.volume("pvc-1", &reader);
    read_only.readonly = true;
    plugin.publish(read_only).await.unwrap();
    plugin.publish(machine.volume("pvc-2", &stranger)).await.unwrap();
    fs::write(writer.join("file"), "hello").unwrap();
    assert_eq!(fs::read_to_string(reader.join("file")).unwrap(), "hello");
    assert_eq!(fs::write(reader.join("file"), "x").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(!stranger.join("file").exists());

    let table = machine.mounter.table().unwrap();
    let device = |at: &Path| table.top(at).unwrap().device;
    assert_eq!(device(&writer), device(&reader));
    assert_eq!(device(&writer), device(&stranger));
    let read_ahead = fs::read_to_string(format!("/sys/class/bdi/{}/read_ahead_kb", device(&writer))).unwrap();
    assert_eq!(read_ahead.trim(), "15360", "15 times the default rsize of 1 MiB");

    // A process that starts anew judges the same table.
    drop(plugin);
    let mut plugin = machine.plugin().await;
    plugin.publish(machine.volume("pvc-1", &writer)).await.unwrap();
    assert_eq!(failure(plugin.publish(machine.volume("pvc-2", &writer)).await).0, Code::AlreadyExists);
    let figures = plugin.stats(&machine.volume("pvc-1", &writer).volume_id, &writer).await.unwrap();
    assert!(figures[0].total > 0 && figures[0].available > 0);
    for target in [&writer, &reader, &stranger] {
        plugin.unpublish(target).await.unwrap();
        assert!(!target.exists());
    }
    plugin.node.sweep().await.unwrap();
    assert_eq!(fs::read_dir(machine.disk.root.join("pool")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(machine.inside().join("pvc-1/file")).unwrap(), "hello");
}

/// A volume is deleted and made again in the same place, by somebody of whom this node's client does not know.
#[tokio::test]
async fn a_directory_that_was_made_again_is_not_taken_for_the_old_one() {
    let machine = Machine::new(Api::Newest);
    let elsewhere = machine.disk.root.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut apart = request(&machine.server, &machine.share);
    apart.options.push(("nosharecache".to_owned(), None));
    machine.mounter.attach(machine.mounter.mount(&apart).unwrap(), &elsewhere).unwrap();
    let make = |place: &str, file: &str| {
        fs::create_dir_all(elsewhere.join(place)).unwrap();
        fs::write(elsewhere.join(place).join(file), "").unwrap();
    };
    let mut plugin = machine.plugin().await;
    for (place, moved) in [("data", "data"), ("team/data", "team/data"), ("other/data", "other")] {
        let target = machine.target("1");
        make(place, "old");
        // The client believes what it has seen twice.
        for _ in 0..2 {
            plugin.publish(machine.volume(place, &target)).await.unwrap();
            assert!(target.join("old").exists());
            plugin.unpublish(&target).await.unwrap();
        }

        fs::rename(elsewhere.join(moved), elsewhere.join(format!("trash-{}", moved.replace('/', "-")))).unwrap();
        make(place, "new");
        plugin.publish(machine.volume(place, &target)).await.unwrap();
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["new"], "{place}");
        plugin.unpublish(&target).await.unwrap();
    }
    machine.mounter.unmount(&elsewhere, Unmount::Plain).unwrap();
}

#[tokio::test]
async fn what_the_server_does_not_have_is_said_to_be_missing() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let target = machine.target("1");
    let (code, text) = failure(plugin.publish(machine.volume("pvc-none", &target)).await);
    assert_eq!(code, Code::NotFound, "{text}");
    assert!(text.contains("pvc-none") && text.contains("no such directory"), "{text}");

    let mut no_share = machine.volume("pvc-1", &target);
    no_share.volume_context.insert("share".to_owned(), format!("{}/none", machine.share));
    let (code, text) = failure(plugin.publish(no_share).await);
    assert_eq!(code, Code::NotFound, "{text}");
    assert!(text.contains(&machine.share), "{text}");
    assert!(!target.exists());
}

#[tokio::test]
async fn symbolic_links_made_by_a_pod_are_not_followed() {
    let machine = Machine::new(Api::Newest);
    fs::create_dir(machine.inside().join("pvc-1")).unwrap();
    std::os::unix::fs::symlink("/etc", machine.inside().join("pvc-1/evil")).unwrap();
    let mut plugin = machine.plugin().await;
    let (code, text) = failure(plugin.publish(machine.volume("pvc-1/evil", &machine.target("1"))).await);
    assert_eq!(code, Code::FailedPrecondition, "{text}");
}

#[tokio::test]
async fn a_port_at_which_nobody_listens_is_told_at_once() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let mut closed = machine.volume("pvc-1", &machine.target("1"));
    closed.volume_context.insert("server".to_owned(), "127.0.0.1:1".to_owned());
    let (code, text) = failure(at_once(plugin.publish(closed)).await);
    assert_eq!(code, Code::Unavailable);
    assert!(text.contains("127.0.0.1:1 refuses connections"), "{text}");
}

#[tokio::test]
async fn an_export_that_excludes_this_node_is_told_with_the_export_rules_in_mind() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let (code, text) = failure(plugin.publish(beside(&machine, "restricted", &machine.target("1"))).await);
    // The kernel's server hides such an export; others refuse it.
    assert!(matches!(code, Code::NotFound | Code::PermissionDenied), "{code:?} {text}");
    assert!(text.contains("/restricted") && text.contains("export"), "{text}");
}

#[tokio::test]
async fn an_export_that_demands_a_low_port_is_told_with_its_option_and_mounts_with_it() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let target = machine.target("1");
    let mut request = beside(&machine, "lowport", &target);
    let (code, text) = failure(plugin.publish(request.clone()).await);
    assert_eq!(code, Code::PermissionDenied, "{text}");
    assert!(text.contains("/lowport") && text.contains("resvport"), "{text}");

    // The kernel keeps one connection per server and minor version, with the port of the first volume that used it; 4.2 is this test's own.
    request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["resvport", "vers=4.2"]));
    plugin.publish(request).await.unwrap();
    fs::write(target.join("file"), "hello").unwrap();
    plugin.unpublish(&target).await.unwrap();
}

#[tokio::test]
async fn a_squashing_export_mounts() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let target = machine.target("1");
    plugin.publish(beside(&machine, "squashed", &target)).await.unwrap();
    assert_eq!(fs::write(target.join("file"), "x").unwrap_err().kind(), ErrorKind::PermissionDenied);
    plugin.unpublish(&target).await.unwrap();
}

/// A volume that is a whole share, on which the controller keeps its records.
#[tokio::test]
async fn what_the_driver_keeps_on_a_share_is_covered() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    fs::create_dir_all(machine.inside().join(".berth/records")).unwrap();
    let target = machine.target("1");
    let mut whole = machine.volume("whole", &target);
    whole.volume_context.remove("subDir");
    plugin.publish(whole).await.unwrap();
    fs::write(target.join("file"), "a pod's").unwrap();
    assert_eq!(fs::read_dir(target.join(".berth")).unwrap().count(), 0);
    plugin.unpublish(&target).await.unwrap();
    assert!(!target.exists());
    assert!(machine.inside().join(".berth/records").is_dir() && machine.inside().join("file").exists());
    let metrics = plugin.metrics.encode().unwrap();
    assert!(metrics.lines().any(|line| line == "berth_detached_mounts_total 0"), "{metrics}");
}

/// Where root is nobody and the share is another user's alone, nobody can look for what is to be covered.
#[tokio::test]
async fn a_whole_share_that_is_closed_to_root_is_published() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let target = machine.target("1");
    let mut whole = beside(&machine, "squashed", &target);
    let closed = Path::new(&whole.volume_context["share"]).join(&machine.name);
    fs::create_dir_all(closed.join(".berth")).unwrap();
    std::os::unix::fs::chown(&closed, Some(1000), None).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    whole.volume_context.insert("share".to_owned(), closed.to_str().unwrap().to_owned());
    plugin.publish(whole).await.unwrap();
    assert_eq!(fs::read_dir(&target).unwrap_err().kind(), ErrorKind::PermissionDenied);
    plugin.unpublish(&target).await.unwrap();
    fs::remove_dir_all(&closed).unwrap();
}

/// The server does not know the directory any more that is the root of the share's mount.
#[tokio::test]
async fn a_whole_share_that_was_made_anew_is_mounted_afresh() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = machine.plugin().await;
    let whole = |target: &Path| {
        let mut whole = machine.volume("whole", target);
        whole.volume_context.remove("subDir");
        whole
    };
    let (old, new) = (machine.target("old"), machine.target("new"));
    plugin.publish(whole(&old)).await.unwrap();
    fs::remove_dir(machine.inside()).unwrap();
    fs::create_dir(machine.inside()).unwrap();
    fs::write(machine.inside().join("file"), "anew").unwrap();
    plugin.publish(whole(&new)).await.unwrap();
    assert_eq!(fs::read_to_string(new.join("file")).unwrap(), "anew");
    for target in [&old, &new] {
        plugin.unpublish(target).await.unwrap();
    }
}
