//! What the node plugin holds: memory, threads, descriptors, connections and superblocks.

use std::{path::Path, thread, time::Duration};

use labkit::base::LabError;

use super::{PODS, Stand};
use crate::{
    bench::footprint::resident,
    cluster::{binaries::Binaries, parts::LabParts, state::StateDir},
    report::{Line, Timeline},
};

/// Pods of a full node, each with a volume of its own.
const PODS_OF_A_NODE: usize = 110;
/// Volumes that are published at once.
const MANY: usize = 500;
/// How often a volume is published and unpublished.
const CYCLES: usize = 10_000;
/// How many of them are published at once.
const IN_FLIGHT: usize = 16;
/// How long the plugin is left alone before it is looked at: its threads end after a minute without work.
const REST: Duration = Duration::from_secs(75);

/// What a process has.
#[derive(Clone, Copy)]
struct Held {
    megabytes: f64,
    threads: f64,
    descriptors: f64,
}

pub(in crate::bench) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    generator: &Path,
    timeline: &Timeline,
) -> Result<Vec<Line>, LabError> {
    let stand = Stand::start(lab, parts, binaries, generator)?;
    let share = &stand.single.backend().share;
    stand.sh(&format!("cd {share}; mkdir $(seq -f pvc-%g 0 {})", MANY - 1))?;
    let publish = |target: &str, count: usize, words: &str| {
        let publish = stand.publish(&stand.endpoint, share, "pvc-{}", target, count);
        stand.load("", &format!("{publish} --in-flight {IN_FLIGHT} {words}")).map(drop)
    };
    let idle = held_after_rest(&stand)?;
    publish("kept-{}", PODS_OF_A_NODE, "--keep")?;
    let connections = stand.number("awk '$3 ~ /:0801$/ && $4 == \"01\"' /proc/net/tcp | wc -l")?;
    let superblocks =
        stand.number(&format!("awk '$5 ~ \"^{PODS}/\" {{ print $3 }}' /proc/self/mountinfo | sort -u | wc -l"))?;
    publish("kept-{}", MANY, "--keep")?;
    let full = held_after_rest(&stand)?;
    timeline.note(&format!("{CYCLES} times published and unpublished"));
    for _ in 0..CYCLES / MANY {
        publish("cycle-{}", MANY, "")?;
    }
    let worn = held_after_rest(&stand)?;
    let mounts = stand.number(&format!("grep -c ' {PODS}/cycle-' /proc/self/mountinfo || true"))?;
    Ok(vec![
        Line::at_most("node RSS before the first volume", idle.megabytes, "MB", 8.0),
        Line::at_most(&format!("node RSS with {MANY} volumes"), full.megabytes, "MB", 12.0),
        Line::at_most(&format!("node RSS after {CYCLES} more publishes"), worn.megabytes, "MB", 12.0),
        Line::at_most("threads then, over those before the first volume", worn.threads - idle.threads, "", 0.0),
        // The root of the one share stays open while volumes of it are published.
        Line::at_most("descriptors then, over those before", worn.descriptors - idle.descriptors, "", 1.0),
        Line::at_most("mounts left by them", mounts, "", 0.0),
        one(&format!("connections for {PODS_OF_A_NODE} volumes of a share"), connections),
        one(&format!("superblocks for {PODS_OF_A_NODE} volumes of a share"), superblocks),
    ])
}

/// A count that is to be one: none would be a count of something else.
fn one(name: &str, count: f64) -> Line {
    Line::against(name, count, "", "= 1", (count - 1.0).abs() < 0.5)
}

fn held_after_rest(stand: &Stand<'_>) -> Result<Held, LabError> {
    thread::sleep(REST);
    let status = stand.sh("cat /proc/$(pidof berth-node)/status")?;
    let megabytes =
        resident(&status).ok_or_else(|| LabError::Unmet("no VmRSS in the status of berth-node".to_owned()))?;
    let count = |of: &str| stand.number(&format!("ls /proc/$(pidof berth-node)/{of} | wc -l"));
    Ok(Held { megabytes, threads: count("task")?, descriptors: count("fd")? })
}
