//! The node plugin is updated to another image under writers.

use std::{thread, time::Duration};

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::api::DeleteParams;
use labkit::base::LabError;
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    restart::{plugin_pod, plugin_ready},
    writers::{Group, Writers},
};
use crate::{cluster::api::name_of, report::Line};

/// Another name of the image that the driver was installed from: kubelet takes it for another image.
const OTHER: &str = "localhost/berth:updated";
/// What the chart calls the plugin's DaemonSet.
const DAEMON_SET: &str = "berth-node";
/// How long an update of all nodes may take, one after the other.
const UPDATED: Duration = Duration::from_mins(8);
/// A writer waits so long after each record; no gap is smaller.
const PAUSE: Duration = Duration::from_millis(20);
/// How much longer a write may wait than without an update.
const GOAL: f64 = 100.0;
/// How long a write waits if it waits for the plugin, and not for a processor.
const FROZEN: Duration = Duration::from_secs(5);

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "plugin-updated",
    about: "writers notice nothing of an update of the node plugin to another image; new pods start after it, and old ones end",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let nodes = context.nodes()?;
    for node in context.lab()?.nodes() {
        node.sh(&format!("ctr -n k8s.io images tag --force {} {OTHER} >/dev/null", context.driver.image))?;
    }
    let count = context.sized(2, 8);
    let group = Group { name: "writer", class: &context.driver.class, nodes: &nodes, count, pause: PAUSE };
    let writers = Writers::start(context, group)?;
    let (mut without, mut with) = (Duration::ZERO, Duration::ZERO);
    for round in 0..context.sized(1, 3) {
        let begun = writers.mark()?;
        // A node that starts and ends containers has less time for writers, whatever they are.
        thread::sleep(Duration::from_secs(5));
        bystanders(context, &nodes, round)?;
        without = without.max(writers.largest_gap(&begun)?);
        let begun = writers.mark()?;
        let updated = update(context, &nodes, OTHER);
        // Whoever comes next finds the image that was installed.
        let back = update(context, &nodes, &context.driver.image);
        updated.and(back)?;
        with = with.max(writers.largest_gap(&begun)?);
    }
    writers.never_restarted()?;
    tell(context, without, with);
    context
        .check(with < without + FROZEN, || format!("a write waited for {with:?}, and {without:?} without an update"))?;
    let newcomers: Vec<String> = (0..nodes.len()).map(|number| format!("newcomer-{number}")).collect();
    for (name, node) in newcomers.iter().zip(&nodes) {
        context.pod(name, "writer-0", node, "test -s /data/writer-00 && sleep 3600")?;
    }
    newcomers.iter().try_for_each(|name| context.pod_ready(name))?;
    end(context, &newcomers)?;
    let records = writers.end_intact(&writers.numbers()?)?;
    context.figure(Line::fact("records, all as they were written", records, ""));
    Ok(())
}

fn tell(context: &Context<'_>, without: Duration, with: Duration) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let name = "largest gap between two synced writes while other containers come and go";
    context.figure(Line::fact(name, milliseconds(without), "ms"));
    context.figure(Line::fact("the same while the plugin is updated", milliseconds(with), "ms"));
    context.figure(Line::at_most("the update's part of it", milliseconds(with.saturating_sub(without)), "ms", GOAL));
}

/// Lets a pod that has nothing to do with any volume come and go on each node.
fn bystanders(context: &Context<'_>, nodes: &[String], round: u32) -> Result<(), LabError> {
    let names: Vec<String> = (0..nodes.len()).map(|number| format!("bystander-{round}-{number}")).collect();
    for (name, node) in names.iter().zip(nodes) {
        let mut pod = context.pod_object(name, "", node, "sleep 3600");
        pod["spec"]["volumes"] = json!([]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
        context.cluster().create(&pod)?;
    }
    names.iter().try_for_each(|name| context.pod_ready(name))?;
    end(context, &names)
}

/// Deletes pods and waits until all of them are gone.
fn end(context: &Context<'_>, pods: &[String]) -> Result<(), LabError> {
    let (cluster, namespace) = (context.cluster(), &context.namespace);
    pods.iter().try_for_each(|pod| cluster.begin_delete::<Pod>(namespace, pod, &DeleteParams::default()))?;
    cluster.gone::<Pod>(namespace, &pods.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Updates the plugin on every node and waits until it runs from the image there.
fn update(context: &Context<'_>, nodes: &[String], image: &str) -> Result<(), LabError> {
    let namespace = context.driver.namespace.as_str();
    let kubectl = context.cluster().kubectl();
    kubectl.run(&["set", "image", &format!("daemonset/{DAEMON_SET}"), &format!("node={image}"), "-n", namespace])?;
    context.cluster().until::<DaemonSet, _>("a finished update", namespace, "", UPDATED, |known| {
        let set = known.iter().find(|set| name_of(set) == DAEMON_SET).unwrap_or(&Value::Null);
        if is_updated(set) { Ok(()) } else { Err(set["status"].to_string()) }
    })?;
    for node in nodes {
        plugin_ready(context, node)?;
        let pod = plugin_pod(context, node)?;
        let pod = context.cluster().get::<Pod>(namespace, &pod)?.unwrap_or_default();
        let runs = &pod["spec"]["containers"][0]["image"];
        context.check(runs == image, || format!("on {node} it runs from {runs}"))?;
    }
    Ok(())
}

/// What `kubectl rollout status` waits for.
fn is_updated(set: &Value) -> bool {
    let status = &set["status"];
    let wanted = &status["desiredNumberScheduled"];
    status["observedGeneration"] == set["metadata"]["generation"]
        && ["updatedNumberScheduled", "numberAvailable"].iter().all(|count| status[count] == *wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_ends_when_every_node_has_the_new_plugin() {
        let set = |observed: u32, updated: u32, available: u32| {
            json!({
                "metadata": { "generation": 2 },
                "status": { "observedGeneration": observed, "desiredNumberScheduled": 2,
                    "updatedNumberScheduled": updated, "numberAvailable": available },
            })
        };
        assert!(is_updated(&set(2, 2, 2)));
        for [observed, updated, available] in [[1, 2, 2], [2, 1, 2], [2, 2, 1]] {
            assert!(!is_updated(&set(observed, updated, available)));
        }
        assert!(!is_updated(&json!({ "metadata": { "generation": 1 }, "status": { "desiredNumberScheduled": 0 } })));
    }
}
