//! The rules of a volume's end: when its finalizer is added and removed, and when its backing volume is deleted.

use super::finalizer;
use crate::kubernetes::api::names;
use crate::kubernetes::api::objects::Volume;

/// What the rules say is to be done with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: not ours, or in order as it is.
    Leave,
    /// It is in use and would be deleted after: hold the object until then.
    AddFinalizer,
    /// It will not be deleted by us any more: let the object go.
    RemoveFinalizer,
    /// Its claim is gone and nobody wants its content.
    Delete,
}

/// What is to be done with `volume` as it is.
pub(crate) fn step(volume: &Volume, driver: &str) -> Step {
    if !volume.is_of(driver) {
        return Step::Leave;
    }
    let policy = volume.spec.persistent_volume_reclaim_policy.as_deref().unwrap_or("Retain");
    let phase = volume.status.phase.as_str();
    let held = finalizer::is_held(volume);
    let deleting = volume.metadata.deletion_timestamp.is_some();
    match policy {
        names::POLICY_DELETE if phase == names::PHASE_BOUND && !deleting && !held => Step::AddFinalizer,
        // Deleting without our finalizer: we are done with it, and others keep the object.
        names::POLICY_DELETE if phase == names::PHASE_RELEASED && (held || !deleting) => Step::Delete,
        names::POLICY_DELETE => Step::Leave,
        _ if held => Step::RemoveFinalizer,
        _ => Step::Leave,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DRIVER: &str = "csi.berth.dev";

    /// A bound volume of ours with policy Delete and our finalizer, changed by `change`.
    fn volume(change: impl FnOnce(&mut Value)) -> Volume {
        let mut volume = json!({
            "metadata": {
                "name": "pvc-u", "uid": "v", "finalizers": [names::FINALIZER, "kubernetes.io/pv-protection"],
                "annotations": {names::PROVISIONED_BY: DRIVER},
            },
            "spec": {"persistentVolumeReclaimPolicy": "Delete", "csi": {"driver": DRIVER, "volumeHandle": "h"}},
            "status": {"phase": "Bound"},
        });
        change(&mut volume);
        serde_json::from_value(volume).unwrap()
    }

    fn of(change: impl FnOnce(&mut Value)) -> Step {
        step(&volume(change), DRIVER)
    }

    fn unheld(volume: &mut Value) {
        volume["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
    }

    fn deleting(volume: &mut Value) {
        volume["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    }

    fn released(volume: &mut Value) {
        volume["status"]["phase"] = json!("Released");
    }

    fn retain(volume: &mut Value) {
        volume["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
    }

    #[test]
    fn a_bound_volume_with_policy_delete_gets_the_finalizer() {
        assert_eq!(of(unheld), Step::AddFinalizer);
        assert_eq!(of(|_| {}), Step::Leave);
    }

    #[test]
    fn the_finalizer_is_not_added_to_a_volume_being_deleted_or_not_bound() {
        assert_eq!(of(|v| (unheld(v), deleting(v)).0), Step::Leave);
        assert_eq!(of(|v| (unheld(v), v["status"]["phase"] = json!("Pending")).0), Step::Leave);
        assert_eq!(of(|v| (unheld(v), v["status"]["phase"] = json!("Available")).0), Step::Leave);
    }

    #[test]
    fn the_finalizer_is_removed_when_the_policy_is_not_delete() {
        assert_eq!(of(retain), Step::RemoveFinalizer);
        assert_eq!(of(|v| v["spec"]["persistentVolumeReclaimPolicy"] = json!("Recycle")), Step::RemoveFinalizer);
        assert_eq!(of(|v| (retain(v), released(v)).0), Step::RemoveFinalizer);
        assert_eq!(of(|v| (retain(v), unheld(v)).0), Step::Leave);
    }

    #[test]
    fn only_a_released_volume_with_policy_delete_is_deleted() {
        assert_eq!(of(released), Step::Delete);
        for phase in ["Pending", "Available", "Bound", "Failed", ""] {
            assert_eq!(of(|v| v["status"]["phase"] = json!(phase)), Step::Leave, "{phase}");
        }
        assert_eq!(of(|v| (retain(v), released(v)).0), Step::RemoveFinalizer);
    }

    #[test]
    fn a_released_volume_that_is_being_deleted_is_ours_only_while_it_has_our_finalizer() {
        assert_eq!(of(|v| (released(v), deleting(v)).0), Step::Delete);
        assert_eq!(of(|v| (released(v), deleting(v), unheld(v)).0), Step::Leave);
        assert_eq!(of(|v| (released(v), unheld(v)).0), Step::Delete);
    }

    #[test]
    fn a_volume_deleted_before_its_claim_waits_for_the_claim() {
        assert_eq!(of(deleting), Step::Leave);
    }

    #[test]
    fn a_static_volume_of_our_driver_is_deleted_like_any_other() {
        let static_volume = |v: &mut Value| {
            v["metadata"]["annotations"] = json!({});
            released(v);
        };
        assert_eq!(of(static_volume), Step::Delete);
        assert_eq!(of(|v| (static_volume(v), v["spec"]["csi"]["driver"] = json!("other")).0), Step::Leave);
    }

    #[test]
    fn a_volume_provisioned_by_another_is_left_alone() {
        let by_other = |v: &mut Value| {
            v["metadata"]["annotations"] = json!({names::PROVISIONED_BY: "other"});
            released(v);
        };
        assert_eq!(of(by_other), Step::Leave);
        assert_eq!(
            of(|v| (by_other(v), v["metadata"]["annotations"][names::MIGRATED_TO] = json!(DRIVER)).0),
            Step::Delete
        );
    }
}
