//! A hundred claims at once: one call each, and not much slower than the API server itself.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use labkit::base::LabError;
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
};
use crate::{cluster::api::name_of, metrics};

/// Claims made at once.
const CLAIMS: u8 = 100;
/// Label of the volumes that the driver has nothing to do with.
const BARE: &str = "berth-lab=bare";

/// See [`measure`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "hundred",
    about: "a hundred claims at once are bound by exactly a hundred CreateVolume calls",
    needs_lab: false,
    run,
};

/// Figures of one run.
#[derive(Debug, Clone)]
pub struct Hundred {
    /// `CreateVolume` calls that the controllers counted.
    pub calls: f64,
    /// From the first create request until every claim was Bound.
    pub provisioned: Duration,
    /// The same for volumes that were made by hand, with their claims.
    pub bare: Duration,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let figures = measure(context)?;
    context.timeline.step(&format!(
        "hundred: {CLAIMS} claims Bound in {:.1} s by {} CreateVolume calls ({:.1} s for bare volumes and claims)",
        figures.provisioned.as_secs_f64(),
        figures.calls,
        figures.bare.as_secs_f64()
    ));
    let exact = (figures.calls - f64::from(CLAIMS)).abs() < 0.5;
    context.check(exact, || format!("{} CreateVolume calls for {CLAIMS} claims", figures.calls))
}

/// Provisions a hundred claims, and binds as many to volumes that the API server alone has to make.
pub fn measure(context: &Context<'_>) -> Result<Hundred, LabError> {
    let bare = bare(context)?;
    let before = create_calls(context)?;
    let names = (0..CLAIMS).map(|number| format!("claim-{number:03}"));
    let claims: Vec<Value> = names.map(|name| claim(&context.namespace, &name, &context.driver.class, "1Gi")).collect();
    let provisioned = until_bound(context, &claims)?;
    Ok(Hundred { calls: create_calls(context)? - before, provisioned, bare })
}

/// Creates volumes and claims that name each other, waits until they are bound, and removes them.
fn bare(context: &Context<'_>) -> Result<Duration, LabError> {
    let mut objects = Vec::new();
    for number in 0..CLAIMS {
        let (name, volume) = (format!("bare-{number:03}"), format!("{}-{number:03}", context.namespace));
        let mut claim = claim(&context.namespace, &name, "", "1Gi");
        claim["spec"]["volumeName"] = json!(volume);
        objects.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": { "name": volume, "labels": { "berth-lab": "bare" } },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": { "name": name, "namespace": context.namespace },
                "nfs": { "server": context.driver.backend.server, "path": context.driver.backend.share },
            },
        }));
        objects.push(claim);
    }
    let took = until_bound(context, &objects)?;
    let cluster = context.cluster();
    cluster.begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    cluster.begin_delete_all::<PersistentVolume>("", BARE)?;
    cluster.until::<PersistentVolumeClaim, _>("the end of the bare claims", &context.namespace, "", PATIENCE, none)?;
    cluster.until::<PersistentVolume, _>("the end of the bare volumes", "", BARE, PATIENCE, none)?;
    Ok(took)
}

fn none(objects: &[Value]) -> Result<(), String> {
    if objects.is_empty() { Ok(()) } else { Err(format!("{} left", objects.len())) }
}

fn until_bound(context: &Context<'_>, objects: &[Value]) -> Result<Duration, LabError> {
    let begun = Instant::now();
    context.cluster().create_all(objects)?;
    context.all_bound(usize::from(CLAIMS))?;
    Ok(begun.elapsed())
}

/// `CreateVolume` calls that all controllers together have counted since they started.
fn create_calls(context: &Context<'_>) -> Result<f64, LabError> {
    let namespace = &context.driver.namespace;
    let pods = context.cluster().list::<Pod>(namespace, "app.kubernetes.io/component=controller")?;
    let mut calls = 0.0;
    for pod in pods.iter().map(name_of) {
        let text = context.cluster().text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:9808/proxy/metrics"))?;
        calls += metrics::total(&text, "berth_operations_total", &[("operation", "CreateVolume")]);
    }
    Ok(calls)
}
