//! What must not be taken for a volume, or for a pod's: a mount that was led astray, and what an earlier process has left.

use std::fs;
use std::path::Path;

use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::mounter::Mounter;
use tonic::Code;

use crate::plugin::{capability, failure, volume};
use crate::service::{locations, scene};

/// Whoever may write above a volume's directory can put a link there.
#[tokio::test]
async fn a_volume_mounted_by_itself_is_not_reached_through_a_link() {
    let mut scene = scene().await;
    scene.kernel.deny("server:/share");
    scene.kernel.link("server:/share/evil", "server:/share/pvc-2");
    let target = scene.target("1");
    for _ in 0..2 {
        let (code, text) = failure(scene.plugin.publish(volume("evil", &target)).await);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(text.contains("a symbolic link stands in its path and leads to server:/share/pvc-2"), "{text}");
        assert!(text.contains("a pod may have made it: put a directory there"), "{text}");
        assert!(!target.exists());
        assert!(scene.kernel.table().unwrap().entries().is_empty(), "what was mounted is undone");
    }
    // The share of a volume may be a link: it is the administrator's.
    let mut whole = volume("evil", &target);
    whole.volume_context.remove("subDir");
    whole.volume_context.insert("share".to_owned(), "/share/evil".to_owned());
    scene.plugin.publish(whole).await.unwrap();
    assert_eq!(failure(scene.plugin.publish(volume("evil", &scene.target("2"))).await).0, Code::FailedPrecondition);
}

/// It cannot be told from a pod's link; so the error says what to write instead.
#[tokio::test]
async fn a_volume_mounted_by_itself_below_a_link_is_told_with_the_shares_real_path() {
    let mut scene = scene().await;
    scene.kernel.deny("server:/link");
    scene.kernel.link("server:/link/pvc-1", "server:/share/pvc-1");
    let target = scene.target("1");
    let mut request = volume("pvc-1", &target);
    request.volume_context.insert("share".to_owned(), "/link".to_owned());
    let (code, text) = failure(scene.plugin.publish(request.clone()).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("leads to server:/share/pvc-1") && text.contains("write /share as \"share\""), "{text}");
    assert!(!target.exists());
    request.volume_context.insert("share".to_owned(), "/share".to_owned());
    scene.plugin.publish(request).await.unwrap();
}

/// A release that kept the pool elsewhere, and stages of mount(2) of a process that was killed.
#[tokio::test]
async fn what_an_earlier_process_has_left_is_detached_and_counts_for_nothing() {
    let mut scene = scene().await;
    let pool = scene.pool();
    let place = |below: &str| pool.with_file_name(below);
    let [stage, former, dead] = ["pool/scratch/1-0", "former/abc", "former/def"].map(place);
    for at in [&stage, &former, &dead] {
        fs::create_dir_all(at).unwrap();
    }
    scene.kernel.mount_by_others("server:/share/pvc-1", &stage);
    scene.kernel.mount_by_others("server:/share", &former);
    scene.kernel.mount_by_others("gone:/share", &dead);
    scene.kernel.hang("gone");
    let mut single = volume("pvc-1", &scene.target("1"));
    single.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
    scene.plugin.publish(single).await.expect("a stage is no pod");

    scene.plugin.node.clear(&["pool/scratch", "former", "never"].map(place));
    let is_left = |at: &Path| scene.kernel.table().unwrap().top(at).is_some() || at.exists();
    let cleared = async {
        while is_left(&stage) || is_left(&former) || scene.kernel.table().unwrap().top(&dead).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), cleared).await.expect("something is left");
    assert_eq!(locations(&scene, &scene.target("1")), ["server:/share/pvc-1"]);
    scene.plugin.publish(volume("pvc-2", &scene.target("2"))).await.unwrap();
    scene.kernel.release("gone");
}
