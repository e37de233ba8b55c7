//! The driver is uninstalled and installed again under living pods.

use std::{
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use labkit::base::LabError;
use serde_json::Value;

use super::{
    Context, Scenario,
    context::PATIENCE,
    writers::{Group, Writers},
};
use crate::{
    cluster::{api::is_true, api::name_of, machine::Machine},
    report::Line,
};

/// A writer waits so long after each record.
const PAUSE: Duration = Duration::from_millis(100);

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "reinstalled",
    about: "pods go on while the driver is uninstalled, nothing but their mounts is left, and all is well when it is installed again",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (nodes, cluster) = (context.nodes()?, context.cluster());
    let release = context.driver.release.as_ref();
    let release = release.ok_or_else(|| LabError::Precondition("this needs the chart's installation".to_owned()))?;
    let count = context.sized(2, 8);
    let group = Group { name: "writer", class: &context.driver.class, nodes: &nodes, count, pause: PAUSE };
    let writers = Writers::start(context, group)?;
    let claim = context.claim("kept")?;
    let volume = name_of(&context.bound(&claim)?).to_owned();
    context.pod("leaver", &claim, &nodes[0], "echo here >/data/file && sleep 3600")?;
    context.pod_ready("leaver")?;
    let begun = writers.mark()?;

    let meanwhile = release.uninstall(cluster).and_then(|()| {
        context.timeline.note("the driver is uninstalled");
        uninstalled(context, &writers, &claim, &nodes[0])
    });
    // Whoever comes next finds the driver installed.
    let installed = Instant::now();
    release.install(cluster)?;
    meanwhile?;
    context.timeline.note("the driver is installed again");
    cluster.gone::<Pod>(&context.namespace, &["leaver"])?;
    context.pod_ready("newcomer")?;
    context.figure(Line::fact(
        "from the installation until who waited was served",
        installed.elapsed().as_secs_f64(),
        "s",
    ));
    let left = context.lab()?.machine(&nodes[0])?.sh(&format!("grep -c {volume} /proc/1/mountinfo || true"))?;
    context.check(left.trim() == "1", || format!("{} mounts of a volume that one pod uses", left.trim()))?;
    context.figure(Line::fact("largest gap of a writer", writers.largest_gap(&begun)?.as_secs_f64(), "s"));
    writers.never_restarted()?;
    cluster.delete::<Pod>(&context.namespace, "newcomer")?;
    let records = writers.end_intact(&writers.numbers()?)?;
    context.figure(Line::fact("records, all as they were written", records, ""));
    Ok(())
}

/// What has to hold while there is no driver. A pod is told to end, and another one to start.
fn uninstalled(context: &Context<'_>, writers: &Writers<'_>, claim: &str, node: &str) -> Result<(), LabError> {
    for machine in context.lab()?.nodes() {
        nothing_left(machine)?;
    }
    context.cluster().begin_delete::<Pod>(&context.namespace, "leaver", &DeleteParams::default())?;
    context.pod("newcomer", claim, node, "grep -qx here /data/file && sleep 3600")?;
    let pause = Duration::from_secs(context.sized(10, 60));
    thread::sleep(pause);
    writers.go_on(&writers.mark()?, PATIENCE)?;
    let newcomer = context.cluster().get::<Pod>(&context.namespace, "newcomer")?.unwrap_or(Value::Null);
    context.check(!is_true(&newcomer, "Ready"), || "a pod got its volume without a driver".to_owned())
}

/// Waits until no process of the driver runs on a node and its only NFS mounts are those of pods.
fn nothing_left(machine: &Machine) -> Result<(), LabError> {
    let others = "awk '/ - nfs4? / && $5 !~ /^\\/var\\/lib\\/kubelet\\/pods\\//' /proc/1/mountinfo";
    let gone = format!("! pidof berth-node >/dev/null && test -z \"$({others} | tee /dev/stderr)\"");
    machine.wait_for("nothing of the driver but what pods hold", PATIENCE, &gone)
}
