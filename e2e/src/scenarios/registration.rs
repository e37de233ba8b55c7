//! kubelet finds the plugin by itself, by a socket that no sidecar made.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Pod, storage::v1::CSINode};
use labkit::base::{LabError, chain, eventually};
use serde_json::Value;

use super::{Context, Scenario, context::PATIENCE, plugins::METRICS};
use crate::{cluster::api::name_of, metrics};

/// Calls by which kubelet told the plugin what became of its registration, and that the plugin answered well.
const NOTIFIED: (&str, [(&str, &str); 2]) = (
    "berth_rpc_duration_seconds_count",
    [("method", "pluginregistration.Registration/NotifyRegistrationStatus"), ("code", "OK")],
);

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "registration",
    about: "every kubelet registers the plugin by its own socket, and again when the plugin is replaced",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let driver = &context.driver.name;
    for node in context.nodes()? {
        registered(context, &node)?;
        let machine = context.lab()?.machine(&node)?;
        // kubelet's grpc-go sends the escaped path as `:authority`, which hyper accepts only behind an `@`.
        let socket = format!("/var/lib/kubelet/plugins_registry/{driver}@reg.sock");
        machine.sh(&format!("test -S '{socket}'"))?;
        let others = machine.sh("ls /var/lib/kubelet/plugins_registry")?;
        context
            .check(others.trim() == format!("{driver}@reg.sock"), || format!("registry of {node} holds {others}"))?;
    }
    // A plugin that starts anew makes its socket anew, and kubelet takes it again: no stale entry stands in the way.
    let node = &context.nodes()?[0];
    let pod = super::restart::plugin_pod(context, node)?;
    context.cluster().delete::<Pod>(&context.driver.namespace, &pod)?;
    super::restart::plugin_ready(context, node)?;
    registered_anew(context, node, &pod)?;
    registered(context, node)
}

/// Waits until kubelet has registered the process that took the place of the pod `before`. The entry in `CSINode` stays
/// while a plugin is replaced, so it says nothing about that; the new process itself does, which began with nothing counted.
fn registered_anew(context: &Context<'_>, node: &str, before: &str) -> Result<(), LabError> {
    let machine = context.lab()?.machine(node)?;
    eventually(&format!("registration of the new plugin on {node}"), PATIENCE, Duration::from_secs(1), || {
        let text = machine.sh(&format!("curl -sSf --max-time 10 {METRICS}")).map_err(|error| chain(&error))?;
        if metrics::total(&text, NOTIFIED.0, &NOTIFIED.1) < 1.0 {
            return Err("kubelet has not notified it".to_owned());
        }
        // A refusal is notified by the same call; the log tells the two apart.
        let pod = super::restart::plugin_pod(context, node).map_err(|error| chain(&error))?;
        let log = context.cluster().log(&context.driver.namespace, &pod).map_err(|error| chain(&error))?;
        let accepted = pod != before && log.contains("registered with kubelet");
        if accepted { Ok(()) } else { Err(format!("log of {pod}:\n{log}")) }
    })
}

/// Waits until the node's `CSINode` lists the driver.
fn registered(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    context.cluster().until::<CSINode, _>(&format!("registration on {node}"), "", "", PATIENCE, |known| {
        let drivers = known.iter().find(|found| name_of(found) == node).map(|found| &found["spec"]["drivers"]);
        let mut entries = drivers.and_then(Value::as_array).into_iter().flatten();
        let entry = entries.find(|entry| entry["name"] == context.driver.name.as_str());
        match entry {
            Some(entry) if entry["nodeID"] == node => Ok(()),
            _ => Err(format!("CSINode {node} lists {drivers:?}")),
        }
    })
}
