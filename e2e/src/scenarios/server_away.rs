//! An NFS server is away under writers: it loses its power, cannot be reached, or never comes back. Pods on another server have
//! nothing to do with it.

use std::{
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use labkit::base::{LabError, chain, eventually};
use serde_json::json;

use super::{
    Context, Scenario,
    context::PATIENCE,
    plugins::{counted, threads},
    writers::{Group, Mark, Writers},
};
use crate::{cluster::nfs, report::Line};

/// A writer waits so long after each record.
const PAUSE: Duration = Duration::from_millis(100);
/// What the driver calls a thread that waits for a server longer than it may.
const STUCK: &str = "berth_stuck_threads";
/// Seconds within which a pod on a dead server has to be gone.
const DELETED: f64 = 10.0;
/// Pods on the dead server that are deleted, one after the other.
const DELETIONS: usize = 3;

/// See [`killed`].
pub(super) const KILLED: Scenario = Scenario {
    name: "server-killed",
    about: "a server loses its power under writers and comes back: all of them go on, and another server's pods notice nothing",
    needs_lab: true,
    run: killed,
};

/// See [`unreachable`].
pub(super) const UNREACHABLE: Scenario = Scenario {
    name: "server-unreachable",
    about: "the network to a server is cut under writers and mended: all of them go on, and another server's pods notice nothing",
    needs_lab: true,
    run: unreachable,
};

/// See [`gone`].
pub(super) const GONE: Scenario = Scenario {
    name: "server-gone",
    about: "pods of a server that never answers again are deleted in seconds, and its threads do not add up",
    needs_lab: true,
    run: gone,
};

fn killed(context: &Context<'_>) -> Result<(), LabError> {
    away(context, |work| context.lab()?.without_power(nfs::MACHINE, work))
}

fn unreachable(context: &Context<'_>) -> Result<(), LabError> {
    away(context, |work| without_network(context, work))
}

/// Lets the server be away by `fault`, which does the work that it is given meanwhile.
fn away(
    context: &Context<'_>,
    fault: impl FnOnce(&mut dyn FnMut() -> Result<Mark, LabError>) -> Result<Mark, LabError>,
) -> Result<(), LabError> {
    let nodes = context.nodes()?;
    let Scene { writers, others } = Scene::set(context, &nodes, context.sized(4, 20))?;
    let alone = publish(context, "alone", &nodes)?;
    let told = writers.numbers()?;
    let before = others.mark()?;
    let off = Instant::now();
    let (mut beside, mut away) = (Duration::ZERO, Duration::ZERO);
    let still = fault(&mut || {
        let still = writers.stand_still()?;
        beside = publish(context, "beside", &nodes)?;
        let outage = Duration::from_secs(context.sized(40, 300));
        thread::sleep(outage.saturating_sub(off.elapsed()));
        away = off.elapsed();
        Ok(still)
    })?;
    context.timeline.note("the server is back");
    let resumed = writers.go_on(&still, PATIENCE)?;
    context.figure(Line::fact("the server was away for", away.as_secs_f64(), "s"));
    context.figure(Line::fact("from its return until every writer has gone on", resumed.as_secs_f64(), "s"));
    context.figure(Line::fact("a pod on another server, until it runs", alone.as_secs_f64(), "s"));
    context.figure(Line::fact("the same while the first one is away", beside.as_secs_f64(), "s"));
    context
        .check(beside < alone * 3 + Duration::from_secs(30), || format!("a pod on another server took {beside:?}"))?;
    let gap = others.largest_gap(&before)?.as_secs_f64();
    context.figure(Line::fact("largest gap of a writer on the other server", gap, "s"));
    for node in &nodes {
        let what = format!("no thread on {node} to wait for the server that is back");
        eventually(&what, PATIENCE, Duration::from_secs(1), || {
            let stuck = counted(context, node, STUCK).map_err(|error| chain(&error))?;
            if stuck < 0.5 { Ok(()) } else { Err(format!("{stuck} wait")) }
        })?;
    }
    writers.never_restarted()?;
    others.never_restarted()?;
    context.figure(Line::fact("until the other server's writers are deleted", others.end()?.as_secs_f64(), "s"));
    let records = writers.end_intact(&told)?;
    context.figure(Line::fact("records, all as they were written", records, ""));
    Ok(())
}

fn gone(context: &Context<'_>) -> Result<(), LabError> {
    let nodes = context.nodes()?;
    let Scene { writers, others } = Scene::set(context, &nodes, context.sized(4, 20))?;
    let before = census(context, &nodes, "before")?;
    // It is there again at the end, because its volumes could not be deleted otherwise.
    let after = without_network(context, || {
        writers.stand_still()?;
        thread::sleep(Duration::from_secs(context.sized(20, 120)));
        census(context, &nodes, "when the server has been silent for minutes")?;
        for number in 0..DELETIONS {
            let begun = Instant::now();
            context.cluster().delete::<Pod>(&context.namespace, &writers.name(number))?;
            let took = begun.elapsed().as_secs_f64();
            context.figure(Line::at_most("a pod of the dead server is deleted in", took, "s", DELETED));
        }
        census(context, &nodes, "when three of its pods are deleted")
    })?;
    for (node, (before, after)) in nodes.iter().zip(before.iter().zip(&after)) {
        let more = after.saturating_sub(*before);
        context.check(more <= 3, || format!("the plugin on {node} has {more} threads more for one share"))?;
    }
    others.never_restarted()?;
    writers.end()?;
    others.end().map(drop)
}

/// Threads of the plugin on each node; tells them, and kubelet's.
fn census(context: &Context<'_>, nodes: &[String], when: &str) -> Result<Vec<u32>, LabError> {
    nodes
        .iter()
        .map(|node| {
            let machine = context.lab()?.machine(node)?;
            let (plugin, kubelet) = (threads(machine, "berth-node")?, threads(machine, "kubelet")?);
            for (program, (all, waiting)) in [("berth-node", plugin), ("kubelet", kubelet)] {
                let name = format!("threads of {program} on {node} {when}");
                context.figure(Line::fact(&name, format!("{all}, of which {waiting} wait for the kernel"), ""));
            }
            Ok(plugin.0)
        })
        .collect()
}

/// Writers on the server that will be away, and others on another one.
struct Scene<'a> {
    writers: Writers<'a>,
    others: Writers<'a>,
}

impl<'a> Scene<'a> {
    fn set(context: &'a Context<'a>, nodes: &[String], count: usize) -> Result<Self, LabError> {
        let other = context.lab()?.ganesha();
        let class = context.class("other", &json!({ "server": other.server, "share": other.share }))?;
        let group = |name, class, count| Group { name, class, nodes, count, pause: PAUSE };
        let writers = Writers::start(context, group("writer", context.driver.class.as_str(), count))?;
        let others = Writers::start(context, group("other", class.as_str(), nodes.len()))?;
        Ok(Self { writers, others })
    }
}

/// Starts a pod with a volume of the other server on each node and deletes it: the longest time until one ran.
fn publish(context: &Context<'_>, name: &str, nodes: &[String]) -> Result<Duration, LabError> {
    let mut longest = Duration::ZERO;
    for (number, node) in nodes.iter().enumerate() {
        let (name, begun) = (format!("{name}-{number}"), Instant::now());
        context.pod(&name, "other-0", node, "test -s /data/other-00 && sleep 3600")?;
        context.pod_ready(&name)?;
        longest = longest.max(begun.elapsed());
        context.cluster().delete::<Pod>(&context.namespace, &name)?;
    }
    Ok(longest)
}

/// Does `work` while nothing reaches the NFS server of the lab's machine for it, and nothing comes from it.
fn without_network<T>(context: &Context<'_>, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
    let server = context.lab()?.machine(nfs::MACHINE)?;
    let change = |how: &str| {
        let rules = ["INPUT -p tcp --dport 2049 -j DROP", "OUTPUT -p tcp --sport 2049 -j DROP"];
        rules.iter().try_for_each(|rule| server.sh(&format!("iptables -w {how} {rule}")).map(drop))
    };
    change("-I")?;
    let done = work();
    change("-D")?;
    done
}
