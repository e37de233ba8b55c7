//! Kubernetes objects as the watches read them: only the fields that a rule looks at.
//!
//! A full `PersistentVolume` costs 19 KB in memory, most of it fields that nobody here reads. These types let serde skip
//! the rest, `managedFields` first of all, while the answer is parsed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use serde::{Deserialize, Deserializer};
use volume::names::context;
use volume::{AccessMode, ShareIdentity, Terms};

use super::names;

/// A `PersistentVolumeClaim`, slim.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claim {
    #[serde(deserialize_with = "slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: ClaimSpec,
}

/// What a claim asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClaimSpec {
    pub(crate) volume_name: Option<String>,
    pub(crate) storage_class_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) access_modes: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resources: Resources,
    pub(crate) volume_mode: Option<String>,
    /// Its content never matters: a claim with any selector cannot be provisioned.
    pub(crate) selector: Option<Selector>,
    pub(crate) data_source: Option<DataSource>,
    pub(crate) data_source_ref: Option<DataSource>,
    pub(crate) volume_attributes_class_name: Option<String>,
}

/// `spec.resources` of a claim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    #[serde(deserialize_with = "or_default")]
    pub(crate) requests: BTreeMap<String, String>,
}

/// Stands for a label selector whose content is skipped.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Selector {}

/// `spec.dataSource` or `spec.dataSourceRef` of a claim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DataSource {
    pub(crate) api_group: Option<String>,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Of `dataSourceRef`, if it is another one than the claim's.
    pub(crate) namespace: Option<String>,
}

/// A `StorageClass`, slim.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Class {
    #[serde(deserialize_with = "slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    pub(crate) provisioner: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) parameters: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) mount_options: Vec<String>,
    pub(crate) reclaim_policy: Option<String>,
    pub(crate) volume_binding_mode: Option<String>,
}

/// A `PersistentVolume`, slim.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Volume {
    #[serde(deserialize_with = "slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: VolumeSpec,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) status: VolumeStatus,
}

/// What a volume is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VolumeSpec {
    pub(crate) persistent_volume_reclaim_policy: Option<String>,
    pub(crate) storage_class_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) access_modes: Vec<String>,
    pub(crate) csi: Option<CsiSource>,
}

/// `spec.csi` of a volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CsiSource {
    pub(crate) driver: String,
    pub(crate) volume_handle: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) volume_attributes: VolumeAttributes,
}

/// `spec.csi.volumeAttributes` of a volume: keys in any case, as nodes read them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Option<String>>")]
pub(crate) struct VolumeAttributes {
    share_identity: Option<String>,
    access_modes: Option<String>,
}

impl From<BTreeMap<String, Option<String>>> for VolumeAttributes {
    fn from(all: BTreeMap<String, Option<String>>) -> Self {
        let get = |name: &str| all.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.clone();
        Self { share_identity: get(context::SHARE_IDENTITY), access_modes: get(context::ACCESS_MODES) }
    }
}

impl CsiSource {
    /// The share on which the volume was made, where that was written down.
    pub(crate) fn made_on(&self) -> Option<ShareIdentity> {
        self.volume_attributes.share_identity.as_deref().and_then(|text| text.parse().ok())
    }

    /// Whether a mode that is told to nodes, and forbids writing, is known by them to be one of several (see [`volume::Terms::mode`]).
    pub(crate) fn tells_of_writing(&self, told: &str) -> bool {
        let listed = self.volume_attributes.access_modes.as_deref().unwrap_or_default();
        let modes: Vec<_> = listed.split(',').filter_map(|name| AccessMode::named(name.trim())).collect();
        let told = AccessMode::named(told);
        told.is_some_and(|told| !Terms { modes, ..Terms::default() }.mode(told).is_read_only())
    }
}

/// Where a volume is in its life.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeStatus {
    pub(crate) phase: String,
}

/// A `Node`, slim.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Node {
    #[serde(deserialize_with = "slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: NodeSpec,
}

/// What is set of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    /// As they are, because they are written back.
    #[serde(deserialize_with = "or_default")]
    pub(crate) taints: Vec<serde_json::Value>,
}

/// A `CSINode`, slim: what kubelet tells of the drivers that have registered on its node.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CsiNode {
    #[serde(deserialize_with = "slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: CsiNodeSpec,
}

/// What kubelet tells.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CsiNodeSpec {
    #[serde(deserialize_with = "or_default")]
    pub(crate) drivers: Vec<CsiNodeDriver>,
}

/// One driver that has registered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CsiNodeDriver {
    pub(crate) name: String,
}

impl Claim {
    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }

    /// What the claim is to be filled from. The API server sets both fields alike, but for a source in another namespace,
    /// which only the second one has.
    pub(crate) fn source(&self) -> Option<&DataSource> {
        self.spec.data_source_ref.as_ref().or(self.spec.data_source.as_ref())
    }
}

impl Class {
    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether `driver` makes the volumes of this class.
    pub(crate) fn is_of(&self, driver: &str) -> bool {
        self.provisioner == driver
    }
}

impl Volume {
    /// Whether `driver` made this volume, or would have.
    pub(crate) fn is_of(&self, driver: &str) -> bool {
        let migrated = self.annotation(names::MIGRATED_TO) == Some(driver);
        match (self.annotation(names::PROVISIONED_BY), &self.spec.csi) {
            (Some(name), _) => name == driver || migrated,
            // A volume that a person made: with policy Delete its content is deleted all the same.
            (None, Some(csi)) => csi.driver == driver,
            (None, None) => migrated,
        }
    }

    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }
}

impl Node {
    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

impl CsiNode {
    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether a driver of this name has registered.
    pub(crate) fn lists(&self, driver: &str) -> bool {
        self.spec.drivers.iter().any(|listed| listed.name == driver)
    }

    /// UID of the node that it is about, if it says so: one that is gone may have left it behind.
    pub(crate) fn node_uid(&self) -> Option<&str> {
        let mut owners = self.metadata.owner_references.iter().flatten();
        owners.find(|owner| owner.kind == "Node").map(|owner| owner.uid.as_str())
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Reads an absent part that is written as `null`. One object that is written unusually must not end a watch.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads `metadata` without what no rule looks at; serde skips `managedFields` unparsed.
fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let slim = Slim::deserialize(deserializer)?;
    let annotations = slim.annotations.map(|mut annotations| {
        // A second copy of the whole object; no template may sensibly name it.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        annotations
    });
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        deletion_timestamp: slim.deletion_timestamp,
        finalizers: slim.finalizers,
        annotations,
        owner_references: slim.owner_references,
        ..ObjectMeta::default()
    })
}

/// Tells kube where the objects of a slim type are found.
macro_rules! resource {
    ($type:ty, $scope:ty, $group:literal, $kind:literal, $plural:literal) => {
        impl Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Claim, NamespaceResourceScope, "", "PersistentVolumeClaim", "persistentvolumeclaims");
resource!(Class, ClusterResourceScope, "storage.k8s.io", "StorageClass", "storageclasses");
resource!(CsiNode, ClusterResourceScope, "storage.k8s.io", "CSINode", "csinodes");
resource!(Node, ClusterResourceScope, "", "Node", "nodes");
resource!(Volume, ClusterResourceScope, "", "PersistentVolume", "persistentvolumes");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_rule_reads_is_dropped_while_parsing() {
        let claim: Claim = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "shop"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"},
            },
            "spec": {
                "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
                "selector": {"matchLabels": {"a": "b"}},
            },
            "status": {"phase": "Pending"},
        }))
        .unwrap();
        assert_eq!((claim.namespace(), claim.name(), claim.uid()), ("shop", "data", "u"));
        assert!(claim.metadata.managed_fields.is_none());
        assert!(claim.metadata.labels.is_none());
        assert_eq!(claim.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!(claim.annotation("kept"), Some("yes"));
        assert!(claim.spec.selector.is_some());
        assert_eq!(claim.spec.resources.requests["storage"], "1Gi");
    }

    #[test]
    fn parts_that_are_absent_or_null_are_empty() {
        for spec in [json!(null), json!({}), json!({"accessModes": null, "resources": {"requests": null}})] {
            let claim: Claim = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
            assert!(claim.spec.access_modes.is_empty() && claim.spec.resources.requests.is_empty());
        }
        let class = json!({"metadata": {"name": "a"}, "provisioner": "p", "parameters": null, "mountOptions": null});
        assert!(serde_json::from_value::<Class>(class).unwrap().parameters.is_empty());
        let volume = json!({"metadata": {"name": "a"}, "spec": {"csi": null}, "status": null});
        assert!(serde_json::from_value::<Volume>(volume).unwrap().spec.csi.is_none());
    }
}
