//! A node joins with the startup taint, and pods that use volumes come to it when its plugin has registered.

use std::thread;

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    storage::v1::CSINode,
};
use kube::api::DeleteParams;
use labkit::base::{LabError, join};
use serde_json::Value;

use super::{
    Context, Scenario,
    context::PATIENCE,
    events::never_told,
    failover::CONTROLLER,
    restart::{plugin_pod, plugin_ready},
};
use crate::cluster::{api::name_of, machine::Machine};

/// A taint of somebody else's, which is to stay.
const FOREIGN: &str = "lab.berth.dev/other";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "startup-taint",
    about: "a node that joins with the startup taint loses it when its plugin has registered, and a pod that waits for that starts at once",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let driver = &context.driver;
    let nodes = context.nodes()?;
    let node = nodes.last().map(String::as_str).unwrap_or_default();
    let key = format!("{}/agent-not-ready", driver.name);
    let claim = context.claim("data")?;
    context.bound(&claim)?;

    let joined = joins(context, node, &key, &claim);
    // Nobody else is to wait for a node that is kept out.
    for taint in [key.as_str(), FOREIGN] {
        let _gone_already = context.cluster().kubectl().run(&["taint", "node", node, &format!("{taint}-")]);
    }
    joined?;
    plugin_ready(context, node)?;
    context.rolled_out(&driver.namespace, CONTROLLER)
}

/// Takes the node out and lets it join with the taint; a pod waits for it.
fn joins(context: &Context<'_>, node: &str, key: &str, claim: &str) -> Result<(), LabError> {
    let (lab, driver) = (context.lab()?, &context.driver);
    let before = plugin_pod(context, node)?;
    // It waits for the node, and tolerates nothing.
    let taints = format!("{key}=:NoExecute,{FOREIGN}=:PreferNoSchedule");
    thread::scope(|scope| {
        // Watched from before it joins, for the taint may go at any time after.
        let joins = scope.spawn(|| tainted(context, node, key, &[key, FOREIGN]));
        lab.rejoin(node, &taints, |machine| {
            forget_plugin(context, machine, &before)?;
            context.pod("user", claim, node, "touch /data/file && sleep 3600")
        })
        .and(join(joins))
    })?;
    context.timeline.note(&format!("{node} has joined with the taint {key}"));
    tainted(context, node, key, &[FOREIGN])?;
    let registered = context.cluster().get::<CSINode>("", node)?.unwrap_or_default();
    context.check(lists(&registered, &driver.name), || format!("it has not registered: {}", registered["spec"]))?;
    context.timeline.step(&format!("startup-taint: {node} has lost the taint, and no other"));
    context.pod_ready("user")?;
    never_told(context, "user", "FailedMount")?;

    context.cluster().delete::<Pod>(&context.namespace, "user")
}

/// Ends the plugin on a machine whose kubelet does not run, as if there had never been one.
fn forget_plugin(context: &Context<'_>, machine: &Machine, pod: &str) -> Result<(), LabError> {
    let (namespace, at_once) = (&context.driver.namespace, DeleteParams::default().grace_period(0));
    context.cluster().begin_delete::<Pod>(namespace, pod, &at_once)?;
    context.cluster().gone::<Pod>(namespace, &[pod])?;
    let socket = format!("/var/lib/kubelet/plugins_registry/{}@reg.sock", context.driver.name);
    machine.sh(&format!(
        "pid=$(pidof berth-node); kill -KILL $pid; while [ -e /proc/$pid ]; do sleep 0.1; done; rm '{socket}'"
    ))?;
    Ok(())
}

/// Waits until the node has taints with exactly these of the two keys.
fn tainted(context: &Context<'_>, node: &str, ours: &str, wanted: &[&str]) -> Result<(), LabError> {
    let what = format!("the taints {wanted:?} on {node}");
    context.cluster().until::<Node, _>(&what, "", "", PATIENCE, |nodes| {
        let found = nodes.iter().find(|found| name_of(found) == node);
        let taints = found.and_then(|found| found["spec"]["taints"].as_array()).into_iter().flatten();
        let mut keys: Vec<&str> = taints.filter_map(|taint| taint["key"].as_str()).collect();
        keys.retain(|key| [ours, FOREIGN].contains(key));
        keys.sort_unstable();
        if keys == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
}

fn lists(node: &Value, driver: &str) -> bool {
    node["spec"]["drivers"].as_array().into_iter().flatten().any(|found| found["name"] == driver)
}
