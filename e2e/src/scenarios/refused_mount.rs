//! A server that takes the controller but refuses the nodes: the pod's events say so.

use serde_json::json;

use super::{
    Context, Scenario,
    context::claim,
    events::{told, words},
};
use crate::cluster::{LabError, nfs};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "refused-mount",
    about: "an export that demands low ports serves the controller, and a pod that cannot mount it is told why",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (class, server) = (format!("{}-low-port", context.namespace), &context.driver.backend.server);
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": class },
        "provisioner": context.driver.name, "parameters": { "server": server, "share": nfs::LOW_PORT_SHARE },
    });
    context.kubectl().create(object.to_string())?;
    context.kubectl().create(claim(&context.namespace, "low-port", &class, "1Gi").to_string())?;
    // The controller's pod may use low ports; mounts come from high ones unless the class says otherwise.
    context.bound("low-port")?;
    context.pod("refused", "low-port", "", "sleep 3600")?;
    told(context, "refused", "FailedMount", &words(&[server, nfs::LOW_PORT_SHARE, "resvport"]))?;
    context.kubectl().run(&["delete", "pod", "refused", "-n", &context.namespace, "--timeout=120s"])?;
    context.kubectl().run(&["delete", "storageclass", &class]).map(drop)
}
