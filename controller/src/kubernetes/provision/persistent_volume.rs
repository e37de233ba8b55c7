//! The `PersistentVolume` that a created volume gets, field by field what external-provisioner writes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeSpec, SecretReference,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;

use super::claim::class_name;
use super::quantity;
use super::request::Plan;
use super::secrets::Secrets;
use crate::kubernetes::api::names;
use crate::kubernetes::api::objects::{Claim, Class};
use crate::operations::Created;

/// Makes the volume object. `process` is the identity of this process (see [`process_identity`]); the driver's own
/// context wins over it, should it ever use its key.
pub(crate) fn build_pv(
    plan: &Plan,
    claim: &Claim,
    class: &Class,
    created: &Created,
    process: &str,
) -> PersistentVolume {
    let size = match created.capacity_bytes {
        0 => plan.request.capacity.required,
        bytes => i64::try_from(bytes).unwrap_or(i64::MAX),
    };
    let mut attributes = BTreeMap::from([(names::PROVISIONER_IDENTITY.to_owned(), process.to_owned())]);
    attributes.extend(created.context.clone());
    let secrets = plan.secrets.clone();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(plan.request.name.clone()),
            annotations: Some(annotations(class, &secrets)),
            finalizers: Some(vec![names::FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: Some(claim.spec.access_modes.clone()),
            capacity: Some(BTreeMap::from([("storage".to_owned(), Quantity(quantity::format_bytes(size)))])),
            claim_ref: Some(claim_ref(claim)),
            csi: Some(CSIPersistentVolumeSource {
                driver: class.provisioner.clone(),
                volume_handle: created.id.clone(),
                fs_type: (!plan.fs_type.is_empty()).then(|| plan.fs_type.clone()),
                volume_attributes: Some(attributes),
                controller_expand_secret_ref: secrets.controller_expand,
                controller_publish_secret_ref: secrets.controller_publish,
                node_expand_secret_ref: secrets.node_expand,
                node_publish_secret_ref: secrets.node_publish,
                node_stage_secret_ref: secrets.node_stage,
                read_only: None,
            }),
            mount_options: (!class.mount_options.is_empty()).then(|| class.mount_options.clone()),
            persistent_volume_reclaim_policy: Some(
                class.reclaim_policy.clone().unwrap_or_else(|| names::POLICY_DELETE.to_owned()),
            ),
            storage_class_name: Some(class_name(claim).to_owned()),
            volume_mode: Some(claim.spec.volume_mode.clone().unwrap_or_else(|| "Filesystem".to_owned())),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

fn annotations(class: &Class, secrets: &Secrets) -> BTreeMap<String, String> {
    let part = |secret: &Option<SecretReference>, pick: fn(&SecretReference) -> &Option<String>| {
        secret.as_ref().and_then(|secret| pick(secret).clone()).unwrap_or_default()
    };
    let mut all = BTreeMap::from([
        (names::PROVISIONED_BY.to_owned(), class.provisioner.clone()),
        // Written even when empty: their absence would mean "look into the class".
        (names::DELETION_SECRET_NAME.to_owned(), part(&secrets.provisioner, |secret| &secret.name)),
        (names::DELETION_SECRET_NAMESPACE.to_owned(), part(&secrets.provisioner, |secret| &secret.namespace)),
    ]);
    if secrets.controller_modify.is_some() {
        let modify = &secrets.controller_modify;
        all.insert(names::MODIFY_SECRET_NAME.to_owned(), part(modify, |secret| &secret.name));
        all.insert(names::MODIFY_SECRET_NAMESPACE.to_owned(), part(modify, |secret| &secret.namespace));
    }
    all
}

fn claim_ref(claim: &Claim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Identity of this process in the attributes of the volumes it makes: `MILLISECONDS-NUMBER-DRIVER`. It changes with
/// each start and means nothing to anybody but a person who reads logs.
pub(crate) fn process_identity(started: jiff::Timestamp, number: u64, driver: &str) -> String {
    format!("{}-{}-{driver}", started.as_millisecond(), number % 10_000)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::request::build_request;
    use super::*;
    use crate::kubernetes::config::Config;

    fn claim() -> Claim {
        serde_json::from_value(json!({
            "metadata": {"name": "data", "namespace": "shop", "uid": "u-1", "resourceVersion": "77"},
            "spec": {
                "accessModes": ["ReadWriteMany", "ReadOnlyMany"], "storageClassName": "efs-sc",
                "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1500M"}},
            },
        }))
        .unwrap()
    }

    fn class(extra: &Value) -> Class {
        let mut class = json!({
            "metadata": {"name": "efs-sc", "uid": "c"}, "provisioner": "csi.berth.dev",
            "parameters": {"server": "nfs", "share": "/export"},
        });
        class.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(class).unwrap()
    }

    fn volume(class: &Class, created: &Created) -> Value {
        let plan = build_request(&claim(), class, &Config::new("csi.berth.dev", "ns", "me")).unwrap();
        serde_json::to_value(build_pv(&plan, &claim(), class, created, "1-2-csi.berth.dev")).unwrap()
    }

    fn created(capacity_bytes: u64) -> Created {
        let context = [("server", "nfs"), ("share", "/export"), ("subDir", "pvc-u-1")];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Created { id: "berth://nfs/export#pvc-u-1".to_owned(), capacity_bytes, context }
    }

    #[test]
    fn the_volume_object_equals_the_golden_one() {
        assert_eq!(
            volume(&class(&json!({"mountOptions": ["hard"]})), &created(0)),
            json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {
                    "name": "pvc-u-1",
                    "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
                    "annotations": {
                        "pv.kubernetes.io/provisioned-by": "csi.berth.dev",
                        "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
                    },
                },
                "spec": {
                    "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
                    "capacity": {"storage": "1500000000"},
                    "claimRef": {
                        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data",
                        "uid": "u-1", "resourceVersion": "77",
                    },
                    "csi": {
                        "driver": "csi.berth.dev",
                        "volumeHandle": "berth://nfs/export#pvc-u-1",
                        "volumeAttributes": {
                            "server": "nfs", "share": "/export", "subDir": "pvc-u-1",
                            "storage.kubernetes.io/csiProvisionerIdentity": "1-2-csi.berth.dev",
                        },
                    },
                    "mountOptions": ["hard"],
                    "persistentVolumeReclaimPolicy": "Delete",
                    "storageClassName": "efs-sc",
                    "volumeMode": "Filesystem",
                },
            })
        );
    }

    #[test]
    fn the_capacity_that_the_driver_reports_wins_over_the_requested() {
        assert_eq!(volume(&class(&json!({})), &created(2 << 30))["spec"]["capacity"]["storage"], "2Gi");
    }

    #[test]
    fn the_reclaim_policy_is_the_classs_own() {
        let retain = volume(&class(&json!({"reclaimPolicy": "Retain"})), &created(0));
        assert_eq!(retain["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    }

    #[test]
    fn the_driver_may_override_the_identity_key() {
        let mut own = created(0);
        own.context.insert(names::PROVISIONER_IDENTITY.to_owned(), "mine".to_owned());
        let volume = volume(&class(&json!({})), &own);
        assert_eq!(volume["spec"]["csi"]["volumeAttributes"][names::PROVISIONER_IDENTITY], "mine");
    }

    #[test]
    fn secrets_are_written_as_references() {
        let class = class(&json!({"parameters": {
            "csi.storage.k8s.io/secret-name": "${pvc.name}", "csi.storage.k8s.io/secret-namespace": "ns",
            "csi.storage.k8s.io/fstype": "nfs",
        }}));
        let volume = volume(&class, &created(0));
        let reference = json!({"name": "data", "namespace": "ns"});
        for field in [
            "controllerExpandSecretRef",
            "controllerPublishSecretRef",
            "nodeExpandSecretRef",
            "nodePublishSecretRef",
            "nodeStageSecretRef",
        ] {
            assert_eq!(volume["spec"]["csi"][field], reference, "{field}");
        }
        assert_eq!(volume["spec"]["csi"]["fsType"], "nfs");
        for (name, namespace) in [
            (names::DELETION_SECRET_NAME, names::DELETION_SECRET_NAMESPACE),
            (names::MODIFY_SECRET_NAME, names::MODIFY_SECRET_NAMESPACE),
        ] {
            assert_eq!(volume["metadata"]["annotations"][name], "data");
            assert_eq!(volume["metadata"]["annotations"][namespace], "ns");
        }
    }

    #[test]
    fn the_process_identity_has_the_form_of_upstream() {
        let started = jiff::Timestamp::from_millisecond(1_763_700_000_123).unwrap();
        assert_eq!(process_identity(started, 123_456, "csi.berth.dev"), "1763700000123-3456-csi.berth.dev");
    }
}
