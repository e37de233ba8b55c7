//! The leading controller fails at work, twice: it dies while it makes volumes, and stands still while it deletes them.

use std::{collections::BTreeSet, net::Ipv4Addr, panic::resume_unwind, thread, time::Duration};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
};
use kube::api::DeleteParams;
use labkit::base::{LabError, chain, eventually};
use serde_json::Value;

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    share::share_root,
};
use crate::cluster::api::name_of;

/// Claims made at once; enough that the leader dies in the middle of them.
const CLAIMS: usize = 60;

/// Annotation on volumes that a provisioner made.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Label of the controller's pods and of their Deployment.
pub(super) const CONTROLLER: &str = "app.kubernetes.io/component=controller";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "failover",
    about: "the leading controller is killed while it creates and paused while it deletes; nothing is lost, doubled or left",
    needs_lab: false,
    run,
};

/// The pod that leads, and how it is reached.
struct Leader {
    pod: String,
    /// Node and process of the controller in that pod, where the lab allows to reach it.
    process: Option<(String, u32)>,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let before: BTreeSet<String> = share_root(context)?.into_iter().collect();
    fail_creating(context)?;
    let after = share_root(context)?.into_iter();
    let made: BTreeSet<String> = after.filter(|name| !before.contains(name) && name != ".berth").collect();
    context.check(made.len() == CLAIMS, || {
        format!("{} directories on the share for {CLAIMS} volumes: {made:?}", made.len())
    })?;
    fail_deleting(context)?;
    let left: Vec<String> = share_root(context)?.into_iter().filter(|name| made.contains(name)).collect();
    context.check(left.is_empty(), || format!("directories without a volume: {left:?}"))?;
    // Whoever comes next finds as many controllers as there were.
    context.rolled_out(&context.driver.namespace, CONTROLLER)
}

fn fail_creating(context: &Context<'_>) -> Result<(), LabError> {
    let names = (0..CLAIMS).map(|number| format!("claim-{number:02}"));
    let claims: Vec<Value> = names.map(|name| claim(&context.namespace, &name, &context.driver.class, "1Gi")).collect();
    let (made, _) = fail_during(context, "KILL", || context.cluster().create_all(&claims), |volumes| volumes > 0)?;
    context.timeline.note(&format!("{made} of {CLAIMS} volumes were made when it died"));
    context.check(made < CLAIMS, || "the leader had nothing left to make when it was killed".to_owned())?;
    context.all_bound(CLAIMS)?;
    context.timeline.step(&format!("failover: {CLAIMS} claims Bound although the leader was killed"));
    let volumes = own_volumes(context)?;
    context.check(volumes == CLAIMS, || format!("{volumes} volumes for {CLAIMS} claims"))
}

fn fail_deleting(context: &Context<'_>) -> Result<(), LabError> {
    let delete = || context.cluster().begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "");
    let (left, leader) = fail_during(context, "STOP", delete, |volumes| volumes < CLAIMS)?;
    context.timeline.note(&format!("{left} of {CLAIMS} volumes were left when it stopped"));
    context.check(left > 0, || "the leader had nothing left to delete when it was stopped".to_owned())?;
    goes_on_late(context, &leader)?;
    until_volumes(context, "the end of every volume", |left| left == 0)?;
    context.timeline.step(&format!("failover: {CLAIMS} volumes deleted although the leader failed"));
    Ok(())
}

/// Starts `work` and strikes the leader as soon as the number of volumes shows, by `begun`, that it is at it: while requests
/// are still coming, so that it surely is at work. Answers with the number of volumes right after, and the leader.
fn fail_during(
    context: &Context<'_>,
    signal: &str,
    work: impl FnOnce() -> Result<(), LabError> + Send,
    begun: impl Fn(usize) -> bool,
) -> Result<(usize, Leader), LabError> {
    // Found beforehand, so that nothing lies between the first volume and the signal.
    let leader = leader(context)?;
    let volumes = thread::scope(|scope| {
        let working = scope.spawn(work);
        let at_work = until_volumes(context, "the first volume", begun);
        let seen = at_work.and_then(|()| strike(context, &leader, signal)).and_then(|()| own_volumes(context));
        working.join().unwrap_or_else(|panic| resume_unwind(panic)).and(seen)
    })?;
    Ok((volumes, leader))
}

/// Lets a leader that was stopped go on when another one leads: what it still has in hand must do no harm.
fn goes_on_late(context: &Context<'_>, stopped: &Leader) -> Result<(), LabError> {
    let Some((node, process)) = &stopped.process else { return Ok(()) };
    eventually("another leader", PATIENCE, Duration::from_millis(500), || {
        let leads = leads(context).map_err(|error| chain(&error))?;
        if leads == stopped.pod { Err(format!("{leads} leads still")) } else { Ok(()) }
    })?;
    context.timeline.note(&format!("{} goes on, and no longer leads", stopped.pod));
    // kubelet may have ended it meanwhile, because it does not answer.
    context.lab()?.machine(node)?.sh(&format!("kill -CONT {process} || true")).map(drop)
}

/// Name of the pod that holds the driver's Lease.
pub(super) fn leads(context: &Context<'_>) -> Result<String, LabError> {
    leading_pod(context).map(|pod| name_of(&pod).to_owned())
}

/// Number of volumes that the driver made for claims in the scenario's namespace.
fn own_volumes(context: &Context<'_>) -> Result<usize, LabError> {
    context.cluster().list::<PersistentVolume>("", "").map(|volumes| own(context, &volumes))
}

/// Waits until that number is as wanted.
fn until_volumes(context: &Context<'_>, what: &str, wanted: impl Fn(usize) -> bool) -> Result<(), LabError> {
    context.cluster().until::<PersistentVolume, _>(what, "", "", PATIENCE, |volumes| {
        let volumes = own(context, volumes);
        if wanted(volumes) { Ok(()) } else { Err(format!("{volumes} volumes")) }
    })
}

fn own(context: &Context<'_>, volumes: &[Value]) -> usize {
    let own = volumes
        .iter()
        .filter(|volume| volume["spec"]["claimRef"]["namespace"] == context.namespace.as_str())
        .filter(|volume| volume["metadata"]["annotations"][PROVISIONED_BY] == context.driver.name.as_str());
    own.count()
}

/// The leading controller.
fn leader(context: &Context<'_>) -> Result<Leader, LabError> {
    let pod = leading_pod(context)?;
    let name = name_of(&pod).to_owned();
    let process = if context.lab.is_some() { Some(process(context, &pod)?) } else { None };
    Ok(Leader { pod: name, process })
}

/// The pod that holds the driver's Lease.
pub(super) fn leading_pod(context: &Context<'_>) -> Result<Value, LabError> {
    let namespace = &context.driver.namespace;
    eventually("a leader among the controllers", PATIENCE, Duration::from_millis(500), || {
        let leases = context.cluster().list::<Lease>(namespace, "").map_err(|error| chain(&error))?;
        let pods = context.cluster().list::<Pod>(namespace, CONTROLLER).map_err(|error| chain(&error))?;
        let holders: Vec<&str> = leases.iter().filter_map(|lease| lease["spec"]["holderIdentity"].as_str()).collect();
        let leads = |pod: &&Value| holders.iter().any(|holder| holder.starts_with(name_of(pod)));
        let found = pods.iter().find(leads).cloned();
        found.ok_or_else(|| format!("none of {} controllers holds a lease: {holders:?}", pods.len()))
    })
}

/// Address of a pod.
pub(super) fn address_of(pod: &Value) -> Result<Ipv4Addr, LabError> {
    let address = pod["status"]["podIP"].as_str().and_then(|text| text.parse().ok());
    address.ok_or_else(|| LabError::Unmet(format!("{} has no address: {}", name_of(pod), pod["status"])))
}

/// Node and process id of the controller in a pod. Its container is what it is known by: nothing forbids two controllers on
/// one node, the chart only prefers to spread them.
fn process(context: &Context<'_>, pod: &Value) -> Result<(String, u32), LabError> {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let container = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
    let container = container.rsplit_once("//").map_or("", |(_, id)| id);
    context.check(!container.is_empty(), || format!("the leader has no container: {}", pod["status"]))?;
    let script = format!("grep -ls {container} /proc/[0-9]*/cgroup | cut -d/ -f3");
    let found = context.lab()?.machine(node)?.sh(&script)?;
    let process = found.trim().parse();
    let process = process.map_err(|_| LabError::Unmet(format!("processes of {container} on {node}: {found:?}")))?;
    Ok((node.to_owned(), process))
}

/// Sends a signal to the leader where the lab allows it. Elsewhere its pod is deleted, which begins with a SIGTERM even
/// without grace.
fn strike(context: &Context<'_>, Leader { pod, process }: &Leader, signal: &str) -> Result<(), LabError> {
    context.timeline.note(&format!("SIG{signal} to {pod}"));
    if let Some((node, process)) = process {
        return context.lab()?.machine(node)?.sh(&format!("kill -{signal} {process}")).map(drop);
    }
    context.cluster().begin_delete::<Pod>(&context.driver.namespace, pod, &DeleteParams::default().grace_period(0))
}
