//! The end of a volume: when its finalizer is added and removed, when its backing volume is deleted, and how.
//!
//! # Flow of a deletion
//! 1. Read the object again: only what it says now decides.
//! 2. Delete the backing volume.
//! 3. Delete the object.
//! 4. Remove our finalizer.
//!
//! Each step may be repeated; a failure in between is taken up at the step that failed.

use std::sync::Arc;

use kube::Api;
use kube::api::{DeleteParams, PatchParams, Preconditions};
use tokio::time::Instant;
use tracing::{info, warn};

use super::finalizer;
use crate::kubernetes::api::errors::{explain, is_code};
use crate::kubernetes::api::names;
use crate::kubernetes::api::objects::Volume;
use crate::kubernetes::context::Context;
use crate::kubernetes::events::Reason;
use crate::operations::{OperationError, Volumes};

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

/// Whether `driver` made this volume, or would have.
pub(crate) fn is_ours(volume: &Volume, driver: &str) -> bool {
    let migrated = volume.annotation(names::MIGRATED_TO) == Some(driver);
    match (volume.annotation(names::PROVISIONED_BY), &volume.spec.csi) {
        (Some(name), _) => name == driver || migrated,
        // A volume that a person made: with policy Delete its content is deleted all the same.
        (None, Some(csi)) => csi.driver == driver,
        (None, None) => migrated,
    }
}

/// What is to be done with `volume` as it is.
pub(crate) fn step(volume: &Volume, driver: &str) -> Step {
    if !is_ours(volume, driver) {
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

/// Why a step on a volume failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// The backing volume was not deleted.
    #[error("volume {handle} was not deleted")]
    Backend {
        /// Its id.
        handle: String,
        /// Why.
        source: OperationError,
    },
    /// Another object stands for the same backing volume.
    #[error(
        "volume {handle} was not deleted: PersistentVolume {other} stands for it as well, and is not to be deleted; delete that first, \
         or set this one's reclaim policy to Retain"
    )]
    Kept {
        /// The backing volume's id.
        handle: String,
        /// The name of the other object.
        other: String,
    },
    /// The object says it is ours and has no CSI source to act on.
    #[error("the volume has no spec.csi, so its backing volume cannot be found")]
    NoSource,
    /// An API call failed.
    #[error("cannot {action} PersistentVolume {name}: {reason}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// Of which volume.
        name: String,
        /// What the client said.
        reason: String,
    },
    /// The lease is lost; whoever holds it now will see to it.
    #[error("the lease is not ours")]
    NotLeading,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum VolumeOutcome {
    /// The backing volume is gone and so is our hold on the object.
    Gone,
    /// The object as it is now.
    Changed(Box<Volume>),
    /// The live object wants nothing of the kind.
    Nothing,
    /// It failed, and is logged.
    Failed {
        /// Whether the backing volume is gone already.
        deleted: bool,
    },
}

/// Adds or removes our finalizer.
pub(crate) async fn patch_finalizer<V: Volumes>(
    context: Arc<Context<V>>,
    name: &str,
    uid: &str,
    step: Step,
) -> VolumeOutcome {
    let patch = match step {
        Step::AddFinalizer => finalizer::adding(uid),
        _ => finalizer::removing(uid),
    };
    if !context.term.is_held() {
        return failed(false, &DeleteError::NotLeading);
    }
    let api: Api<Volume> = Api::all(context.client.clone());
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(volume) => VolumeOutcome::Changed(Box::new(volume)),
        Err(error) if is_code(&error, 404) => VolumeOutcome::Nothing,
        Err(error) => failed(false, &api_error("patch the finalizers of", name)(error)),
    }
}

/// Deletes the backing volume of `name` (unless that is `deleted` already, or `kept_by` another object), then the object.
pub(crate) async fn delete<V: Volumes>(
    context: Arc<Context<V>>,
    name: &str,
    uid: &str,
    deleted: bool,
    kept_by: Option<&str>,
) -> VolumeOutcome {
    let started = Instant::now();
    let api: Api<Volume> = Api::all(context.client.clone());
    let volume = match api.get_opt(name).await {
        Ok(Some(volume)) if volume.uid() == uid => volume,
        Ok(_) => return VolumeOutcome::Nothing,
        Err(error) => return failed(deleted, &api_error("read", name)(error)),
    };
    if step(&volume, &context.config.driver_name) != Step::Delete {
        return VolumeOutcome::Nothing;
    }
    let class = volume.spec.storage_class_name.as_str();
    if !deleted && let Err(error) = delete_backend(&context, &volume, kept_by).await {
        context.counts.delete_failed(class);
        return failed(false, &error);
    }
    if let Err(error) = delete_object(&context, &api, &volume).await {
        context.counts.delete_failed(class);
        return failed(true, &error);
    }
    context.counts.deleted(class, started.elapsed());
    info!(volume = name, "volume deleted");
    VolumeOutcome::Gone
}

async fn delete_backend<V: Volumes>(
    context: &Context<V>,
    volume: &Volume,
    kept_by: Option<&str>,
) -> Result<(), DeleteError> {
    let Some(csi) = &volume.spec.csi else {
        context.recorder.volume(volume, Reason::VolumeFailedDelete, DeleteError::NoSource.to_string());
        return Err(DeleteError::NoSource);
    };
    if let Some(other) = kept_by {
        let error = DeleteError::Kept { handle: csi.volume_handle.clone(), other: other.to_owned() };
        context.recorder.volume(volume, Reason::VolumeFailedDelete, error.to_string());
        return Err(error);
    }
    if !context.term.is_held() {
        return Err(DeleteError::NotLeading);
    }
    context.volumes.delete(&csi.volume_handle, None).await.map_err(|source| {
        context.recorder.volume(volume, Reason::VolumeFailedDelete, source.message());
        DeleteError::Backend { handle: csi.volume_handle.clone(), source }
    })
}

async fn delete_object<V: Volumes>(
    context: &Context<V>,
    api: &Api<Volume>,
    volume: &Volume,
) -> Result<(), DeleteError> {
    if !context.term.is_held() {
        return Err(DeleteError::NotLeading);
    }
    let (name, uid) = (volume.name(), volume.uid());
    let this_one = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => {}
        Err(error) if is_code(&error, 404) => return Ok(()),
        // A conflict is retried: the next look tells whether another object has the name by now.
        Err(error) => return Err(api_error("delete", name)(error)),
    }
    if !finalizer::is_held(volume) {
        return Ok(());
    }
    if !context.term.is_held() {
        return Err(DeleteError::NotLeading);
    }
    match api.patch(name, &PatchParams::default(), &finalizer::removing(uid)).await {
        Ok(_) => Ok(()),
        Err(error) if is_code(&error, 404) => Ok(()),
        Err(error) => Err(api_error("remove the finalizer of", name)(error)),
    }
}

fn failed(deleted: bool, error: &DeleteError) -> VolumeOutcome {
    warn!(error = %csi_runtime::status::message(error), "a volume is retried");
    VolumeOutcome::Failed { deleted }
}

fn api_error<'n>(action: &'static str, name: &'n str) -> impl FnOnce(kube::Error) -> DeleteError + 'n {
    move |error| DeleteError::Api { action, name: name.to_owned(), reason: explain(&error) }
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
