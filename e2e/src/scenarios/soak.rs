//! Many volumes come and go on one node.

use std::{thread, time::Duration};

use labkit::base::LabError;
use serde_json::Value;

use super::{Context, Scenario, restart::plugin_ready};
use crate::{
    cluster::{binaries::Binaries, machine::Machine, nfs},
    report::Line,
};

/// Directories that are published by turns.
const VOLUMES: usize = 100;
/// How long the plugin is left alone before it is looked at.
const REST: Duration = Duration::from_secs(90);
/// Most memory that a plugin may have afterwards, in MB.
const MEMORY: f64 = 12.0;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "soak",
    about: "after thousands of publishes and unpublishes a node's plugin has the threads and descriptors of an idle one",
    needs_lab: true,
    run,
};

/// What a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holdings {
    threads: u32,
    descriptors: u32,
    /// Kibibytes of resident memory.
    memory: u32,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let node = context.nodes()?[0].clone();
    let (machine, server) = (context.lab()?.machine(&node)?, context.lab()?.machine(nfs::MACHINE)?);
    let cycles = context.sized(500, 10_000);
    context.timeline.note("building the load generator (minutes the first time)");
    machine.copy_in(&Binaries::build()?.load_generator()?, "/usr/local/bin/lab-load", 0o755)?;
    let directory = format!("{}/{}", context.driver.backend.share, context.namespace);
    server.sh(&format!("for i in $(seq 0 {VOLUMES}); do mkdir -p {directory}/$i; done"))?;
    // A plugin that has just started has done nothing yet that a later one would have to give back.
    plugin_ready(context, &node)?;
    publish(context, machine, 10)?;
    thread::sleep(REST);
    let before = holdings(machine)?;
    let figures = publish(context, machine, cycles)?;
    thread::sleep(REST);
    let after = holdings(machine)?;
    server.sh(&format!("rm -rf {directory}"))?;
    context.figure(Line::fact("publishes and unpublishes, one after the other", cycles, ""));
    context.figure(Line::fact("one of both, median", figures["median_us"].as_f64().unwrap_or_default() / 1000.0, "ms"));
    for (name, before, after) in
        [("threads", before.threads, after.threads), ("descriptors", before.descriptors, after.descriptors)]
    {
        let line =
            Line::against(&format!("{name} afterwards"), after, "", format!("<= {before}, as before"), after <= before);
        context.figure(line);
    }
    let megabytes = |kibibytes: u32| f64::from(kibibytes) * 1024.0 / 1e6;
    context.figure(Line::fact("resident memory before", megabytes(before.memory), "MB"));
    context.figure(Line::at_most("resident memory afterwards", megabytes(after.memory), "MB", MEMORY));
    let left = machine.sh(&format!("grep -c {} /proc/1/mountinfo || true", context.namespace))?;
    context.check(left.trim() == "0", || format!("{} mounts are left", left.trim()))
}

fn publish(context: &Context<'_>, machine: &Machine, cycles: usize) -> Result<Value, LabError> {
    let backend = &context.driver.backend;
    let script = format!(
        "mkdir -p /var/lib/kubelet/pods/{namespace} && for i in $(seq {rounds}); do \
         lab-load publish --endpoint unix:///var/lib/kubelet/plugins/{driver}/csi.sock --volume {namespace}-{{}} \
         --context server={server} --context share={share} --context subDir={namespace}/{{}} \
         --target /var/lib/kubelet/pods/{namespace}/mount --count {count} || exit 1; done; \
         rm -rf --one-file-system /var/lib/kubelet/pods/{namespace}",
        namespace = context.namespace,
        driver = context.driver.name,
        server = backend.server,
        share = backend.share,
        rounds = cycles.div_ceil(VOLUMES),
        count = cycles.min(VOLUMES),
    );
    let text = machine.sh_within(&script, Duration::from_mins(30))?;
    serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(LabError::reply("lab-load"))
}

fn holdings(machine: &Machine) -> Result<Holdings, LabError> {
    let script = "cd /proc/$(pidof berth-node); ls task | wc -l; ls fd | wc -l; awk '/^VmRSS:/ { print $2 }' status";
    let text = machine.sh(script)?;
    let figures: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    match figures[..] {
        [threads, descriptors, memory] => Ok(Holdings { threads, descriptors, memory }),
        _ => Err(LabError::Unmet(format!("what berth-node has on {}: {text:?}", machine.name()))),
    }
}
