//! A server that takes the controller but refuses the nodes: the pod's events say so.

use k8s_openapi::api::core::v1::Pod;
use labkit::base::LabError;
use serde_json::json;

use super::{
    Context, Scenario,
    events::{told, words},
};
use crate::cluster::nfs;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "refused-mount",
    about: "an export that demands low ports serves the controller, and a pod that cannot mount it is told why",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let server = &context.driver.backend.server;
    let class = context.class("low-port", &json!({ "server": server, "share": nfs::LOW_PORT_SHARE }))?;
    context.claim_of("low-port", &class)?;
    // The controller's pod may use low ports; mounts come from high ones unless the class says otherwise.
    context.bound("low-port")?;
    context.pod("refused", "low-port", "", "sleep 3600")?;
    told(context, "refused", "FailedMount", &words(&[server, nfs::LOW_PORT_SHARE, "resvport"]))?;
    context.cluster().delete::<Pod>(&context.namespace, "refused")
}
