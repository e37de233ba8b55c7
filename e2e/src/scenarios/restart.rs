//! The plugin's life, and kubelet's, is not the life of a pod's mount.

use std::time::Duration;

use super::{Context, Scenario, context::PATIENCE};
use crate::base::{LabError, eventually};

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

/// Appends a line a second and reads it back; stops at the first failure, so that a gap cannot hide.
const WRITER: &str =
    "n=0; while n=$((n+1)); do echo $n >> /data/log && tail -n1 /data/log | grep -qx $n || exit 1; sleep 1; done";

fn plugin(context: &Context<'_>) -> Result<(), LabError> {
    survive(context, |node| {
        crash(context, node)?;
        let before = plugin_pod(context, node)?;
        context.kubectl().run(&[
            "delete",
            "pod",
            &before,
            "-n",
            &context.driver.namespace,
            "--grace-period=0",
            "--force",
        ])?;
        eventually("another plugin pod", PATIENCE, Duration::from_millis(500), || {
            let now = plugin_pod(context, node).map_err(|error| error.to_string())?;
            if now == before { Err(now) } else { Ok(()) }
        })?;
        plugin_ready(context, node)
    })
}

/// Ends the plugin by a signal that it cannot catch, and waits until kubelet has started it again.
fn crash(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    let machine = context.lab()?.machine(node)?;
    let before = machine.sh("pidof berth-node")?;
    machine.sh(&format!("kill -KILL {before}"))?;
    eventually("the plugin's process after a SIGKILL", PATIENCE, Duration::from_millis(500), || {
        let now = machine.sh("pidof berth-node").map_err(|error| error.to_string())?;
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
        let now = written(context, "writer").map_err(|error| error.to_string())?;
        if now >= after + 3 { Ok(()) } else { Err(format!("line {before} before, {after} right after, {now} now")) }
    })?;
    let pod = context.kubectl().get("pod", "writer", &context.namespace)?.unwrap_or_default();
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
        context.kubectl().run(&["delete", "pod", name, "-n", &context.namespace, "--timeout=120s"])?;
    }
    for claim in [&claim, &other] {
        let volume = context.bound(claim)?["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let left = context.lab()?.machine(&node)?.sh(&format!("grep {volume} /proc/self/mounts || true"))?;
        context.check(left.trim().is_empty(), || format!("mounts are left on {node}: {left}"))?;
    }
    Ok(())
}

/// The last line number that a pod sees in the log.
fn written(context: &Context<'_>, pod: &str) -> Result<u64, LabError> {
    let words = ["exec", "-n", &context.namespace, pod, "--", "tail", "-n1", "/data/log"];
    eventually("an answer from the pod", PATIENCE, Duration::from_secs(1), || {
        let text = context.kubectl().run(&words).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| format!("the log ends in {text:?}"))
    })
}

/// Name of the plugin's pod on a node.
pub(super) fn plugin_pod(context: &Context<'_>, node: &str) -> Result<String, LabError> {
    let pods = context.kubectl().list(
        "pods",
        &context.driver.namespace,
        "app.kubernetes.io/name=berth,app.kubernetes.io/component=node",
    )?;
    let here =
        |pod: &&serde_json::Value| pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null();
    let name = pods.iter().find(here).and_then(|pod| pod["metadata"]["name"].as_str());
    name.map(str::to_owned).ok_or_else(|| LabError::Unmet(format!("no plugin pod on {node}")))
}

/// Waits until the plugin's pod on a node is ready.
pub(super) fn plugin_ready(context: &Context<'_>, node: &str) -> Result<(), LabError> {
    eventually(&format!("a ready plugin on {node}"), PATIENCE, Duration::from_secs(1), || {
        let pod = plugin_pod(context, node).map_err(|error| error.to_string())?;
        let object =
            context.kubectl().get("pod", &pod, &context.driver.namespace).map_err(|error| error.to_string())?;
        let conditions = object.unwrap_or_default()["status"]["conditions"].take();
        let mut entries = conditions.as_array().into_iter().flatten();
        let ready = entries.any(|entry| entry["type"] == "Ready" && entry["status"] == "True");
        if ready { Ok(()) } else { Err(conditions.to_string()) }
    })
}
