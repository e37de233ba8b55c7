//! The calls by which a volume ends.
//!
//! # Flow of a deletion
//! 1. Read the object again: only what it says now decides.
//! 2. Delete the backing volume.
//! 3. Delete the object.
//! 4. Remove our finalizer.
//!
//! Each step may be repeated; a failure in between is taken up at the step that failed.

use kube::Api;
use kube::api::{DeleteParams, PatchParams, Preconditions};
use tokio::time::Instant;
use tracing::{info, warn};

use super::finalizer;
use super::step::{Step, step};
use crate::kubernetes::api::errors::{explain, is_code};
use crate::kubernetes::api::objects::Volume;
use crate::kubernetes::context::Context;
use crate::kubernetes::events::Reason;
use crate::operations::{OperationError, Volumes};

/// Work on a volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumeStep {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) step: Step,
    /// For [`Step::Delete`]: whether the backing volume is deleted already.
    pub(crate) deleted: bool,
    /// For [`Step::Delete`]: another object that stands for the same backing volume, and is to stay.
    pub(crate) kept_by: Option<String>,
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
pub(crate) async fn patch_finalizer<V: Volumes>(context: &Context<V>, work: &VolumeStep) -> VolumeOutcome {
    let VolumeStep { name, uid, .. } = work;
    let patch = match work.step {
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

/// Deletes the backing volume (unless that is deleted already, or kept by another object), then the object.
pub(crate) async fn delete<V: Volumes>(context: &Context<V>, work: &VolumeStep) -> VolumeOutcome {
    let VolumeStep { name, uid, deleted, kept_by, .. } = work;
    let deleted = *deleted;
    let started = Instant::now();
    let api: Api<Volume> = Api::all(context.client.clone());
    let volume = match api.get_opt(name).await {
        Ok(Some(volume)) if volume.uid() == *uid => volume,
        Ok(_) => return VolumeOutcome::Nothing,
        Err(error) => return failed(deleted, &api_error("read", name)(error)),
    };
    if step(&volume, &context.config.driver_name) != Step::Delete {
        return VolumeOutcome::Nothing;
    }
    let class = volume.spec.storage_class_name.as_str();
    if !deleted && let Err(error) = delete_backend(context, &volume, kept_by.as_deref()).await {
        context.counts.delete_failed(class);
        return failed(false, &error);
    }
    if let Err(error) = delete_object(context, &api, &volume).await {
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
    context.volumes.delete(&csi.volume_handle, csi.made_on()).await.map_err(|source| {
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
