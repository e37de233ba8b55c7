//! A node loses its power: it comes back, or it does not.

use std::{
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod};
use labkit::base::{LabError, chain, eventually};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::PATIENCE,
    failover::CONTROLLER,
    restart::plugin_ready,
    writers::{Group, Writers, script, writing},
};
use crate::{
    cluster::api::{is_true, name_of},
    report::Line,
};

/// A writer waits so long after each record.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a node may take from its power-on until its pods write again. Its programs start anew, under emulation.
const BOOTED: Duration = Duration::from_mins(10);

/// See [`cut`].
pub(super) const CUT: Scenario = Scenario {
    name: "node-power-cut",
    about: "a node loses its power and comes back: its pods go on behind the last record that was synced, and nobody cleans up",
    needs_lab: true,
    run: cut,
};

/// See [`lost`].
pub(super) const LOST: Scenario = Scenario {
    name: "node-lost",
    about: "a node loses its power for good: a Deployment's pod is replaced on another node, and writes",
    needs_lab: true,
    run: lost,
};

fn cut(context: &Context<'_>) -> Result<(), LabError> {
    let (lab, nodes) = (context.lab()?, context.nodes()?);
    let [stays, goes] = [&nodes[0], &nodes[nodes.len() - 1]];
    let group = |name, node| Group {
        name,
        class: &context.driver.class,
        nodes: std::slice::from_ref(node),
        count: context.sized(1, 4),
        pause: PAUSE,
    };
    let (there, here) =
        (Writers::start(context, group("there", goes))?, Writers::start(context, group("here", stays))?);
    let (told, begun) = (there.numbers()?, here.mark()?);
    let boot = || lab.machine(goes)?.sh("cat /proc/sys/kernel/random/boot_id");
    let earlier = boot()?;
    context.timeline.note(&format!("{goes} loses its power"));
    lab.without_power(goes, || {
        thread::sleep(Duration::from_secs(context.sized(5, 30)));
        here.go_on(&here.mark()?, PATIENCE).map(drop)
    })?;
    let (back, later) = (Instant::now(), boot()?);
    context.check(later != earlier, || format!("{goes} has not booted again"))?;
    context.timeline.note(&format!("{goes} has its power again, and its programs run"));
    // What they told before is gone with the node's memory.
    let fresh = eventually("the writers of the node that was off", BOOTED, Duration::from_secs(1), || {
        let now = there.numbers().map_err(|error| chain(&error))?;
        if now.len() == told.len() { Ok(now) } else { Err(format!("{now:?} of {told:?}")) }
    })?;
    context.figure(Line::fact(
        "from the start of kubelet until its pods write again",
        back.elapsed().as_secs_f64(),
        "s",
    ));
    let lost: Vec<_> = told.iter().filter(|(pod, number)| fresh[*pod] <= **number).collect();
    context
        .check(lost.is_empty(), || format!("they went on before what they had told of: {told:?}, then {fresh:?}"))?;
    plugin_ready(context, goes)?;
    context.rolled_out(&context.driver.namespace, CONTROLLER)?;
    let gap = here.largest_gap(&begun)?.as_secs_f64();
    context.figure(Line::fact("largest gap of a writer on the other node", gap, "s"));
    here.never_restarted()?;
    let records = there.end_intact(&told)? + here.end_intact(&here.numbers()?)?;
    context.figure(Line::fact("records, all as they were written", records, ""));
    Ok(())
}

fn lost(context: &Context<'_>) -> Result<(), LabError> {
    let (lab, nodes) = (context.lab()?, context.nodes()?);
    let [stays, goes] = [&nodes[0], &nodes[nodes.len() - 1]];
    context.claim("data")?;
    context.cluster().create(&deployment(context, goes))?;
    context.rolled_out(&context.namespace, "")?;
    let before = running_on(context, goes)?;
    let off = Instant::now();
    let replaced = lab.without_power(goes, || {
        let gone = format!("{goes} to be taken for lost");
        context.cluster().until::<Node, _>(&gone, "", "", PATIENCE, |known| {
            let is_lost = known.iter().any(|node| name_of(node) == goes && !is_true(node, "Ready"));
            if is_lost { Ok(()) } else { Err("it is Ready".to_owned()) }
        })?;
        let noticed = off.elapsed();
        let machine = lab.machine(stays)?;
        let first = format!("cat /run/lab-writers/{}/survivor-* >/dev/null 2>&1", context.namespace);
        machine.wait_for("the first record of the replacement", EVICTED, &first)?;
        Ok((noticed, off.elapsed(), running_on(context, stays)?))
    });
    let (noticed, written, pod) = replaced?;
    context.check(pod != before, || format!("{pod} was never replaced"))?;
    for (name, time) in
        [("until Kubernetes takes the node for lost", noticed), ("until the replacement's first record", written)]
    {
        context.figure(Line::fact(&format!("from the power cut {name}"), time.as_secs_f64(), "s"));
    }
    lab.wait_ready(&[goes], BOOTED)?;
    context.cluster().gone::<Pod>(&context.namespace, &[&before])?;
    plugin_ready(context, goes)?;
    context.rolled_out(&context.driver.namespace, CONTROLLER)
}

/// How long a replacement may take to write: a node is lost after a minute, and its pods are evicted after [`TOLERATED`].
const EVICTED: Duration = Duration::from_mins(12);
/// What Kubernetes gives every pod: seconds for which it stays on a node that is lost.
const TOLERATED: u32 = 300;

/// A writer that would rather run on `node`, and may run elsewhere.
fn deployment(context: &Context<'_>, node: &str) -> Value {
    let mut pod = writing(context, context.pod_object("survivor", "data", "", &script(PAUSE)), "survivor");
    let labels = pod["metadata"]["labels"].take();
    let term = json!({ "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] }] });
    pod["spec"]["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "preference": term }] } });
    let lost = |key: &str| {
        json!({ "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": TOLERATED })
    };
    pod["spec"]["tolerations"] = json!([lost("unreachable"), lost("not-ready")]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "survivor", "namespace": context.namespace },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "survivor" } },
            "template": { "metadata": { "labels": labels }, "spec": pod["spec"].take() },
        },
    })
}

/// Name of the Deployment's pod on a node.
fn running_on(context: &Context<'_>, node: &str) -> Result<String, LabError> {
    let pods = context.cluster().list::<Pod>(&context.namespace, "app=survivor")?;
    let found = pods.iter().find(|pod| pod["spec"]["nodeName"] == node);
    found
        .map(|pod| name_of(pod).to_owned())
        .ok_or_else(|| LabError::Unmet(format!("no pod of the Deployment on {node}")))
}
