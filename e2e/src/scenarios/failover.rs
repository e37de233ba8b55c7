//! The controller dies at work, twice: while it makes volumes and while it deletes them.

use std::{collections::BTreeSet, panic::resume_unwind, time::Duration};

use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    share::share_root,
};
use crate::cluster::{LabError, eventually};

/// Claims made at once; enough that the leader dies in the middle of them.
const CLAIMS: usize = 30;

/// Annotation on volumes that a provisioner made.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "failover",
    about: "the leading controller is killed while it creates and while it deletes; nothing is lost, doubled or left",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let kubectl = context.kubectl();
    let before: BTreeSet<String> = share_root(context)?.into_iter().collect();
    let names: Vec<String> = (0..CLAIMS).map(|number| format!("claim-{number:02}")).collect();
    let claims: Vec<Value> =
        names.iter().map(|name| claim(&context.namespace, name, &context.driver.class, "1Gi")).collect();
    let claims = json!({ "apiVersion": "v1", "kind": "List", "items": claims }).to_string();
    // While the claims are still coming, so that it surely dies at work.
    let leader = leader(context)?;
    std::thread::scope(|scope| {
        let making = scope.spawn(|| kubectl.create(claims).map(drop));
        let begun = eventually("a first volume", PATIENCE, Duration::from_millis(100), || {
            let made = own_volumes(context).map_err(|error| error.to_string())?.len();
            if made > 0 { Ok(()) } else { Err("none yet".to_owned()) }
        });
        begun.and_then(|()| kill(context, &leader)).and(making.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    let made = own_volumes(context)?.len();
    context.timeline.note(&format!("{made} of {CLAIMS} volumes were made when it died"));
    context.check(made < CLAIMS, || "the leader had nothing left to do when it was killed".to_owned())?;
    kubectl.wait(&context.namespace, &["pvc", "--all"], "jsonpath={.status.phase}=Bound", PATIENCE)?;
    context.timeline.step(&format!("failover: {CLAIMS} claims Bound although the leader was killed"));
    let volumes = own_volumes(context)?;
    context.check(volumes.len() == CLAIMS, || format!("{} volumes for {CLAIMS} claims", volumes.len()))?;
    let made: BTreeSet<String> = share_root(context)?.into_iter().filter(|name| !before.contains(name)).collect();
    let foreign = made.iter().filter(|name| *name != ".berth").count();
    context
        .check(foreign == CLAIMS, || format!("{foreign} directories on the share for {CLAIMS} volumes: {made:?}"))?;

    let leader = self::leader(context)?;
    kubectl.run(&["delete", "pvc", "--all", "-n", &context.namespace, "--wait=false"])?;
    kill(context, &leader)?;
    eventually("the end of every volume", PATIENCE, Duration::from_secs(1), || {
        let left = own_volumes(context).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{} left", left.len())) }
    })?;
    let left: Vec<String> =
        share_root(context)?.into_iter().filter(|name| made.contains(name) && name != ".berth").collect();
    context.check(left.is_empty(), || format!("directories without a volume: {left:?}"))
}

/// Volumes that the driver made for claims in the scenario's namespace.
fn own_volumes(context: &Context<'_>) -> Result<Vec<Value>, LabError> {
    let volumes = context.kubectl().list("pv", "", "")?;
    Ok(volumes
        .into_iter()
        .filter(|volume| volume["spec"]["claimRef"]["namespace"] == context.namespace.as_str())
        .filter(|volume| volume["metadata"]["annotations"][PROVISIONED_BY] == context.driver.name.as_str())
        .collect())
}

/// The pod that holds the driver's lease.
fn leader(context: &Context<'_>) -> Result<String, LabError> {
    let namespace = &context.driver.namespace;
    eventually("a leader among the controllers", PATIENCE, Duration::from_millis(500), || {
        let leases = context.kubectl().list("leases", namespace, "").map_err(|error| error.to_string())?;
        let pods = context
            .kubectl()
            .list("pods", namespace, "app.kubernetes.io/component=controller")
            .map_err(|error| error.to_string())?;
        let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
        let mut holders = leases.iter().filter_map(|lease| lease["spec"]["holderIdentity"].as_str());
        holders
            .find_map(|holder| names.iter().find(|name| holder.starts_with(**name)))
            .map(|name| (*name).to_owned())
            .ok_or_else(|| format!("controllers {names:?} hold none of {} leases", leases.len()))
    })
}

/// Kills a pod of the driver, without grace.
fn kill(context: &Context<'_>, pod: &str) -> Result<(), LabError> {
    context.timeline.note(&format!("killing {pod}"));
    let words = ["delete", "pod", pod, "-n", &context.driver.namespace, "--grace-period=0", "--force", "--wait=false"];
    context.kubectl().run(&words).map(drop)
}
