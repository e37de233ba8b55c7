//! A share whose server takes the controller for nobody.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use labkit::base::LabError;
use serde_json::json;

use super::{Context, Scenario};
use crate::cluster::nfs;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "squashed",
    about: "on a share where root is nobody a volume is made, even of what a crash has left, used and deleted",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let server = context.lab()?.machine(nfs::MACHINE)?;
    let share = format!("{}/{}", nfs::SQUASHED_SHARE, context.namespace);
    server.sh(&format!("install -d -m 777 {share}"))?;
    // The class comes after the claim, so that the volume's name is known before the volume is made.
    let class = context.class_name("squashed");
    context.claim_of("squashed", &class)?;
    let claim = context.cluster().get::<PersistentVolumeClaim>(&context.namespace, "squashed")?.unwrap_or_default();
    let volume = format!("{share}/pvc-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
    // A directory that was begun: its owner, who is not root, may not look into it.
    server.sh(&format!("install -d -m 0 -o 65534 -g 65534 {volume}"))?;
    context.class("squashed", &json!({ "server": context.driver.backend.server, "share": share }))?;
    context.bound("squashed")?;
    context.pod("user", "squashed", "", "echo here > /data/file && sleep 3600")?;
    context.pod_ready("user")?;
    let found = server.sh(&format!("cat {volume}/file; stat -c '%u %a' {share}/.berth/closed"))?;
    context.check(found == "here\n65534 0\n", || format!("on the server there is {found:?}"))?;
    context.cluster().delete::<Pod>(&context.namespace, "user")?;
    context.cluster().delete::<PersistentVolumeClaim>(&context.namespace, "squashed")?;
    let gone = format!("for n in $(seq 300); do test -e {volume} || exit 0; sleep 0.2; done; exit 1");
    server.sh(&gone).map(drop)
}
