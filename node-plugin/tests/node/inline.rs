//! Volumes that pods define by themselves: nothing is mounted that the list does not admit.

use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::inline::InlineVolumes;
use node_plugin::mounter::Mounter;
use tonic::Code;

use crate::plugin::{at_once, capability, failure};
use crate::service::{Scene, locations, scene, scene_of};

/// What kubelet asks for, for a pod that writes these attributes.
fn inline(attributes: &[(&str, &str)], target: &Path) -> csi::NodePublishVolumeRequest {
    let mut context: std::collections::BTreeMap<String, String> =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    context.insert("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned());
    context.insert("csi.storage.k8s.io/pod.name".to_owned(), "pod".to_owned());
    csi::NodePublishVolumeRequest {
        volume_id: format!("csi-{}", "0a".repeat(32)),
        target_path: target.to_str().unwrap().to_owned(),
        volume_capability: Some(capability(Mode::SingleNodeMultiWriter, &[])),
        volume_context: context,
        ..Default::default()
    }
}

const WHOLE: [(&str, &str); 2] = [("server", "server"), ("share", "/share")];

async fn admitting(list: &str) -> Scene {
    let list: InlineVolumes = list.parse().unwrap();
    scene_of(|service| service.admitting(list)).await
}

#[tokio::test]
async fn nothing_is_admitted_unless_somebody_has_listed_it() {
    let mut scene = scene().await;
    let target = scene.target("1");
    for _ in 0..2 {
        let (code, text) = failure(scene.plugin.publish(inline(&WHOLE, &target)).await);
        assert_eq!(code, Code::PermissionDenied);
        assert!(text.contains("server:/share") && text.contains("node.inlineVolumes"), "{text}");
    }
    // Where the CSIDriver does not let kubelet tell, and the pod says what it likes.
    let mut disguised = inline(&WHOLE, &target);
    disguised.volume_context.insert("csi.storage.k8s.io/ephemeral".to_owned(), "false".to_owned());
    assert_eq!(failure(scene.plugin.publish(disguised).await).0, Code::PermissionDenied);
    assert!(scene.kernel.mounted().is_empty() && !target.exists());
}

#[tokio::test]
async fn what_is_listed_is_mounted_and_undone_like_any_volume() {
    let mut scene = admitting(r#"[{"server": "server", "share": "/share", "mountOptions": ["nfsvers=4.1"]}]"#).await;
    let (whole, below, reader) = (scene.target("1"), scene.target("2"), scene.target("3"));
    scene.plugin.publish(inline(&WHOLE, &whole)).await.unwrap();
    let path = [("server", "server"), ("share", "/share/pvc-1"), ("mountOptions", "nfsvers=4.1")];
    scene.plugin.publish(inline(&path, &below)).await.unwrap();
    let named = [("server", "server"), ("share", "/share"), ("subDir", "pvc-2"), ("mountOptions", "nfsvers=4.1,ro")];
    scene.plugin.publish(inline(&named, &reader)).await.unwrap();
    let shown = [&whole, &below, &reader].map(|target| locations(&scene, target));
    assert_eq!(shown, [["server:/share"], ["server:/share/pvc-1"], ["server:/share/pvc-2"]]);
    assert!(scene.kernel.table().unwrap().top(&reader).unwrap().attributes.read_only);
    assert_eq!(scene.kernel.mounted(), ["server:/share"], "what lies in a share is a directory of it");
    for target in [whole, below, reader] {
        scene.plugin.unpublish(&target).await.unwrap();
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn what_is_not_listed_is_refused_and_nothing_is_made() {
    let mut scene =
        admitting(r#"[{"server": "server", "share": "/share/pvc-1"}, {"server": "other", "share": "/share"}]"#).await;
    let target = scene.target("1");
    for (attributes, code) in [
        (vec![("server", "server"), ("share", "/share")], Code::PermissionDenied),
        (vec![("server", "server"), ("share", "/share"), ("subDir", "pvc-1")], Code::PermissionDenied),
        (vec![("server", "server"), ("share", "/share/pvc-2")], Code::PermissionDenied),
        (vec![("server", "other"), ("share", "/share"), ("mountOptions", "soft")], Code::PermissionDenied),
        (vec![("server", "other"), ("share", "/share"), ("mountOptions", "sotf")], Code::InvalidArgument),
        (vec![("server", "other"), ("share", "/share"), ("subDir", "../x")], Code::InvalidArgument),
        (vec![("server", "other"), ("share", "/share"), ("subDir", "pvc-1/.berth")], Code::PermissionDenied),
    ] {
        let (found, text) = failure(scene.plugin.publish(inline(&attributes, &target)).await);
        assert_eq!(found, code, "{attributes:?}: {text}");
    }
    assert!(scene.kernel.mounted().is_empty() && !target.exists());
    // Nothing is made on the server.
    let missing = [("server", "other"), ("share", "/share"), ("subDir", "none")];
    assert_eq!(failure(scene.plugin.publish(inline(&missing, &target)).await).0, Code::NotFound);
}

/// kubelet repeats its calls when it is started again.
#[tokio::test]
async fn a_pod_that_runs_keeps_what_is_not_admitted_any_more() {
    let mut scene = admitting(r#"[{"server": "server", "share": "/share"}]"#).await;
    let target = scene.target("1");
    let path = [("server", "server"), ("share", "/share/pvc-1")];
    scene.plugin.publish(inline(&path, &target)).await.unwrap();
    let mut scene = scene.restart().await;
    at_once(scene.plugin.publish(inline(&path, &target))).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
    let other = scene.plugin.publish(inline(&path, &scene.target("2"))).await;
    assert_eq!(failure(other).0, Code::PermissionDenied);
    let another = [("server", "server"), ("share", "/share/pvc-2")];
    assert_eq!(failure(scene.plugin.publish(inline(&another, &target)).await).0, Code::PermissionDenied);
}
