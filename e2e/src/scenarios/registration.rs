//! kubelet finds the plugin by itself, by a socket that no sidecar made.

use std::time::Duration;

use super::{Context, Scenario, context::PATIENCE};
use crate::cluster::{LabError, eventually};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "registration",
    about: "every kubelet registers the plugin by its own socket, and again after the socket was lost",
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
    context.kubectl().run(&["delete", "pod", &pod, "-n", &context.driver.namespace, "--wait=true"])?;
    super::restart::plugin_ready(context, node)?;
    registered(context, node)
}

/// Waits until the node's `CSINode` lists the driver.
fn registered(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    eventually(&format!("registration on {node}"), PATIENCE, Duration::from_secs(1), || {
        let object = context.kubectl().get("csinode", node, "").map_err(|error| error.to_string())?;
        let drivers = object.unwrap_or_default()["spec"]["drivers"].take();
        let mut entries = drivers.as_array().into_iter().flatten();
        let entry = entries.find(|entry| entry["name"] == context.driver.name.as_str());
        match entry {
            Some(entry) if entry["nodeID"] == node => Ok(()),
            _ => Err(format!("CSINode {node} lists {drivers}")),
        }
    })
}
