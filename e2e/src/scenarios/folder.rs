//! Somebody removes the driver's folder on a node.

use std::{
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use labkit::base::LabError;

use super::{
    Context, Scenario, Size,
    restart::{plugin_pod, plugin_ready},
    writers::{Group, Writers},
};
use crate::{cluster::nfs, report::Line};

/// A writer waits so long after each record.
const PAUSE: Duration = Duration::from_millis(100);
/// How long kubelet may take to find that the plugin's socket is gone: six probes ten seconds apart, and a start.
const NOTICED: Duration = Duration::from_mins(5);

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "folder-removed",
    about: "the driver's folder is removed on a node: nothing on the server is touched, pods go on, and new ones start again",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let node = context.nodes()?[0].clone();
    let machine = context.lab()?.machine(&node)?;
    let nodes = [node.clone()];
    let group = Group { name: "writer", class: &context.driver.class, nodes: &nodes, count: 2, pause: PAUSE };
    let writers = Writers::start(context, group)?;
    // No pod has it mounted; whoever finds the share below the folder finds it too.
    let (server, bystander) =
        (context.lab()?.machine(nfs::MACHINE)?, format!("{}/{}", context.driver.backend.share, context.namespace));
    server.sh(&format!("mkdir {bystander} && echo here >{bystander}/file"))?;
    let begun = writers.mark()?;

    let folder = format!("/var/lib/kubelet/plugins/{}", context.driver.name);
    let mounted = machine.sh(&format!("grep -c ' {folder}/' /proc/1/mountinfo || true"))?;
    context.check(mounted.trim() == "0", || format!("{mounted} mounts lie in the folder, where rm -rf finds them"))?;
    machine.sh(&format!("test -S {folder}/csi.sock; rm -rf {folder}; ! test -e {folder}"))?;
    context.timeline.note(&format!("{folder} is removed on {node}"));
    context.pod("newcomer", "writer-0", &node, "test -s /data/writer-00 && sleep 3600")?;
    let waited = Instant::now();
    if context.size == Size::Short {
        // kubelet would do so by itself, a minute later.
        let pod = plugin_pod(context, &node)?;
        context.cluster().delete::<Pod>(&context.driver.namespace, &pod)?;
        plugin_ready(context, &node)?;
    }
    context.pod_ready_within("newcomer", NOTICED)?;
    let waited = waited.elapsed().as_secs_f64();
    context.figure(Line::fact("until a new pod runs on the node again", waited, "s"));
    machine.sh(&format!("test -S {folder}/csi.sock"))?;

    thread::sleep(Duration::from_secs(2));
    context.figure(Line::fact("largest gap of a writer", writers.largest_gap(&begun)?.as_secs_f64(), "s"));
    writers.never_restarted()?;
    let left = server.sh(&format!("cat {bystander}/file && rm -r {bystander}"))?;
    context.check(left == "here\n", || format!("a file of the share that nobody uses holds {left:?}"))?;
    context.cluster().delete::<Pod>(&context.namespace, "newcomer")?;
    let records = writers.end_intact(&writers.numbers()?)?;
    context.figure(Line::fact("records, all as they were written", records, ""));
    Ok(())
}
