//! One attempt to make the volume of a claim.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::claim::ClaimError;
use super::persistent_volume::build_pv;
use super::request::{self, Plan, RequestError};
use crate::kubernetes::api::errors::{explain, is_code};
use crate::kubernetes::api::objects::{Claim, Class};
use crate::kubernetes::context::Context;
use crate::kubernetes::events::Reason;
use crate::operations::{Created, Finality, OperationError, Volumes};

/// How often a volume that cannot be used is tried to be removed before its claim is retried.
const CLEANUP_ATTEMPTS: u32 = 5;

/// What an attempt is made for, kept while its outcome is unknown.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) claim: Arc<Claim>,
    pub(crate) class: Arc<Class>,
}

/// A volume that exists and whose object is not saved yet.
#[derive(Debug)]
pub(crate) struct Unsaved {
    pub(crate) attempt: Attempt,
    pub(crate) created: Box<Created>,
    pub(crate) volume: Box<PersistentVolume>,
    pub(crate) started: Instant,
}

/// Why the object of a volume that exists is not saved.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    /// An API call failed.
    #[error("{0}")]
    Api(String),
    /// The name is taken. The backing volume waits for it, and so does the claim.
    #[error(
        "another PersistentVolume has this name, for volume \"{handle}\" of driver \"{driver}\" or for another claim; delete it \
         so that this claim gets its volume"
    )]
    Another {
        /// Handle of the other one.
        handle: String,
        /// Its driver; empty when it is of another kind.
        driver: String,
    },
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum ClaimOutcome {
    /// The object of this name is saved.
    Saved {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// What made the volume.
        attempt: Attempt,
        /// The volume.
        created: Box<Created>,
    },
    /// What another attempt may have begun is ended, or it is not yet.
    Ended(bool),
    /// The volume exists; saving its object failed.
    Unsaved(Unsaved),
    /// Nothing was called: what was known before stays true.
    NoChange,
    /// Nothing is to be done for this claim any more.
    Stopped,
    /// The call failed.
    Failed(Attempt, Finality),
}

/// Makes the volume of a claim and saves its object.
pub(crate) async fn provision<V: Volumes>(context: Arc<Context<V>>, attempt: Attempt) -> ClaimOutcome {
    let started = Instant::now();
    let (claim, class) = (&*attempt.claim, &*attempt.class);
    let recorder = &context.recorder;
    if claim.spec.volume_mode.as_deref() == Some("Block") {
        // The mode of a claim never changes, so there is no use in trying again.
        let text = format!("{} does not support block volume provisioning", context.config.driver_name);
        recorder.claim(claim, Reason::ProvisioningFailed, text);
        context.counts.provision_failed(class.name(), source_kind(claim));
        return ClaimOutcome::Stopped;
    }
    let about = format!("{}/{}", claim.namespace(), claim.name());
    let text = format!("External provisioner is provisioning volume for claim \"{about}\"");
    recorder.claim(claim, Reason::Provisioning, text);
    if request::wants_populator(claim) {
        recorder.claim(claim, Reason::Provisioning, "Assuming an external populator will provision the volume");
        return ClaimOutcome::Stopped;
    }
    let plan = match request::build_request(claim, class, &context.config) {
        Ok(plan) => plan,
        Err(error) => return refuse(&context, &attempt, &error),
    };
    if !context.term.is_held() {
        return ClaimOutcome::NoChange;
    }
    let created = match context.volumes.create(plan.request.clone()).await {
        Ok(created) => created,
        Err(error) => return fail(&context, attempt, &error),
    };
    if let Some(outcome) = reject_small(&context, &attempt, &plan, &created).await {
        return outcome;
    }
    info!(claim = about, volume = plan.request.name, handle = created.id, "volume created");
    let volume = Box::new(build_pv(&plan, claim, class, &created, &context.process));
    save(context, Unsaved { attempt, created: Box::new(created), volume, started }).await
}

/// Ends what an attempt by a class that was replaced may have begun, now that another one has made the volume of the claim.
pub(crate) async fn end<V: Volumes>(context: Arc<Context<V>>, begun: Attempt, kept: Box<Created>) -> ClaimOutcome {
    let (claim, class) = (&*begun.claim, &*begun.class);
    let about = format!("{}/{}", claim.namespace(), claim.name());
    let Ok(plan) = request::build_request(claim, class, &context.config) else {
        // Nothing was ever asked for by it.
        return ClaimOutcome::Ended(true);
    };
    if !context.term.is_held() {
        return ClaimOutcome::Ended(false);
    }
    match context.volumes.discard(plan.request, &kept).await {
        Ok(()) => {
            info!(claim = about, class = class.name(), "what the class had begun before it was replaced is ended");
            ClaimOutcome::Ended(true)
        }
        Err(error) => {
            let error = error.message();
            warn!(
                claim = about,
                class = class.name(),
                error,
                "what a class had begun before it was replaced stays for now"
            );
            ClaimOutcome::Ended(false)
        }
    }
}

/// Saves the object of a volume that exists. That it exists already counts as success.
pub(crate) async fn save<V: Volumes>(context: Arc<Context<V>>, unsaved: Unsaved) -> ClaimOutcome {
    if !context.term.is_held() {
        return ClaimOutcome::Unsaved(unsaved);
    }
    let name = unsaved.volume.metadata.name.clone().unwrap_or_default();
    let (claim, class) = (&*unsaved.attempt.claim, unsaved.attempt.class.name());
    let uid = match try_save(&context.client, &unsaved.volume).await {
        Ok(saved) => saved.metadata.uid.unwrap_or_default(),
        Err(error) => {
            let text = format!("error saving volume {name}: {error}");
            warn!(volume = name, error = text, "the volume exists; saving its object is retried");
            context.recorder.claim(claim, Reason::ProvisioningFailed, text);
            context.counts.provision_failed(class, source_kind(claim));
            return ClaimOutcome::Unsaved(unsaved);
        }
    };
    context.recorder.claim(claim, Reason::ProvisioningSucceeded, format!("Successfully provisioned volume {name}"));
    context.counts.provisioned(class, unsaved.started.elapsed());
    let Unsaved { attempt, created, .. } = unsaved;
    ClaimOutcome::Saved { name, uid, attempt, created }
}

/// The object as it is saved, be it by an earlier call.
async fn try_save(client: &kube::Client, volume: &PersistentVolume) -> Result<PersistentVolume, SaveError> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    match api.create(&PostParams::default(), volume).await {
        Ok(saved) => return Ok(saved),
        Err(error) if is_code(&error, 409) => {}
        Err(error) => return Err(SaveError::Api(explain(&error))),
    }
    // Saved by a call whose answer was lost, or by whoever led before; or somebody else has taken the name.
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    match api.get(name).await {
        Ok(found) if identity(&found) == identity(volume) => Ok(found),
        Ok(found) => {
            let (driver, handle, _) = identity(&found);
            Err(SaveError::Another { handle: handle.to_owned(), driver: driver.to_owned() })
        }
        Err(error) => Err(SaveError::Api(explain(&error))),
    }
}

/// What makes a volume object the one of a backing volume and a claim: driver, volume handle, UID of the claim.
fn identity(volume: &PersistentVolume) -> (&str, &str, &str) {
    let spec = volume.spec.as_ref();
    let csi = spec.and_then(|spec| spec.csi.as_ref());
    let claim = spec.and_then(|spec| spec.claim_ref.as_ref());
    (
        csi.map(|csi| csi.driver.as_str()).unwrap_or_default(),
        csi.map(|csi| csi.volume_handle.as_str()).unwrap_or_default(),
        claim.and_then(|claim| claim.uid.as_deref()).unwrap_or_default(),
    )
}

/// Tells that a claim cannot be worked on now.
pub(crate) fn refuse_claim<V>(context: &Context<V>, claim: &Claim, error: &ClaimError) -> ClaimOutcome {
    let ClaimError::ClassMissing(class) = error;
    context.counts.provision_failed(class, source_kind(claim));
    warn!(claim = %format_args!("{}/{}", claim.namespace(), claim.name()), %error, "a claim is retried");
    ClaimOutcome::NoChange
}

fn refuse<V>(context: &Context<V>, attempt: &Attempt, error: &RequestError) -> ClaimOutcome {
    let text = csi_runtime::status::message(error);
    let claim = &*attempt.claim;
    warn!(claim = %format_args!("{}/{}", claim.namespace(), claim.name()), error = text, "no request can be made");
    context.recorder.claim(claim, Reason::ProvisioningFailed, text);
    context.counts.provision_failed(attempt.class.name(), source_kind(claim));
    ClaimOutcome::NoChange
}

fn fail<V>(context: &Context<V>, attempt: Attempt, error: &OperationError) -> ClaimOutcome {
    let finality = error.finality();
    let claim = &*attempt.claim;
    let text = error.message();
    warn!(
        claim = %format_args!("{}/{}", claim.namespace(), claim.name()),
        code = ?error.code(),
        error = text,
        "the volume was not created"
    );
    let text = match finality {
        Finality::Infeasible => {
            format!("Volume provisioning failed with infeasible error. Retries will be delayed. {text}")
        }
        Finality::InBackground | Finality::Finished => text,
    };
    context.recorder.claim(claim, Reason::ProvisioningFailed, text);
    context.counts.provision_failed(attempt.class.name(), source_kind(claim));
    ClaimOutcome::Failed(attempt, finality)
}

/// Removes a volume that is smaller than was asked for; `None` when it is large enough.
async fn reject_small<V: Volumes>(
    context: &Context<V>,
    attempt: &Attempt,
    plan: &Plan,
    created: &Created,
) -> Option<ClaimOutcome> {
    let asked = u64::try_from(plan.request.capacity.required).unwrap_or(0);
    if created.capacity_bytes == 0 || created.capacity_bytes >= asked {
        return None;
    }
    let claim = &*attempt.claim;
    let text = format!("created volume capacity {} less than requested capacity {asked}", created.capacity_bytes);
    context.recorder.claim(claim, Reason::ProvisioningFailed, text);
    context.counts.provision_failed(attempt.class.name(), source_kind(claim));
    let mut pause = Duration::from_millis(100);
    for attempts in 1..=CLEANUP_ATTEMPTS {
        if !context.term.is_held() {
            break;
        }
        let Err(error) = context.volumes.delete(&created.id, None).await else { break };
        if attempts == CLEANUP_ATTEMPTS {
            context.recorder.claim(claim, Reason::ProvisioningCleanupFailed, error.message());
            break;
        }
        sleep(pause).await;
        pause *= 2;
    }
    Some(ClaimOutcome::Failed(attempt.clone(), Finality::InBackground))
}

/// Label of the metrics: what the claim is to be filled from.
fn source_kind(claim: &Claim) -> &str {
    claim.source().map(|source| source.kind.as_str()).unwrap_or_default()
}
