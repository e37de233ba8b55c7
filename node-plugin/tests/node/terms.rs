//! How a volume may be used, wherever it is written: access modes, `readOnly`, mount options.

use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::mounter::Mounter;
use tonic::Code;
use volume::mount_options::MountAttributes;

use crate::plugin::{capability, failure, volume};
use crate::service::{Scene, scene};

/// A volume whose attributes say this besides where it is.
fn with(attributes: &[(&str, &str)], mode: Mode, options: &[&str], target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("pvc-1", target);
    request.volume_capability = Some(capability(mode, options));
    let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    request.volume_context.extend(attributes);
    request
}

/// The flags with which it was mounted.
fn flags(scene: &Scene, target: &Path) -> MountAttributes {
    scene.kernel.table().unwrap().top(target).unwrap().attributes
}

#[tokio::test]
async fn a_reading_mode_that_comes_first_does_not_hide_a_writing_one() {
    let mut scene = scene().await;
    for (pod, modes, read_only) in [
        ("both", "ReadOnlyMany,ReadWriteMany", false),
        ("once", "ReadOnlyMany,ReadWriteOnce", false),
        ("readers", "ReadOnlyMany", true),
        ("narrowed", "ReadWriteMany", true),
        ("old", "", true),
    ] {
        let target = scene.target(pod);
        let request = with(&[("accessModes", modes)], Mode::MultiNodeReaderOnly, &[], &target);
        scene.plugin.publish(request).await.unwrap();
        assert_eq!(flags(&scene, &target).read_only, read_only, "{pod}");
    }
    let target = scene.target("pod");
    let mut request = with(&[("accessModes", "ReadOnlyMany,ReadWriteMany")], Mode::MultiNodeReaderOnly, &[], &target);
    request.readonly = true;
    scene.plugin.publish(request).await.unwrap();
    assert!(flags(&scene, &target).read_only, "the pod asks for it");
}

#[tokio::test]
async fn a_volume_for_one_pod_stays_so_whatever_its_attributes_list() {
    let mut scene = scene().await;
    for (attribute, told) in
        [("ReadWriteOnce", Mode::SingleNodeSingleWriter), ("ReadWriteOncePod", Mode::SingleNodeWriter)]
    {
        let request = |target: &Path| with(&[("accessModes", attribute)], told, &[], target);
        let (first, second) = (scene.target("1"), scene.target("2"));
        scene.plugin.publish(request(&first)).await.unwrap();
        assert_eq!(failure(scene.plugin.publish(request(&second)).await).0, Code::FailedPrecondition, "{attribute}");
        scene.plugin.unpublish(&first).await.unwrap();
    }
}

#[tokio::test]
async fn mount_options_in_the_attributes_are_in_force() {
    let mut scene = scene().await;
    let target = scene.target("1");
    let request = with(
        &[("mountoptions", "nfsvers=4.2,ro,sec=krb5p,nodev")],
        Mode::MultiNodeMultiWriter,
        &["noexec", "sec=krb5p"],
        &target,
    );
    scene.plugin.publish(request.clone()).await.unwrap();
    scene.plugin.publish(request).await.unwrap();
    let found = flags(&scene, &target);
    assert!(found.read_only && found.nodev && found.noexec, "{found:?}");
    let table = scene.kernel.table().unwrap();
    let options = &table.top(&target).unwrap().options;
    assert_eq!((options.get("vers"), options.get("sec")), (Some("4.2"), Some("krb5p")));
}

/// As kubelet writes them for a driver that has `seLinuxMount`.
#[tokio::test]
async fn volumes_of_one_share_with_different_labels_have_different_superblocks() {
    let mut scene = scene().await;
    let label = |categories: &str| format!("context=\"system_u:object_r:container_file_t:s0:{categories}\"");
    let mut devices = Vec::new();
    for (pod, categories) in [("1", "c1,c2"), ("2", "c1,c2"), ("3", "c3,c4")] {
        let target = scene.target(pod);
        let request = with(&[], Mode::MultiNodeMultiWriter, &["hard", &label(categories)], &target);
        scene.plugin.publish(request).await.unwrap();
        devices.push(scene.kernel.table().unwrap().top(&target).unwrap().device);
    }
    assert_eq!(scene.kernel.mounted().len(), 2, "one for each label");
    assert!(devices[0] == devices[1] && devices[0] != devices[2], "{devices:?}");
    let target = scene.target("4");
    let request = with(&[("mountOptions", &label("c5,c6"))], Mode::MultiNodeMultiWriter, &[&label("c1,c2")], &target);
    let (code, text) = failure(scene.plugin.publish(request).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("c1,c2") && text.contains("c5,c6"), "{text}");
}

#[tokio::test]
async fn writing_is_forbidden_by_the_attribute() {
    let mut scene = scene().await;
    let target = scene.target("1");
    let request = with(&[("readonly", "true")], Mode::MultiNodeMultiWriter, &[], &target);
    scene.plugin.publish(request).await.unwrap();
    assert!(flags(&scene, &target).read_only);
}

#[tokio::test]
async fn attributes_that_contradict_the_volume_are_refused_with_both() {
    let mut scene = scene().await;
    let target = scene.target("1");
    for (key, value, option, named) in [
        ("mountOptions", "sec=krb5", "sec=sys", ["\"sec=sys\"", "\"sec=krb5\""]),
        ("mountOptions", "ro", "rw", ["\"rw\"", "\"ro\""]),
        ("readOnly", "true", "rw", ["\"rw\"", "\"readOnly\", which is \"true\""]),
        ("mountOptions", "nfsvers=3", "hard", ["nfsvers=3", "4.1"]),
        ("accessModes", "ReadOnly", "hard", ["accessModes", "\"ReadOnly\""]),
        ("readOnly", "yes", "hard", ["readOnly", "\"yes\""]),
    ] {
        let request = with(&[(key, value)], Mode::MultiNodeMultiWriter, &[option], &target);
        let (code, text) = failure(scene.plugin.publish(request).await);
        assert_eq!(code, Code::InvalidArgument, "{text}");
        assert!(named.iter().all(|named| text.contains(named)), "{text}");
    }
    assert!(scene.kernel.mounted().is_empty());
}
