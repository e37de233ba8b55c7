//! Names as long as Kubernetes allows.

use serde_json::json;

use super::{Context, Scenario, context::claim, share::share_root};
use crate::cluster::LabError;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "long-names",
    about: "a claim with a name of 200 characters, which its directory bears too, is bound and mounted",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (class, name) =
        (format!("{}-named", context.namespace), "long-".repeat(40).trim_end_matches('-').to_owned() + "x");
    context.check(name.len() == 200, || format!("the name has {} characters", name.len()))?;
    let backend = &context.driver.backend;
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": class },
        "provisioner": context.driver.name,
        "parameters": { "server": backend.server, "share": backend.share,
            "subDir": "${pvc.metadata.name}-${pvc.metadata.namespace}" },
    });
    context.kubectl().create(object.to_string())?;
    context.kubectl().create(claim(&context.namespace, &name, &class, "1Gi").to_string())?;
    let volume = context.bound(&name)?;
    let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap_or_default();
    context
        .check((1..=128).contains(&handle.len()), || format!("the volume's id has {} bytes: {handle}", handle.len()))?;
    let directory = format!("{name}-{}", context.namespace);
    let names = share_root(context)?;
    context.check(names.contains(&directory), || format!("the share holds {names:?}"))?;
    context.pod("user", &name, "", "echo here > /data/file && sleep 3600")?;
    context.pod_ready("user")?;
    let found = context.kubectl().exec_text(&context.namespace, "user", &["cat", "/data/file"])?;
    context.check(found.trim() == "here", || format!("the file holds {found:?}"))?;
    context.kubectl().run(&["delete", "storageclass", &class]).map(drop)
}
