//! From a claim and its class to the request that the volume operations get.

use std::collections::BTreeMap;

use ::volume::capability::CapabilityError;
use ::volume::capacity::Range;
use ::volume::names::metadata;
use ::volume::{AccessMode, Capability};

use super::quantity::{self, QuantityError};
use super::secrets::{self, SecretError, Secrets};
use crate::kubernetes::api::names;
use crate::kubernetes::api::objects::{Claim, Class};
use crate::kubernetes::config::Config;
use crate::operations::CreateVolume;

/// Why no request can be made of a claim and its class. Nothing was called: what was known about the claim before stays
/// true. Retried, because the class can be made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// A selector chooses among volumes that exist.
    #[error("claim Selector is not supported")]
    Selector,
    /// A snapshot kind of somebody else.
    #[error("the PVC source is a VolumeSnapshot of group \"{0}\"; the group must be \"snapshot.storage.k8s.io\"")]
    SnapshotGroup(String),
    /// The driver has no snapshots.
    #[error("the claim asks for the content of VolumeSnapshot \"{0}\", and this driver does not offer snapshots")]
    Snapshot(String),
    /// The driver has no clones.
    #[error("the claim asks for the content of PersistentVolumeClaim \"{0}\", and this driver does not offer clones")]
    Clone(String),
    /// A source that belongs to others.
    #[error(
        "the claim asks for the content of {kind} \"{namespace}/{name}\", and this driver takes none from another namespace; \
         for an empty volume make the claim without spec.dataSourceRef"
    )]
    OtherNamespace {
        /// Kind of the source.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The driver has no `MODIFY_VOLUME`.
    #[error(
        "the claim names VolumeAttributesClass \"{0}\", and this driver does not offer them: it lacks the capability \
         MODIFY_VOLUME; remove spec.volumeAttributesClassName"
    )]
    AttributesClass(String),
    /// A mode that does not exist.
    #[error("access mode \"{0}\" is not known")]
    AccessMode(String),
    /// One pod only, and yet more.
    #[error("access mode ReadWriteOncePod cannot be combined with other access modes")]
    OncePodCombined,
    /// A claim without a size.
    #[error("the claim requests no storage")]
    NoSize,
    /// A size that is none.
    #[error("spec.resources.requests.storage of the claim")]
    Size(#[from] QuantityError),
    /// A parameter for a provisioner that we do not know.
    #[error("StorageClass parameter \"{0}\" is not known under the reserved prefix \"csi.storage.k8s.io/\"")]
    ReservedKey(String),
    /// The same under two names.
    #[error("StorageClass parameters \"fstype\" and \"csi.storage.k8s.io/fstype\" exclude each other")]
    FsTypeTwice,
    /// A file system type that the driver lacks.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// A secret reference that cannot be resolved.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A request and what the volume object will say besides.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) request: CreateVolume,
    pub(crate) fs_type: String,
    pub(crate) secrets: Secrets,
}

/// What the name of a claim's volume begins with; its UID follows.
const VOLUME_PREFIX: &str = "pvc-";

/// Name of the volume of a claim, on the share and in Kubernetes.
pub(crate) fn volume_name(claim_uid: &str) -> String {
    format!("{VOLUME_PREFIX}{claim_uid}")
}

/// UID of the claim whose volume has this name, if it is such a name.
pub(crate) fn claim_uid(volume_name: &str) -> Option<&str> {
    volume_name.strip_prefix(VOLUME_PREFIX)
}

/// Whether the claim's content is to come from something that only a populator understands.
pub(crate) fn wants_populator(claim: &Claim) -> bool {
    claim.source().is_some_and(|source| !is_snapshot(&source.kind) && !is_claim(source))
}

fn is_snapshot(kind: &str) -> bool {
    kind == "VolumeSnapshot"
}

fn is_claim(source: &crate::kubernetes::api::objects::DataSource) -> bool {
    source.kind == "PersistentVolumeClaim" && source.api_group.as_deref().unwrap_or_default().is_empty()
}

/// Makes the request for `claim` of `class`, or says why it cannot be made.
pub(crate) fn build_request(claim: &Claim, class: &Class, config: &Config) -> Result<Plan, RequestError> {
    check_offered(claim)?;
    let name = volume_name(claim.uid());
    let fs_type = fs_type(&class.parameters, &config.default_fs_type)?;
    let capabilities = access_modes(&claim.spec.access_modes, config.single_node_multi_writer)?
        .into_iter()
        .map(|mode| Capability::new(mode, fs_type.clone(), class.mount_options.clone()))
        .collect::<Result<_, _>>()?;
    let size = claim.spec.resources.requests.get("storage").ok_or(RequestError::NoSize)?;
    let secrets = secrets::resolve(&class.parameters, claim, &name)?;
    let mut parameters = driver_parameters(&class.parameters)?;
    parameters.insert(metadata::PVC_NAME.to_owned(), claim.name().to_owned());
    parameters.insert(metadata::PVC_NAMESPACE.to_owned(), claim.namespace().to_owned());
    parameters.insert(metadata::PV_NAME.to_owned(), name.clone());
    let capacity = Range { required: quantity::parse_bytes(size)?, limit: 0 };
    Ok(Plan { request: CreateVolume { name, capacity, capabilities, parameters }, fs_type, secrets })
}

/// Refuses what a claim may ask for and this driver does not have.
fn check_offered(claim: &Claim) -> Result<(), RequestError> {
    if claim.spec.selector.is_some() {
        return Err(RequestError::Selector);
    }
    if let Some(source) = claim.source() {
        let group = source.api_group.as_deref().unwrap_or_default();
        if is_snapshot(&source.kind) && group != "snapshot.storage.k8s.io" {
            return Err(RequestError::SnapshotGroup(group.to_owned()));
        }
        let namespace = source.namespace.as_deref().unwrap_or_default();
        if !namespace.is_empty() && namespace != claim.namespace() && (is_snapshot(&source.kind) || is_claim(source)) {
            let (kind, name) = (source.kind.clone(), source.name.clone());
            return Err(RequestError::OtherNamespace { kind, namespace: namespace.to_owned(), name });
        }
        if is_snapshot(&source.kind) {
            return Err(RequestError::Snapshot(source.name.clone()));
        }
        if is_claim(source) {
            return Err(RequestError::Clone(source.name.clone()));
        }
    }
    match claim.spec.volume_attributes_class_name.as_deref() {
        None | Some("") => Ok(()),
        Some(name) => Err(RequestError::AttributesClass(name.to_owned())),
    }
}

/// The modes that the driver is told, one for each of the claim's.
fn access_modes(modes: &[String], single_node_multi_writer: bool) -> Result<Vec<AccessMode>, RequestError> {
    let once_pod = modes.iter().any(|mode| mode == "ReadWriteOncePod");
    if once_pod && modes.len() > 1 {
        return Err(RequestError::OncePodCombined);
    }
    modes
        .iter()
        .map(|mode| match (mode.as_str(), single_node_multi_writer) {
            ("ReadWriteMany", _) => Ok(AccessMode::MultiNodeMultiWriter),
            ("ReadOnlyMany", _) => Ok(AccessMode::MultiNodeReaderOnly),
            ("ReadWriteOnce", true) => Ok(AccessMode::SingleNodeMultiWriter),
            ("ReadWriteOncePod", true) => Ok(AccessMode::SingleNodeSingleWriter),
            ("ReadWriteOnce" | "ReadWriteOncePod", false) => Ok(AccessMode::SingleNodeWriter),
            _ => Err(RequestError::AccessMode(mode.clone())),
        })
        .collect()
}

fn fs_type(parameters: &BTreeMap<String, String>, default: &str) -> Result<String, RequestError> {
    let legacy = parameters.iter().find(|(key, _)| is_legacy_fs_type(key)).map(|(_, value)| value);
    match (parameters.get(names::FS_TYPE), legacy) {
        (Some(_), Some(_)) => Err(RequestError::FsTypeTwice),
        (Some(value), None) | (None, Some(value)) => Ok(value.clone()),
        (None, None) => Ok(default.to_owned()),
    }
}

fn is_legacy_fs_type(key: &str) -> bool {
    key.eq_ignore_ascii_case(names::LEGACY_FS_TYPE)
}

/// The class's parameters without those that speak to the provisioner.
fn driver_parameters(parameters: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, RequestError> {
    let mut own = BTreeMap::new();
    for (key, value) in parameters {
        if key == names::FS_TYPE || is_legacy_fs_type(key) || secrets::is_secret_key(key) {
            continue;
        }
        if key.starts_with(names::RESERVED_PREFIX) {
            return Err(RequestError::ReservedKey(key.clone()));
        }
        own.insert(key.clone(), value.clone());
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(spec: &Value) -> Claim {
        let mut whole = json!({
            "accessModes": ["ReadWriteMany"], "storageClassName": "efs-sc",
            "resources": {"requests": {"storage": "1Gi"}},
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let metadata = json!({"name": "data", "namespace": "shop", "uid": "u-1"});
        serde_json::from_value(json!({"metadata": metadata, "spec": whole})).unwrap()
    }

    fn class(parameters: &Value) -> Class {
        serde_json::from_value(json!({
            "metadata": {"name": "efs-sc", "uid": "c"}, "provisioner": "csi.berth.dev",
            "parameters": parameters, "mountOptions": ["hard", "timeo=600"],
        }))
        .unwrap()
    }

    fn config() -> Config {
        Config::new("csi.berth.dev", "berth-system", "me")
    }

    fn build(spec: &Value, parameters: &Value) -> Result<Plan, RequestError> {
        build_request(&claim(spec), &class(parameters), &config())
    }

    fn modes(names: &Value, multi_writer: bool) -> Result<Vec<AccessMode>, RequestError> {
        let config = Config { single_node_multi_writer: multi_writer, ..config() };
        let plan = build_request(&claim(&json!({"accessModes": names})), &class(&json!({})), &config)?;
        Ok(plan.request.capabilities.iter().map(Capability::mode).collect())
    }

    #[test]
    fn the_request_carries_name_size_options_and_metadata() {
        let plan = build(&json!({}), &json!({"server": "nfs.example", "share": "/export"})).unwrap();
        let request = plan.request;
        assert_eq!(request.name, "pvc-u-1");
        assert_eq!(request.capacity, Range { required: 1 << 30, limit: 0 });
        assert_eq!(request.capabilities.len(), 1);
        assert_eq!(request.capabilities[0].mount_flags(), ["hard", "timeo=600"]);
        let expected = [
            ("csi.storage.k8s.io/pv/name", "pvc-u-1"),
            ("csi.storage.k8s.io/pvc/name", "data"),
            ("csi.storage.k8s.io/pvc/namespace", "shop"),
            ("server", "nfs.example"),
            ("share", "/export"),
        ];
        assert_eq!(request.parameters, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn each_access_mode_of_the_claim_becomes_one_capability() {
        use AccessMode::{
            MultiNodeMultiWriter, MultiNodeReaderOnly, SingleNodeMultiWriter, SingleNodeSingleWriter, SingleNodeWriter,
        };
        let all = json!(["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"]);
        let expected = [MultiNodeMultiWriter, MultiNodeReaderOnly, SingleNodeMultiWriter];
        assert_eq!(modes(&all, true).unwrap(), expected);
        let expected = [MultiNodeMultiWriter, MultiNodeReaderOnly, SingleNodeWriter];
        assert_eq!(modes(&all, false).unwrap(), expected);
        assert_eq!(modes(&json!(["ReadWriteOncePod"]), true).unwrap(), [SingleNodeSingleWriter]);
        assert_eq!(modes(&json!(["ReadWriteOncePod"]), false).unwrap(), [SingleNodeWriter]);
    }

    #[test]
    fn once_pod_mixed_with_other_modes_is_an_error() {
        let error = modes(&json!(["ReadWriteOncePod", "ReadWriteMany"]), true).unwrap_err();
        assert!(matches!(error, RequestError::OncePodCombined));
        assert!(matches!(modes(&json!(["ReadWriteTwice"]), true).unwrap_err(), RequestError::AccessMode(_)));
    }

    #[test]
    fn known_reserved_keys_are_dropped_and_an_unknown_one_is_an_error() {
        let known = json!({
            "csi.storage.k8s.io/fstype": "nfs", "server": "s",
            "csi.storage.k8s.io/provisioner-secret-name": "s", "csi.storage.k8s.io/provisioner-secret-namespace": "n",
        });
        let plan = build(&json!({}), &known).unwrap();
        assert_eq!(plan.fs_type, "nfs");
        assert_eq!(plan.request.capabilities[0].fs_type(), "nfs");
        assert!(plan.secrets.provisioner.is_some());
        let kept: Vec<&str> = plan.request.parameters.keys().map(String::as_str).collect();
        assert_eq!(kept, [metadata::PV_NAME, metadata::PVC_NAME, metadata::PVC_NAMESPACE, "server"]);
        for unknown in ["csi.storage.k8s.io/whatever", "csi.storage.k8s.io/pvc/name"] {
            let error = build(&json!({}), &json!({unknown: "x"})).unwrap_err();
            assert!(error.to_string().contains(unknown), "{error}");
        }
    }

    #[test]
    fn the_file_system_type_has_one_source() {
        let type_of = |parameters: &Value| build(&json!({}), parameters).map(|plan| plan.fs_type);
        assert_eq!(type_of(&json!({})).unwrap(), "");
        assert_eq!(type_of(&json!({"fsType": "nfs4"})).unwrap(), "nfs4");
        let both = json!({"fstype": "nfs", "csi.storage.k8s.io/fstype": "nfs"});
        assert!(matches!(type_of(&both).unwrap_err(), RequestError::FsTypeTwice));
        assert!(matches!(type_of(&json!({"fstype": "ext4"})).unwrap_err(), RequestError::Capability(_)));
        let config = Config { default_fs_type: "nfs".into(), ..config() };
        assert_eq!(build_request(&claim(&json!({})), &class(&json!({})), &config).unwrap().fs_type, "nfs");
    }

    #[test]
    fn a_selector_is_an_error() {
        let error = build(&json!({"selector": {"matchLabels": {}}}), &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "claim Selector is not supported");
    }

    #[test]
    fn a_foreign_data_source_is_left_to_a_populator() {
        let source = |group: &str, kind: &str| json!({"dataSource": {"apiGroup": group, "kind": kind, "name": "x"}});
        assert!(wants_populator(&claim(&source("populator.example", "Hello"))));
        assert!(wants_populator(&claim(&source("other.example", "PersistentVolumeClaim"))));
        assert!(!wants_populator(&claim(&source("", "PersistentVolumeClaim"))));
        assert!(!wants_populator(&claim(&source("snapshot.storage.k8s.io", "VolumeSnapshot"))));
        assert!(!wants_populator(&claim(&json!({}))));
    }

    #[test]
    fn sources_that_the_driver_lacks_are_errors_that_say_so() {
        let error = |group: &str, kind: &str| {
            let spec = json!({"dataSource": {"apiGroup": group, "kind": kind, "name": "src"}});
            build(&spec, &json!({})).unwrap_err()
        };
        assert!(matches!(error("wrong", "VolumeSnapshot"), RequestError::SnapshotGroup(_)));
        assert!(matches!(error("snapshot.storage.k8s.io", "VolumeSnapshot"), RequestError::Snapshot(_)));
        assert!(matches!(error("", "PersistentVolumeClaim"), RequestError::Clone(_)));
    }

    #[test]
    fn a_source_in_another_namespace_is_never_taken_for_none() {
        let of = |group: &str, kind: &str, namespace: &str| json!({"dataSourceRef": {"apiGroup": group, "kind": kind, "name": "src", "namespace": namespace}});
        for (group, kind) in [("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")] {
            let error = build(&of(group, kind, "other"), &json!({})).unwrap_err();
            assert!(matches!(error, RequestError::OtherNamespace { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{kind} \"other/src\"")), "{error}");
        }
        // Its own, written out.
        assert!(matches!(
            build(&of("", "PersistentVolumeClaim", "shop"), &json!({})).unwrap_err(),
            RequestError::Clone(_)
        ));
        assert!(wants_populator(&claim(&of("populator.example", "Hello", "other"))));
    }

    #[test]
    fn a_volume_attributes_class_is_an_error_that_names_the_missing_capability() {
        let error = build(&json!({"volumeAttributesClassName": "gold"}), &json!({})).unwrap_err();
        assert!(error.to_string().contains("gold") && error.to_string().contains("MODIFY_VOLUME"), "{error}");
        assert!(build(&json!({"volumeAttributesClassName": ""}), &json!({})).is_ok());
    }

    #[test]
    fn a_claim_without_a_readable_size_is_an_error() {
        let none = build(&json!({"resources": {}}), &json!({})).unwrap_err();
        assert!(matches!(none, RequestError::NoSize));
        let bad = build(&json!({"resources": {"requests": {"storage": "lots"}}}), &json!({})).unwrap_err();
        assert!(matches!(bad, RequestError::Size(_)));
    }
}
