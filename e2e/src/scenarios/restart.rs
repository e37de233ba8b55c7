//! The plugin's life, and kubelet's, is not the life of a pod's mount.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use labkit::base::{LabError, chain, eventually};
use serde_json::Value;

use super::{Context, Scenario, context::PATIENCE};
use crate::cluster::api::{is_true, name_of};

/// The plugin's pod is killed while pods use its mounts.
pub(super) const PLUGIN: Scenario = Scenario {
    name: "plugin-restart",
    about: "a pod keeps reading and writing while the node plugin is killed and replaced, and new pods start after it",
    needs_lab: true,
    run: plugin,
};

/// kubelet is killed while pods use mounts.
pub(super) const KUBELET: Scenario = Scenario {
    name: "kubelet-restart",
    about: "a pod keeps reading and writing while kubelet restarts, and new pods start after it",
    needs_lab: true,
    run: kubelet,
};

/// Labels of the plugin's pods.
const PLUGINS: &str = "app.kubernetes.io/name=berth,app.kubernetes.io/component=node";

/// Appends a line a second and reads it back; stops at the first failure, so that a gap cannot hide.
pub(super) const WRITER: &str =
    "n=0; while n=$((n+1)); do echo $n >> /data/log && tail -n1 /data/log | grep -qx $n || exit 1; sleep 1; done";

fn plugin(context: &Context<'_>) -> Result<(), LabError> {
    survive(context, |node| {
        (0..context.sized(1, 3)).try_for_each(|_| crash(context, node))?;
        let before = plugin_pod(context, node)?;
        let at_once = DeleteParams::default().grace_period(0);
        context.cluster().begin_delete::<Pod>(&context.driver.namespace, &before, &at_once)?;
        context.cluster().gone::<Pod>(&context.driver.namespace, &[&before])?;
        plugin_ready(context, node)
    })
}

/// Ends the plugin by a signal that it cannot catch, and waits until kubelet has started it again.
fn crash(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    let machine = context.lab()?.machine(node)?;
    let before = machine.sh("pidof berth-node")?;
    machine.sh(&format!("kill -KILL {before}"))?;
    eventually("the plugin's process after a SIGKILL", PATIENCE, Duration::from_millis(500), || {
        let now = machine.sh("pidof berth-node").map_err(|error| chain(&error))?;
        if now == before { Err(now) } else { Ok(()) }
    })?;
    plugin_ready(context, node)
}

fn kubelet(context: &Context<'_>) -> Result<(), LabError> {
    survive(context, |node| context.lab()?.restart_kubelet(node))
}

/// Runs a writer on a node, disturbs the node, and demands that the writer never failed and that new pods start.
fn survive(context: &Context<'_>, disturb: impl FnOnce(&str) -> Result<(), LabError>) -> Result<(), LabError> {
    let node = context.nodes()?[0].clone();
    let claim = context.claim("kept")?;
    context.pod("writer", &claim, &node, WRITER)?;
    context.pod_ready("writer")?;
    let before = written(context, "writer")?;
    disturb(&node)?;
    let after = written(context, "writer")?;
    eventually("lines written after the restart", PATIENCE, Duration::from_secs(1), || {
        let now = written(context, "writer").map_err(|error| chain(&error))?;
        if now >= after + 3 { Ok(()) } else { Err(format!("line {before} before, {after} right after, {now} now")) }
    })?;
    let pod = context.cluster().get::<Pod>(&context.namespace, "writer")?.unwrap_or_default();
    let status = &pod["status"]["containerStatuses"][0];
    context.check(status["restartCount"] == 0 && status["ready"] == true, || {
        format!("the writer did not survive: {status}")
    })?;
    let other = context.claim("new")?;
    for (name, claim) in [("reader", &claim), ("newcomer", &other)] {
        context.pod(name, claim, &node, "touch /data/seen && sleep 3600")?;
        context.pod_ready(name)?;
    }
    let seen = written(context, "reader")?;
    context.check(seen > after, || format!("a new pod reads line {seen}, the writer was at {after}"))?;
    // Unmounting what was mounted before the restart must work as well.
    for name in ["writer", "reader", "newcomer"] {
        context.cluster().delete::<Pod>(&context.namespace, name)?;
    }
    for claim in [&claim, &other] {
        let volume = name_of(&context.bound(claim)?).to_owned();
        let left = context.lab()?.machine(&node)?.sh(&format!("grep {volume} /proc/self/mounts || true"))?;
        context.check(left.trim().is_empty(), || format!("mounts are left on {node}: {left}"))?;
    }
    Ok(())
}

/// The last line number that a pod sees in the log.
pub(super) fn written(context: &Context<'_>, pod: &str) -> Result<u64, LabError> {
    let words = ["tail", "-n1", "/data/log"];
    eventually("an answer from the pod", PATIENCE, Duration::from_secs(1), || {
        let done = context.cluster().kubectl().exec_text(&context.namespace, pod, &words);
        let text = done.map_err(|error| chain(&error))?;
        text.trim().parse().map_err(|_| format!("the log ends in {text:?}"))
    })
}

/// Name of the plugin's pod on a node.
pub(super) fn plugin_pod(context: &Context<'_>, node: &str) -> Result<String, LabError> {
    let pods = context.cluster().list::<Pod>(&context.driver.namespace, PLUGINS)?;
    let pod = pods.iter().find(|pod| is_on(pod, node));
    pod.map(|pod| name_of(pod).to_owned()).ok_or_else(|| LabError::Unmet(format!("no plugin pod on {node}")))
}

/// Whether a pod runs on a node and stays there.
fn is_on(pod: &Value, node: &str) -> bool {
    pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null()
}

/// Waits until the plugin's pod on a node is ready.
pub(super) fn plugin_ready(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    let (what, namespace) = (format!("a ready plugin on {node}"), &context.driver.namespace);
    context.cluster().until::<Pod, _>(&what, namespace, PLUGINS, PATIENCE, |pods| {
        let pod = pods.iter().find(|pod| is_on(pod, node)).unwrap_or(&Value::Null);
        if is_true(pod, "Ready") { Ok(()) } else { Err(pod["status"].to_string()) }
    })
}
