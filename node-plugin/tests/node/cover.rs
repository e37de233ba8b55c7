//! A pod that has a whole share as its volume does not see what the driver keeps there.

use std::path::{Path, PathBuf};

use csi_proto::csi;
use node_plugin::mounter::COVER;

use crate::plugin::{at_once, volume};
use crate::service::{Scene, counted, locations, scene};

/// The share itself, as people write it by hand.
pub(crate) fn whole(target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("whole", target);
    request.volume_context.remove("subDir");
    csi::NodePublishVolumeRequest { volume_id: "by hand".to_owned(), ..request }
}

/// A share with the driver's directory, as the controller makes it.
async fn scene_with_folder() -> (Scene, PathBuf, PathBuf) {
    let scene = scene().await;
    scene.kernel.make("server:/share/.berth");
    let target = scene.target("1");
    let folder = target.join(".berth");
    (scene, target, folder)
}

#[tokio::test]
async fn what_the_driver_keeps_is_covered_and_uncovered_again() {
    let (mut scene, target, folder) = scene_with_folder().await;
    scene.plugin.publish(whole(&target)).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share"]);
    assert_eq!(locations(&scene, &folder), [COVER]);
    scene.plugin.publish(whole(&target)).await.unwrap();
    assert_eq!(locations(&scene, &folder), [COVER], "once is enough");

    scene.plugin.unpublish(&target).await.unwrap();
    assert!(locations(&scene, &folder).is_empty() && locations(&scene, &target).is_empty() && !target.exists());
    assert!(counted(&scene, "berth_detached_mounts_total 0"), "nothing had to be torn off");
}

#[tokio::test]
async fn a_volume_that_is_a_directory_of_the_share_has_nothing_to_cover() {
    let (mut scene, target, folder) = scene_with_folder().await;
    scene.kernel.make("server:/share/pvc-1/.berth");
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert!(locations(&scene, &folder).is_empty(), "that one is the pod's own");
}

#[tokio::test]
async fn a_share_on_which_there_is_nothing_yet_is_published() {
    let mut scene = scene().await;
    let target = scene.target("1");
    scene.plugin.publish(whole(&target)).await.unwrap();
    scene.plugin.unpublish(&target).await.unwrap();
}

/// Where root is nobody, the share may be closed to the plugin: then it is to kubelet too.
#[tokio::test]
async fn where_the_plugin_may_not_look_the_volume_is_published_as_it_is() {
    let (mut scene, target, folder) = scene_with_folder().await;
    scene.kernel.deny("server:/share/.berth");
    scene.plugin.publish(whole(&target)).await.unwrap();
    assert!(locations(&scene, &folder).is_empty());
}

/// Nothing of the share is seen without its cover, so nothing is asked of the server again.
#[tokio::test]
async fn a_covered_volume_is_published_again_while_its_server_is_silent() {
    let (mut scene, target, folder) = scene_with_folder().await;
    scene.plugin.publish(whole(&target)).await.unwrap();
    let mut scene = scene.restart().await;
    scene.kernel.hang("server");
    at_once(scene.plugin.publish(whole(&target))).await.unwrap();
    assert_eq!(locations(&scene, &folder), [COVER]);
    scene.kernel.release("server");
}

/// To take the cover off first, the volume would have to be walked into.
#[tokio::test]
async fn a_covered_volume_of_a_silent_server_is_unpublished_at_once() {
    for is_known in [true, false] {
        let (mut scene, target, folder) = scene_with_folder().await;
        scene.plugin.publish(whole(&target)).await.unwrap();
        let mut scene = if is_known { scene } else { scene.restart().await };
        scene.kernel.hang("server");
        at_once(scene.plugin.unpublish(&target)).await.unwrap();
        assert!(locations(&scene, &folder).is_empty() && locations(&scene, &target).is_empty() && !target.exists());
        assert_eq!(scene.plugin.node.workers().census().stuck, 0);
        scene.kernel.release("server");
    }
}
