//! Which claims are ours to provision, and when.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kubernetes::api::names;
use crate::kubernetes::api::objects::{Claim, Class};

/// Why a claim that is ours cannot be worked on now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Its class does not exist (any more). Retried: a class can be made again without the claim knowing.
    #[error("storageClass \"{0}\" not found")]
    ClassMissing(String),
}

/// Whether the volume controller delegated this claim to `driver`.
///
/// kube-controller-manager writes the annotation, and only after it decided that the claim needs a new volume and, for
/// a late-binding class, that it has a consumer: a claim without it is never ours, whatever its class says.
pub(crate) fn is_delegated(claim: &Claim, driver: &str) -> bool {
    let provisioner =
        claim.annotation(names::STORAGE_PROVISIONER).or_else(|| claim.annotation(names::BETA_STORAGE_PROVISIONER));
    provisioner.is_some_and(|name| name == driver || claim.annotation(names::MIGRATED_TO) == Some(driver))
}

/// Name of the claim's class; empty when it has none.
pub(crate) fn class_name(claim: &Claim) -> &str {
    claim.annotation(names::BETA_STORAGE_CLASS).or(claim.spec.storage_class_name.as_deref()).unwrap_or_default()
}

/// Whether the claim already names its volume.
pub(crate) fn has_volume(claim: &Claim) -> bool {
    claim.spec.volume_name.as_deref().is_some_and(|name| !name.is_empty())
}

/// The class by which `claim` is to be provisioned now; `None` when it is not ours, has its volume, or waits for its
/// first consumer.
pub(crate) fn should_provision<'c>(
    claim: &Claim,
    driver: &str,
    classes: &'c HashMap<String, Arc<Class>>,
) -> Result<Option<&'c Arc<Class>>, ClaimError> {
    if has_volume(claim) || !is_delegated(claim, driver) {
        return Ok(None);
    }
    let name = class_name(claim);
    let class = classes.get(name).ok_or_else(|| ClaimError::ClassMissing(name.to_owned()))?;
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    let node = claim.annotation(names::SELECTED_NODE).or_else(|| claim.annotation(names::ALPHA_SELECTED_NODE));
    if waits && node.is_none_or(str::is_empty) {
        return Ok(None);
    }
    Ok(Some(class))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DRIVER: &str = "csi.berth.dev";

    fn claim(annotations: &serde_json::Value) -> Claim {
        serde_json::from_value(json!({
            "metadata": {"name": "data", "namespace": "shop", "uid": "u", "annotations": annotations},
            "spec": {"storageClassName": "efs-sc"},
        }))
        .unwrap()
    }

    fn classes(extra: &serde_json::Value) -> HashMap<String, Arc<Class>> {
        let mut class = json!({"metadata": {"name": "efs-sc", "uid": "c"}, "provisioner": DRIVER});
        class.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let class: Class = serde_json::from_value(class).unwrap();
        HashMap::from([(class.name().to_owned(), Arc::new(class))])
    }

    fn decides(claim: &Claim) -> bool {
        should_provision(claim, DRIVER, &classes(&json!({}))).unwrap().is_some()
    }

    #[test]
    fn a_claim_annotated_with_our_name_is_provisioned() {
        assert!(decides(&claim(&json!({names::STORAGE_PROVISIONER: DRIVER}))));
        assert!(decides(&claim(&json!({names::BETA_STORAGE_PROVISIONER: DRIVER}))));
    }

    #[test]
    fn the_beta_annotation_is_only_a_fallback() {
        let both = claim(&json!({names::STORAGE_PROVISIONER: "other", names::BETA_STORAGE_PROVISIONER: DRIVER}));
        assert!(!decides(&both));
    }

    #[test]
    fn an_unannotated_claim_is_never_provisioned() {
        assert!(!decides(&claim(&json!({}))));
        assert!(!decides(&claim(&json!({names::MIGRATED_TO: DRIVER}))));
        assert!(!decides(&claim(&json!({names::STORAGE_PROVISIONER: "other.csi.example"}))));
    }

    #[test]
    fn a_claim_migrated_to_us_is_ours() {
        assert!(decides(&claim(&json!({names::STORAGE_PROVISIONER: "kubernetes.io/nfs", names::MIGRATED_TO: DRIVER}))));
    }

    #[test]
    fn a_claim_that_names_its_volume_is_left_alone() {
        let mut bound = claim(&json!({names::STORAGE_PROVISIONER: DRIVER}));
        bound.spec.volume_name = Some("pv".into());
        assert!(!decides(&bound));
        bound.spec.volume_name = Some(String::new());
        assert!(decides(&bound));
    }

    #[test]
    fn the_beta_class_annotation_wins_over_the_spec() {
        let annotated = claim(&json!({names::STORAGE_PROVISIONER: DRIVER, names::BETA_STORAGE_CLASS: "old"}));
        assert_eq!(class_name(&annotated), "old");
        assert_eq!(class_name(&claim(&json!({}))), "efs-sc");
    }

    #[test]
    fn a_missing_class_is_an_error_to_retry() {
        let mut lost = claim(&json!({names::STORAGE_PROVISIONER: DRIVER}));
        lost.spec.storage_class_name = Some("gone".into());
        let error = should_provision(&lost, DRIVER, &classes(&json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "storageClass \"gone\" not found");
    }

    #[test]
    fn a_late_binding_class_waits_for_the_selected_node() {
        let late = classes(&json!({"volumeBindingMode": "WaitForFirstConsumer"}));
        for (annotations, expected) in [
            (json!({names::STORAGE_PROVISIONER: DRIVER}), false),
            (json!({names::STORAGE_PROVISIONER: DRIVER, names::SELECTED_NODE: ""}), false),
            (json!({names::STORAGE_PROVISIONER: DRIVER, names::SELECTED_NODE: "n1"}), true),
            (json!({names::STORAGE_PROVISIONER: DRIVER, names::ALPHA_SELECTED_NODE: "n1"}), true),
        ] {
            let class = should_provision(&claim(&annotations), DRIVER, &late).unwrap();
            assert_eq!(class.is_some(), expected, "{annotations}");
        }
    }
}
