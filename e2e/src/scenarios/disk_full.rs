//! The disk of a server is full.

use k8s_openapi::api::core::v1::Pod;
use labkit::base::LabError;

use super::{Context, Scenario, share::static_claim};
use crate::cluster::nfs::{Backend, MACHINE, SMALL_SHARE};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "disk-full",
    about: "a pod on a full disk is told so; pods start and end there all the same, and write when there is room again",
    needs_lab: true,
    run,
};

/// What a shell says of a write for which there is no room.
const FULL: &str = "No space left on device";

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (cluster, node) = (context.cluster(), context.nodes()?[0].clone());
    let server = context.lab()?.machine(MACHINE)?;
    let directory = format!("{SMALL_SHARE}/{}", context.namespace);
    server.sh(&format!("install -d -m 777 {directory}"))?;
    let backend = Backend { server: context.driver.backend.server.clone(), share: SMALL_SHARE.to_owned() };
    static_claim(context, "data", &backend, &context.namespace)?;
    let filled = || {
        context.pod("writer", "data", &node, "sleep 3600")?;
        context.pod_ready("writer")?;
        let fill = "dd if=/dev/zero of=/data/filler bs=1M count=64 conv=fsync";
        let done = cluster.kubectl().exec(&context.namespace, "writer", &["sh", "-c", fill], &[])?;
        let told = done.printed();
        context.check(!done.status.success() && told.contains(FULL), || format!("64 MiB on a disk of 32: {told:?}"))?;
        context.pod("newcomer", "data", &node, "test -s /data/filler && sleep 3600")?;
        context.pod_ready("newcomer")?;
        cluster.delete::<Pod>(&context.namespace, "newcomer")?;
        let again = "rm /data/filler && echo there is room >/data/file && sync && cat /data/file";
        let read = cluster.kubectl().exec_text(&context.namespace, "writer", &["sh", "-c", again])?;
        context.check(read == "there is room\n", || format!("when there is room again the pod reads {read:?}"))?;
        cluster.delete::<Pod>(&context.namespace, "writer")
    };
    let done = filled();
    // Other scenarios want the small disk as they know it.
    server.sh(&format!("rm -rf {directory}"))?;
    done
}
