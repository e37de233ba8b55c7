//! A PersistentVolume that was copied, as people do to use a volume in two places, goes, and the volume in use stays.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use labkit::base::{LabError, chain, eventually};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    events::{told_in, words},
    restart::{WRITER, written},
    share::share_root,
};
use crate::cluster::api::name_of;

/// Where events about objects of no namespace are.
const NOWHERE: &str = "default";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "copied-volume",
    about: "a copy of a PersistentVolume that is released and deleted does not take the volume from the pod that writes to it",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (cluster, namespace) = (context.cluster(), &context.namespace);
    let claim = context.claim("kept")?;
    context.pod("writer", &claim, "", WRITER)?;
    let first = context.bound(&claim)?;
    let volume = name_of(&first);
    let [bound, free] = ["bound", "free"].map(|name| format!("{namespace}-{name}"));
    copy(context, &first, &bound)?;
    copy(context, &first, &free)?;
    claim_volume(context, "other", &bound)?;
    context.pod_ready("writer")?;

    // One that nobody has claimed just goes.
    cluster.delete::<PersistentVolume>("", &free)?;
    goes_on(context, volume)?;
    // One whose claim is gone would take the volume along.
    cluster.delete::<PersistentVolumeClaim>(namespace, "other")?;
    let handle = first["spec"]["csi"]["volumeHandle"].as_str().unwrap_or_default();
    let told =
        words(&[handle, "was not deleted", &format!("PersistentVolume {volume} stands for it as well"), "Retain"]);
    told_in(context, NOWHERE, &bound, "VolumeFailedDelete", &told)?;
    goes_on(context, volume)?;
    cluster.begin_delete::<PersistentVolume>("", &bound, &DeleteParams::default())?;
    goes_on(context, volume)?;
    let kept = cluster.get::<PersistentVolume>("", &bound)?;
    context.check(kept.is_some(), || format!("{bound} is gone although nobody said that its volume may stay"))?;
    // What the event advises.
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": bound },
        "spec": { "persistentVolumeReclaimPolicy": "Retain" },
    }))?;
    cluster.gone::<PersistentVolume>("", &[&bound])?;
    goes_on(context, volume)?;
    context.timeline.step("copied-volume: both copies are gone, and the pod has never failed to write");

    // Without the copies the volume goes like any other.
    cluster.delete::<Pod>(namespace, "writer")?;
    cluster.delete::<PersistentVolumeClaim>(namespace, &claim)?;
    cluster.gone::<PersistentVolume>("", &[volume])?;
    let names = share_root(context)?;
    context.check(!names.iter().any(|name| name == volume), || format!("on the share there are {names:?}"))
}

/// Makes another object for the backing volume of `first`.
fn copy(context: &Context<'_>, first: &Value, name: &str) -> Result<(), LabError> {
    let mut object = first.clone();
    let annotations = object["metadata"]["annotations"].take();
    object["metadata"] = json!({ "name": name, "annotations": annotations, "labels": context.labels() });
    object["spec"]["claimRef"] = Value::Null;
    object["status"] = Value::Null;
    context.cluster().create(&object)
}

/// Makes a claim for one volume and waits until it is bound.
fn claim_volume(context: &Context<'_>, name: &str, volume: &str) -> Result<(), LabError> {
    let mut claim = claim(&context.namespace, name, &context.driver.class, "1Gi");
    claim["spec"]["volumeName"] = json!(volume);
    context.cluster().create(&claim)?;
    let bound = context.bound(name)?;
    context.check(name_of(&bound) == volume, || format!("claim {name} is bound to {}", name_of(&bound)))
}

/// Waits until the pod has written some more lines, and demands that it never failed and that its directory is there.
fn goes_on(context: &Context<'_>, volume: &str) -> Result<(), LabError> {
    let before = written(context, "writer")?;
    eventually("lines of the writer", PATIENCE, Duration::from_secs(1), || {
        let now = written(context, "writer").map_err(|error| chain(&error))?;
        if now >= before + 3 { Ok(()) } else { Err(format!("line {before} before, {now} now")) }
    })?;
    let pod = context.cluster().get::<Pod>(&context.namespace, "writer")?.unwrap_or_default();
    let status = &pod["status"]["containerStatuses"][0];
    context
        .check(status["restartCount"] == 0 && status["ready"] == true, || format!("the writer has failed: {status}"))?;
    let names = share_root(context)?;
    context.check(names.iter().any(|name| name == volume), || format!("{volume} is not on the share: {names:?}"))
}
