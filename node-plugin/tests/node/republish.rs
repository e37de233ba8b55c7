//! A publish onto a target that shows the volume already: kubelet repeats calls, above all when it has been restarted.

use std::fs;
use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::mounter::Mounter;
use node_plugin::mountinfo::SuperOptions;
use tonic::Code;

use crate::plugin::{at_once, capability, failure, volume};
use crate::service::{Scene, counted, locations, scene, until_alone};

fn with_options(name: &str, target: &Path, options: &[&str]) -> csi::NodePublishVolumeRequest {
    let mut request = volume(name, target);
    request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, options));
    request
}

fn of(server: &str, share: &str, target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("pvc-1", target);
    request.volume_context.insert("server".to_owned(), server.to_owned());
    request.volume_context.insert("share".to_owned(), share.to_owned());
    request
}

fn single(mut request: csi::NodePublishVolumeRequest) -> csi::NodePublishVolumeRequest {
    request.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
    request
}

/// A scene whose server has a second name, `nas`, and a link `/link` that leads to the share.
async fn scene_with_names() -> Scene {
    let scene = scene().await;
    let address = "10.1.0.5:2049".parse().unwrap();
    for host in ["server", "nas"] {
        scene.kernel.resolve(host, &[address]);
    }
    scene.kernel.link("nas:/share", "server:/share");
    scene.kernel.link("server:/link", "server:/share");
    scene
}

#[tokio::test]
async fn what_is_mounted_needs_neither_server_nor_resolver() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    scene.kernel.resolve("server", &[]);
    scene.kernel.stop("server");
    scene.kernel.hang("server");
    at_once(scene.plugin.publish(volume("pvc-1", &target))).await.unwrap();
    let mut scene = scene.restart().await;
    scene.empty_the_pool();
    at_once(scene.plugin.publish(volume("pvc-1", &target))).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
    assert!(counted(&scene, "berth_republished_total 1"));
    assert!(counted(&scene, "berth_republished_otherwise_total 0"));
    scene.kernel.release("server");
}

/// Another release has other defaults; somebody edits a PersistentVolume: no running pod ends for that.
#[tokio::test]
async fn options_that_have_changed_since_the_pod_started_are_accepted() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    let mut scene = scene.restart().await;
    for options in [["vers=4.2"], ["noatime"]] {
        scene.plugin.publish(with_options("pvc-1", &target, &options)).await.unwrap();
    }
    assert!(counted(&scene, "berth_republished_total 2"));
    assert!(counted(&scene, "berth_republished_otherwise_total 1"), "access times need no warning");
    let (code, _) = failure(scene.plugin.publish(with_options("pvc-2", &target, &["vers=4.2"])).await);
    assert_eq!(code, Code::AlreadyExists);
    let (code, _) = failure(scene.plugin.publish(with_options("pvc-1", &target, &["noexec"])).await);
    assert_eq!(code, Code::AlreadyExists);
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"], "nothing was undone");
}

#[tokio::test]
async fn a_volume_is_recognised_under_another_name_of_its_server() {
    let mut scene = scene_with_names().await;
    let (first, target) = (scene.target("0"), scene.target("1"));
    scene.plugin.publish(volume("pvc-2", &first)).await.unwrap();
    scene.plugin.publish(single(of("nas", "/share", &target))).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"], "the kernel names it after the first");
    scene.plugin.publish(single(of("nas", "/share", &target))).await.unwrap();

    for empty in [false, true] {
        if empty {
            scene.empty_the_pool();
        }
        scene = scene.restart().await;
        let id = "berth://nas/share#pvc-1";
        assert!(scene.plugin.stats(id, &target).await.is_ok(), "{empty}");
        scene.plugin.publish(single(of("nas", "/share", &target))).await.unwrap();
        let again = scene.plugin.publish(single(of("nas", "/share", &scene.target("2")))).await;
        assert_eq!(failure(again).0, Code::FailedPrecondition, "{empty}: it is for one pod");
        assert!(!scene.target("2").exists());
        let other = scene.plugin.publish(of("nas", "/share", &first)).await;
        assert_eq!(failure(other).0, Code::AlreadyExists, "{empty}");
    }
}

#[tokio::test]
async fn a_volume_is_recognised_behind_a_link_of_its_server() {
    let mut scene = scene_with_names().await;
    let target = scene.target("1");
    scene.plugin.publish(single(of("server", "/link", &target))).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
    for empty in [false, true] {
        if empty {
            scene.empty_the_pool();
        }
        scene = scene.restart().await;
        scene.plugin.publish(single(of("server", "/link", &target))).await.unwrap();
        let again = scene.plugin.publish(single(of("server", "/link", &scene.target("2")))).await;
        assert_eq!(failure(again).0, Code::FailedPrecondition, "{empty}: it is for one pod");
    }
}

/// Its former mount has left the pool, and the pod's is the last that is left of that superblock.
#[tokio::test]
async fn a_volume_behind_a_link_is_recognised_after_its_share_was_mounted_afresh() {
    let mut scene = scene_with_names().await;
    let (first, second) = (scene.target("1"), scene.target("2"));
    let volume = |name: &str, target: &Path| {
        let mut request = of("server", "/link", target);
        request.volume_context.insert("subDir".to_owned(), name.to_owned());
        request
    };
    scene.plugin.publish(single(volume("pvc-1", &first))).await.unwrap();
    scene.kernel.forget_handles();
    scene.plugin.publish(volume("pvc-2", &second)).await.unwrap();
    until_alone(&scene).await;
    scene.plugin.publish(single(volume("pvc-1", &first))).await.unwrap();
    assert!(scene.plugin.stats("berth://server/share#pvc-1", &first).await.is_ok());
    let again = scene.plugin.publish(single(volume("pvc-1", &scene.target("3")))).await;
    assert_eq!(failure(again).0, Code::FailedPrecondition, "it is for one pod");
    let other = scene.plugin.publish(volume("pvc-2", &first)).await;
    assert_eq!(failure(other).0, Code::AlreadyExists);
}

#[tokio::test]
async fn a_volume_that_asks_for_encryption_is_not_published_without() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    let target = scene.target("2");
    for _ in 0..2 {
        let (code, text) = failure(scene.plugin.publish(with_options("pvc-2", &target, &["xprtsec=tls"])).await);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(text.contains("asks for xprtsec=tls") && text.contains("has xprtsec=none"), "{text}");
        assert!(!target.exists());
        assert_eq!(scene.kernel.table().unwrap().entries().len(), 2, "the share and the first volume");
    }
    scene.kernel.make("tls:/share");
    scene.kernel.make("tls:/share/pvc-1");
    let mut request = with_options("pvc-1", &target, &["xprtsec=tls"]);
    request.volume_context.insert("server".to_owned(), "tls".to_owned());
    scene.plugin.publish(request).await.unwrap();
}

#[tokio::test]
async fn a_volume_mounted_by_itself_is_held_to_what_it_asks_for() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.kernel.deny("server:/share");
    let (code, text) =
        failure(scene.plugin.publish(with_options("pvc-2", &scene.target("2"), &["xprtsec=mtls"])).await);
    assert_eq!(code, Code::FailedPrecondition, "{text}");
    assert!(text.contains("server:/share/pvc-2"), "{text}");
}

#[tokio::test]
async fn a_weaker_volume_at_the_target_is_refused_and_left() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(with_options("pvc-1", &target, &["sec=krb5"])).await.unwrap();
    scene.plugin.publish(with_options("pvc-1", &target, &["sec=krb5"])).await.unwrap();
    let (code, text) = failure(scene.plugin.publish(with_options("pvc-1", &target, &["sec=krb5p"])).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("sec=krb5, where sec=krb5p is asked for"), "{text}");
    scene.kernel.alter(&target, |entry| entry.options = SuperOptions::new("rw,sec=krb5i"));
    scene.plugin.publish(with_options("pvc-1", &target, &["sec=krb5"])).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
}

#[tokio::test]
async fn a_directory_of_the_node_is_never_taken_for_the_share() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.kernel.undo_before_open();
    assert_eq!(failure(scene.plugin.publish(volume("pvc-1", &target)).await).0, Code::Internal);
    assert!(!target.exists());
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
    assert_eq!(fs::read_dir(scene.pool()).unwrap().count(), 1);
}
