//! What kubelet sees, over the scripted mounter.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi_proto::csi;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::Config;
use node_plugin::mounter::{Mounter, Unmount};
use node_plugin::service::NodeService;
use tonic::Code;

use crate::fake::FakeMounter;
use crate::plugin::{Plugin, capability, config, deadlines, failure, start_as, volume};

/// Makes a good request bad.
type Spoil = fn(&mut csi::NodePublishVolumeRequest);

pub(crate) struct Scene {
    pub(crate) plugin: Plugin<FakeMounter, FakeMounter>,
    pub(crate) kernel: FakeMounter,
    dir: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn target(&self, pod: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(format!("pods/{pod}/mount"))
    }

    pub(crate) fn pool(&self) -> PathBuf {
        self.dir.path().join("pool")
    }

    /// Undoes the pool, as the end of the plugin's mount namespace does.
    pub(crate) fn empty_the_pool(&self) {
        for share in fs::read_dir(self.pool()).unwrap() {
            let at = share.unwrap().path();
            self.kernel.unmount(&at, Unmount::Detach).unwrap();
            fs::remove_dir(at).unwrap();
        }
    }

    /// A second process on the same node, after the first has gone.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|config| config).await
    }

    /// The same, with another configuration.
    pub(crate) async fn restart_with(self, change: impl FnOnce(Config) -> Config) -> Self {
        self.restarted(change, |service| service).await
    }

    /// The same, set up in another way.
    pub(crate) async fn restart_as(
        self,
        change: impl FnOnce(NodeService<FakeMounter, FakeMounter>) -> NodeService<FakeMounter, FakeMounter>,
    ) -> Self {
        self.restarted(|config| config, change).await
    }

    /// The same, with both.
    pub(crate) async fn restarted(
        self,
        configure: impl FnOnce(Config) -> Config,
        change: impl FnOnce(NodeService<FakeMounter, FakeMounter>) -> NodeService<FakeMounter, FakeMounter>,
    ) -> Self {
        let Self { plugin, kernel, dir } = self;
        plugin.end().await;
        let config = configure(config(dir.path(), deadlines()));
        let plugin = start_as(kernel.clone(), kernel.clone(), dir.path(), config, change).await;
        Self { plugin, kernel, dir }
    }
}

pub(crate) async fn scene() -> Scene {
    scene_of(|service| service).await
}

/// A scene whose plugin is set up in another way.
pub(crate) async fn scene_of(
    change: impl FnOnce(NodeService<FakeMounter, FakeMounter>) -> NodeService<FakeMounter, FakeMounter>,
) -> Scene {
    let kernel = FakeMounter::default();
    for directory in
        ["server:/share", "server:/share/pvc-1", "server:/share/pvc-2", "other:/share", "other:/share/pvc-1"]
    {
        kernel.make(directory);
    }
    let dir = tempfile::tempdir().unwrap();
    let plugin = start_as(kernel.clone(), kernel.clone(), dir.path(), config(dir.path(), deadlines()), change).await;
    Scene { plugin, kernel, dir }
}

pub(crate) fn locations(scene: &Scene, target: &Path) -> Vec<String> {
    scene.kernel.table().unwrap().stack(target).iter().map(|entry| entry.location()).collect()
}

/// The only mount of the pool, when what was retired has left it.
pub(crate) async fn until_alone(scene: &Scene) -> PathBuf {
    let shares = || -> Vec<_> { fs::read_dir(scene.pool()).unwrap().map(|at| at.unwrap().path()).collect() };
    let alone = async {
        loop {
            if let [current] = &shares()[..] {
                break current.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), alone).await.expect("what was retired has left the pool")
}

/// Whether the metrics have this line.
pub(crate) fn counted(scene: &Scene, line: &str) -> bool {
    scene.plugin.metrics.encode().unwrap().lines().any(|found| found == line)
}

#[tokio::test]
async fn volumes_of_a_share_are_cloned_from_one_mount() {
    let mut scene = scene().await;
    let (first, second) = (scene.target("1"), scene.target("2"));
    scene.plugin.publish(volume("pvc-1", &first)).await.unwrap();
    scene.plugin.publish(volume("pvc-2", &second)).await.unwrap();
    assert_eq!(locations(&scene, &first), ["server:/share/pvc-1"]);
    assert_eq!(locations(&scene, &second), ["server:/share/pvc-2"]);
    assert_eq!(scene.kernel.mounted(), ["server:/share"], "one question to the server");
    for target in [first, second] {
        scene.plugin.unpublish(&target).await.unwrap();
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn publish_and_unpublish_may_be_repeated() {
    let mut scene = scene().await;
    let target = scene.target("1");
    for _ in 0..3 {
        scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    }
    assert_eq!(locations(&scene, &target).len(), 1);
    for _ in 0..3 {
        scene.plugin.unpublish(&target).await.unwrap();
    }
    scene.plugin.unpublish(&scene.target("never")).await.unwrap();
}

#[tokio::test]
async fn a_target_that_shows_something_else_is_refused() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();

    let mut read_only = volume("pvc-1", &target);
    read_only.readonly = true;
    let (code, text) = failure(scene.plugin.publish(read_only).await);
    assert_eq!(code, Code::AlreadyExists);
    assert!(text.contains("other mount flags"), "{text}");

    let (code, text) = failure(scene.plugin.publish(volume("pvc-2", &target)).await);
    assert_eq!(code, Code::AlreadyExists);
    assert!(text.contains("server:/share/pvc-1"), "{text}");
}

#[tokio::test]
async fn writing_is_forbidden_by_flag_mode_and_option() {
    let mut scene = scene().await;
    let mut by_flag = volume("pvc-1", &scene.target("flag"));
    by_flag.readonly = true;
    let mut by_mode = volume("pvc-1", &scene.target("mode"));
    by_mode.volume_capability = Some(capability(Mode::MultiNodeReaderOnly, &[]));
    let mut by_option = volume("pvc-1", &scene.target("option"));
    by_option.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["ro,noexec"]));
    for request in [by_flag, by_mode, by_option] {
        scene.plugin.publish(request).await.unwrap();
    }
    let table = scene.kernel.table().unwrap();
    for pod in ["flag", "mode", "option"] {
        assert!(table.top(&scene.target(pod)).unwrap().attributes.read_only, "{pod}");
    }
    assert!(table.top(&scene.target("option")).unwrap().attributes.noexec);
    assert_eq!(scene.kernel.mounted().len(), 1, "flags need no superblock of their own");
}

#[tokio::test]
async fn a_volume_for_one_pod_is_refused_to_a_second_and_across_a_restart() {
    let mut scene = scene().await;
    let single = |target: &Path| {
        let mut request = volume("pvc-1", target);
        request.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
        request
    };
    let (first, second) = (scene.target("1"), scene.target("2"));
    scene.plugin.publish(single(&first)).await.unwrap();
    scene.plugin.publish(single(&first)).await.unwrap();
    let mut scene = scene.restart().await;
    let (code, text) = failure(scene.plugin.publish(single(&second)).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains(first.to_str().unwrap()), "{text}");
    assert!(!second.exists(), "nothing stays of a refused publish");

    scene.plugin.unpublish(&first).await.unwrap();
    scene.plugin.publish(single(&second)).await.unwrap();
    for mode in [Mode::SingleNodeMultiWriter, Mode::SingleNodeWriter] {
        let mut shared = volume("pvc-2", &scene.target("3"));
        shared.volume_capability = Some(capability(mode, &[]));
        scene.plugin.publish(shared.clone()).await.unwrap();
        shared.target_path = scene.target("4").to_str().unwrap().to_owned();
        scene.plugin.publish(shared).await.unwrap();
    }
}

#[tokio::test]
async fn every_mount_at_a_target_is_undone_whoever_made_it() {
    let mut scene = scene().await;
    let target = scene.target("1");
    fs::create_dir_all(&target).unwrap();
    scene.kernel.mount_by_others("nas:/vol", &target);
    scene.plugin.unpublish(&target).await.unwrap();
    assert!(!target.exists());

    fs::create_dir_all(&target).unwrap();
    for source in ["nas:/vol", "nas:/vol", "tmpfs"] {
        scene.kernel.mount_by_others(source, &target);
    }
    scene.plugin.unpublish(&target).await.unwrap();
    assert!(locations(&scene, &target).is_empty() && !target.exists());
}

#[tokio::test]
async fn a_volume_that_others_unmounted_is_unpublished_all_the_same() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    scene.kernel.unmount(&target, Unmount::Detach).unwrap();
    scene.plugin.unpublish(&target).await.unwrap();
    assert!(!target.exists());
}

#[tokio::test]
async fn a_share_that_was_unmounted_behind_our_back_is_mounted_again() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    let share = fs::read_dir(scene.pool()).unwrap().next().unwrap().unwrap().path();
    scene.kernel.unmount(&share, Unmount::Detach).unwrap();
    scene.plugin.publish(volume("pvc-2", &scene.target("2"))).await.unwrap();
    assert_eq!(scene.kernel.mounted().len(), 2);
    assert_eq!(locations(&scene, &scene.target("2")), ["server:/share/pvc-2"]);
}

#[tokio::test]
async fn a_mount_in_use_is_detached() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    scene.kernel.hold(&target);
    scene.plugin.unpublish(&target).await.unwrap();
    assert!(locations(&scene, &target).is_empty() && !target.exists());
    assert!(counted(&scene, "berth_detached_mounts_total 1"));

    // One that nobody uses is not.
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    scene.plugin.unpublish(&target).await.unwrap();
    assert!(counted(&scene, "berth_detached_mounts_total 1"));
}

#[tokio::test]
async fn what_lies_at_a_target_is_not_touched() {
    let mut scene = scene().await;
    let target = scene.target("1");
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/", &target).unwrap();
    let (code, text) = failure(scene.plugin.publish(volume("pvc-1", &target)).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("symbolic link"), "{text}");
    assert_eq!(failure(scene.plugin.unpublish(&target).await).0, Code::FailedPrecondition);
    fs::remove_file(&target).unwrap();

    fs::create_dir_all(target.join("precious")).unwrap();
    let (code, text) = failure(scene.plugin.unpublish(&target).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("holds files"), "{text}");
    assert!(target.join("precious").exists());
}

#[tokio::test]
async fn what_is_missing_or_wrong_in_a_request_is_named() {
    let mut scene = scene().await;
    let good = volume("pvc-1", &scene.target("1"));
    let bad: [(&str, Spoil); 8] = [
        ("volume_id", |request| request.volume_id.clear()),
        ("target_path", |request| request.target_path.clear()),
        ("volume_capability", |request| request.volume_capability = None),
        ("\"server\"", |request| {
            request.volume_context.remove("server");
        }),
        ("subDir", |request| {
            request.volume_context.insert("subDir".to_owned(), "../other".to_owned());
        }),
        ("nosuchoption", |request| {
            request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["nosuchoption"]));
        }),
        ("nfsvers=3", |request| {
            request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["nfsvers=3"]));
        }),
        ("absolute", |request| request.target_path = "relative".to_owned()),
    ];
    for (named, spoil) in bad {
        let mut request = good.clone();
        spoil(&mut request);
        let (code, text) = failure(scene.plugin.publish(request).await);
        assert_eq!(code, Code::InvalidArgument, "{named}: {text}");
        assert!(text.contains(named), "{named}: {text}");
    }
    assert!(scene.kernel.mounted().is_empty());
}

#[tokio::test]
async fn trouble_with_a_server_is_told_with_place_cause_and_remedy() {
    let mut scene = scene().await;
    let target = scene.target("1");
    let (code, text) = failure(scene.plugin.publish(volume("pvc-none", &target)).await);
    assert_eq!(code, Code::NotFound);
    assert!(text.contains("server:/share/pvc-none") && text.contains("no such directory"), "{text}");
    assert!(text.contains("check the share's path, that the volume was not removed, and the export rules"), "{text}");

    let mut unknown = volume("pvc-1", &target);
    unknown.volume_context.insert("server".to_owned(), "gone.invalid".to_owned());
    let (code, text) = failure(scene.plugin.publish(unknown).await);
    assert_eq!(code, Code::Unavailable);
    assert!(text.contains("gone.invalid:/share") && text.contains("does not resolve"), "{text}");
    assert!(text.contains("check the name, and the DNS that the plugin's pod uses (its dnsPolicy)"), "{text}");

    scene.kernel.stop("other");
    let mut down = volume("pvc-1", &target);
    down.volume_context.insert("server".to_owned(), "other".to_owned());
    let (code, text) = failure(scene.plugin.publish(down).await);
    assert_eq!(code, Code::Unavailable);
    assert!(text.contains("other:/share") && text.contains("refuses connections"), "{text}");
    assert!(text.contains("check that the NFS server runs and listens on this port"), "{text}");
    assert!(!target.exists(), "nothing stays of a failed publish");
}

#[tokio::test]
async fn a_share_that_may_not_be_mounted_as_a_whole_is_mounted_by_volume() {
    let mut scene = scene().await;
    scene.kernel.deny("server:/share");
    let (first, second) = (scene.target("1"), scene.target("2"));
    scene.plugin.publish(volume("pvc-1", &first)).await.unwrap();
    scene.plugin.publish(volume("pvc-2", &second)).await.unwrap();
    assert_eq!(scene.kernel.mounted(), ["server:/share", "server:/share/pvc-1", "server:/share/pvc-2"]);
    assert_eq!(locations(&scene, &first), ["server:/share/pvc-1"]);
    scene.plugin.publish(volume("pvc-1", &first)).await.unwrap();

    let mut whole = volume("pvc-1", &scene.target("3"));
    whole.volume_context.remove("subDir");
    let (code, text) = failure(scene.plugin.publish(whole).await);
    assert_eq!(code, Code::PermissionDenied);
    assert!(text.contains("export rules"), "{text}");
    for target in [first, second] {
        scene.plugin.unpublish(&target).await.unwrap();
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn the_kernel_reads_fifteen_times_the_read_size_ahead() {
    let mut scene = scene().await;
    let (usual, small, alone) = (scene.target("usual"), scene.target("small"), scene.target("alone"));
    scene.plugin.publish(volume("pvc-1", &usual)).await.unwrap();
    let mut request = volume("pvc-1", &small);
    request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["rsize=65536"]));
    scene.plugin.publish(request).await.unwrap();
    // A volume with a superblock of its own.
    scene.kernel.deny("other:/share");
    let mut request = volume("pvc-1", &alone);
    request.volume_context.insert("server".to_owned(), "other".to_owned());
    scene.plugin.publish(request).await.unwrap();
    let read_ahead = [usual, small, alone].map(|target| scene.kernel.read_ahead(&target));
    assert_eq!(read_ahead, [Some(15 * 1024), Some(15 * 64), Some(15 * 1024)]);
}

#[tokio::test]
async fn a_share_without_volumes_leaves_the_pool_and_one_with_volumes_stays() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    scene.plugin.node.sweep().await.unwrap();
    assert_eq!(fs::read_dir(scene.pool()).unwrap().count(), 1);
    scene.plugin.unpublish(&target).await.unwrap();
    scene.plugin.node.sweep().await.unwrap();
    assert_eq!(fs::read_dir(scene.pool()).unwrap().count(), 0);
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert_eq!(scene.kernel.mounted(), ["server:/share", "server:/share"]);
}

#[tokio::test]
async fn a_restarted_plugin_finds_the_pool_as_it_was() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    let mut scene = scene.restart().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.plugin.publish(volume("pvc-2", &scene.target("2"))).await.unwrap();
    assert_eq!(scene.kernel.mounted(), ["server:/share"]);
}

#[tokio::test]
async fn statistics_are_of_the_volume_that_was_asked_for() {
    let mut scene = scene().await;
    let (target, other) = (scene.target("1"), scene.target("2"));
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    let id = "berth://server/share#pvc-1";
    let figures = scene.plugin.stats(id, &target).await.unwrap();
    let bytes = &figures[0];
    assert_eq!((bytes.total, bytes.used, bytes.available), (1000, 600, 300));
    assert_eq!((figures[1].total, figures[1].used, figures[1].available), (50, 10, 40));

    assert_eq!(failure(scene.plugin.stats(id, &other).await).0, Code::NotFound);
    assert_eq!(failure(scene.plugin.stats(id, Path::new("some/path")).await).0, Code::NotFound);
    assert_eq!(failure(scene.plugin.stats("berth://server/share#pvc-2", &target).await).0, Code::NotFound);
    assert_eq!(failure(scene.plugin.stats("", &target).await).0, Code::InvalidArgument);

    let mut scene = scene.restart().await;
    assert!(scene.plugin.stats(id, &target).await.is_ok());
    assert_eq!(failure(scene.plugin.stats("berth://elsewhere/share#pvc-1", &target).await).0, Code::NotFound);
}

#[tokio::test]
async fn the_node_says_who_it_is_and_what_it_can() {
    let mut scene = scene().await;
    let info = scene.plugin.client.node_get_info(csi::NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.node_id.as_str(), info.max_volumes_per_node), ("node-1", 0));
    let answer = scene.plugin.client.node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await.unwrap();
    assert_eq!(answer.into_inner().capabilities.len(), 2);
    let stage = scene.plugin.client.node_stage_volume(csi::NodeStageVolumeRequest::default()).await;
    assert_eq!(failure(stage).0, Code::Unimplemented);
    let health = scene.plugin.client.node_get_volume_health(csi::NodeGetVolumeHealthRequest::default()).await;
    assert_eq!(failure(health).0, Code::Unimplemented);
    let health = scene.plugin.client.node_get_storage_health(csi::NodeGetStorageHealthRequest::default()).await;
    assert_eq!(failure(health).0, Code::Unimplemented);
}
