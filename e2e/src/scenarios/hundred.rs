//! Many claims at once: one call each, and not much slower than the API server itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod},
    },
    jiff::Timestamp,
};
use labkit::base::{LabError, chain, eventually, join};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    failover::{CONTROLLER, leads},
};
use crate::{cluster::api::name_of, metrics};

/// Claims that the scenario makes at once.
const CLAIMS: u16 = 100;
/// Who makes them at the same time: one alone would be slower than any driver.
const HANDS: usize = 8;
/// Label of the volumes that the driver has nothing to do with.
const BARE: &str = "berth-lab=bare";
/// Calls that the controllers count.
const CREATE: &str = "CreateVolume";
/// See [`CREATE`].
const DELETE: &str = "DeleteVolume";
/// What a claim is told when it has its volume.
const SUCCEEDED: &str = "ProvisioningSucceeded";
/// An event that is written so late would be missed by the one who asks.
const LATE: Duration = Duration::from_secs(10);

/// See [`measure`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "hundred",
    about: "a hundred claims at once are bound by exactly a hundred CreateVolume calls",
    needs_lab: false,
    run,
};

/// Figures of one run.
#[derive(Debug, Clone)]
pub struct AtOnce {
    /// `CreateVolume` calls that the controllers counted.
    pub calls: f64,
    /// From the first create request until every claim was Bound.
    pub provisioned: Duration,
    /// The same for volumes that were made by hand, with their claims.
    pub bare: Duration,
}

/// What became of the claims and volumes of such a run.
#[derive(Debug, Clone)]
pub struct Ended {
    /// `DeleteVolume` calls that the controllers counted.
    pub calls: f64,
    /// From the delete request until the last volume was gone.
    pub took: Duration,
    /// From the moment a volume was saved until its claim was told, in whole seconds: the longest of those that were told.
    pub latest_event: i64,
    /// Claims that were told.
    pub told: usize,
    /// How often the Lease went to another replica since the measurement began.
    pub other_leaders: i64,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let figures = measure(context, CLAIMS)?;
    context.timeline.step(&format!(
        "hundred: {CLAIMS} claims Bound in {:.1} s by {} CreateVolume calls ({:.1} s for bare volumes and claims)",
        figures.provisioned.as_secs_f64(),
        figures.calls,
        figures.bare.as_secs_f64()
    ));
    let exact = (figures.calls - f64::from(CLAIMS)).abs() < 0.5;
    context.check(exact, || format!("{} CreateVolume calls for {CLAIMS} claims", figures.calls))
}

/// Provisions so many claims, and binds as many to volumes that the API server alone has to make.
pub fn measure(context: &Context<'_>, claims: u16) -> Result<AtOnce, LabError> {
    let bare = bare(context, claims)?;
    let before = calls(context, CREATE)?;
    let names = (0..claims).map(|number| format!("claim-{number:03}"));
    let objects: Vec<Value> =
        names.map(|name| claim(&context.namespace, &name, &context.driver.class, "1Gi")).collect();
    let provisioned = until_bound(context, &objects, claims)?;
    Ok(AtOnce { calls: calls(context, CREATE)? - before, provisioned, bare })
}

/// Does [`measure`], then looks at what was told of the claims, deletes them and waits until their volumes are gone.
pub fn measure_to_the_end(context: &Context<'_>, claims: u16) -> Result<(AtOnce, Ended), LabError> {
    let leaders = transitions(context)?;
    let figures = measure(context, claims)?;
    let (told, latest_event) = told(context, claims)?;
    let (before, begun) = (calls(context, DELETE)?, Instant::now());
    context.cluster().begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    let what = "the end of the volumes";
    context.cluster().until::<PersistentVolume, _>(what, "", "", patience(claims), |volumes| {
        let own = |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == context.namespace.as_str();
        let left = volumes.iter().filter(own).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })?;
    let took = begun.elapsed();
    let other_leaders = transitions(context)? - leaders;
    Ok((figures, Ended { calls: calls(context, DELETE)? - before, took, latest_event, told, other_leaders }))
}

/// Longer for more, as everything here is one after the other somewhere.
fn patience(claims: u16) -> Duration {
    PATIENCE * u32::from(claims.div_ceil(CLAIMS))
}

/// Creates volumes and claims that name each other, waits until they are bound, and removes them.
fn bare(context: &Context<'_>, claims: u16) -> Result<Duration, LabError> {
    let mut objects = Vec::new();
    for number in 0..claims {
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
    let took = until_bound(context, &objects, claims)?;
    let (cluster, patience) = (context.cluster(), patience(claims));
    cluster.begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    cluster.begin_delete_all::<PersistentVolume>("", BARE)?;
    cluster.until::<PersistentVolumeClaim, _>("the end of the bare claims", &context.namespace, "", patience, none)?;
    cluster.until::<PersistentVolume, _>("the end of the bare volumes", "", BARE, patience, none)?;
    Ok(took)
}

fn none(objects: &[Value]) -> Result<(), String> {
    if objects.is_empty() { Ok(()) } else { Err(format!("{} left", objects.len())) }
}

fn until_bound(context: &Context<'_>, objects: &[Value], claims: u16) -> Result<Duration, LabError> {
    let begun = Instant::now();
    thread::scope(|scope| {
        let parts = objects.chunks(objects.len().div_ceil(HANDS).max(1));
        let hands = parts.map(|part| scope.spawn(move || context.cluster().create_all(part))).collect::<Vec<_>>();
        hands.into_iter().try_for_each(join)
    })?;
    context.all_bound_within(usize::from(claims), patience(claims))?;
    Ok(begun.elapsed())
}

/// Calls of this name that all controllers together have counted since they started.
fn calls(context: &Context<'_>, operation: &str) -> Result<f64, LabError> {
    let namespace = &context.driver.namespace;
    let mut calls = 0.0;
    for pod in context.cluster().list::<Pod>(namespace, CONTROLLER)?.iter().map(name_of) {
        let text = context.cluster().text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:9808/proxy/metrics"))?;
        calls += metrics::total(&text, "berth_operations_total", &[("operation", operation)]);
    }
    Ok(calls)
}

/// How many claims were told that they have their volume, once all are or no event comes any more that is not too late, and
/// how many seconds after it the latest was.
fn told(context: &Context<'_>, claims: u16) -> Result<(usize, i64), LabError> {
    let (cluster, claims) = (context.cluster(), usize::from(claims));
    let volumes = cluster.list::<PersistentVolume>("", "")?;
    let lateness = |event: &Value| {
        let about = event["involvedObject"]["uid"].as_str()?;
        let volume = volumes.iter().find(|volume| volume["spec"]["claimRef"]["uid"] == about)?;
        Some(made(event)?.duration_since(made(volume)?).as_secs())
    };
    let look = || -> Result<Vec<i64>, LabError> {
        let events = cluster.list::<Event>(&context.namespace, "")?;
        Ok(events.iter().filter(|event| event["reason"] == SUCCEEDED).filter_map(lateness).collect())
    };
    // Events may be lost, though not late; so it is no failure if some never come.
    let all = eventually("an event for each claim", 2 * LATE, Duration::from_secs(1), || {
        let found = look().map_err(|error| chain(&error))?;
        if found.len() >= claims { Ok(found) } else { Err(found.len().to_string()) }
    });
    let found = all.or_else(|_| look())?;
    context.check(!found.is_empty(), || format!("none of {claims} claims was told that it has its volume"))?;
    Ok((found.len(), found.into_iter().max().unwrap_or_default()))
}

/// When the API server took an object.
pub(super) fn made(object: &Value) -> Option<Timestamp> {
    object["metadata"]["creationTimestamp"].as_str()?.parse().ok()
}

/// How often the Lease has gone to another replica.
pub(super) fn transitions(context: &Context<'_>) -> Result<i64, LabError> {
    // Somebody leads.
    leads(context)?;
    let leases = context.cluster().list::<Lease>(&context.driver.namespace, "")?;
    Ok(leases.iter().filter_map(|lease| lease["spec"]["leaseTransitions"].as_i64()).sum())
}
