//! What lies on the share, seen beside the driver's dynamic volumes.

use k8s_openapi::api::core::v1::Pod;
use labkit::base::LabError;
use serde_json::json;

use super::{Context, context::claim};
use crate::cluster::nfs::Backend;

/// Names at the root of the share: on the server's disk where the lab allows it, else through a pod.
pub(super) fn share_root(context: &Context<'_>) -> Result<Vec<String>, LabError> {
    match context.lab {
        Some(_) => share_root_of(context, &context.driver.backend),
        None => Ok(lines(&in_share(context, "ls -A")?)),
    }
}

/// Names at the root of the share of one of the lab's servers, on that server's disk.
pub(super) fn share_root_of(context: &Context<'_>, backend: &Backend) -> Result<Vec<String>, LabError> {
    Ok(lines(&context.lab()?.list_share(&backend.server)?))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Makes a claim and the static volume that it is bound to, a directory of a share of any server or (empty) all of it; both go with
/// the scenario.
pub(super) fn static_claim(
    context: &Context<'_>,
    name: &str,
    backend: &Backend,
    directory: &str,
) -> Result<(), LabError> {
    let (volume, namespace) = (format!("{}-{name}", context.namespace), &context.namespace);
    let Backend { server, share } = backend;
    let object = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": volume, "labels": context.labels() },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "claimRef": { "name": name, "namespace": namespace }, "persistentVolumeReclaimPolicy": "Retain",
            "csi": { "driver": context.driver.name, "volumeHandle": format!("{name}-of-{namespace}"),
                "volumeAttributes": { "server": server, "share": share, "subDir": directory } },
        },
    });
    let mut claim = claim(namespace, name, "", "1Gi");
    claim["spec"]["volumeName"] = json!(volume);
    context.cluster().create_all([&object, &claim])
}

/// Runs a shell script in the share's root, in a pod that mounts it as a static volume, which goes with the scenario.
pub(super) fn in_share(context: &Context<'_>, script: &str) -> Result<String, LabError> {
    let namespace = &context.namespace;
    if context.cluster().get::<Pod>(namespace, "root")?.is_none() {
        static_claim(context, "root", &context.driver.backend, "")?;
        context.pod("root", "root", "", "sleep 3600")?;
        context.pod_ready("root")?;
    }
    context.cluster().kubectl().exec_text(namespace, "root", &["sh", "-c", &format!("cd /data && {script}")])
}
