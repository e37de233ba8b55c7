//! What lies on the share, seen beside the driver's dynamic volumes.

use k8s_openapi::api::core::v1::PersistentVolume;
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

/// Runs a shell script in the share's root, in a pod that mounts it as a static volume, which goes with the scenario.
pub(super) fn in_share(context: &Context<'_>, script: &str) -> Result<String, LabError> {
    let (name, namespace) = (format!("{}-root", context.namespace), &context.namespace);
    let Backend { server, share } = &context.driver.backend;
    if context.cluster().get::<PersistentVolume>("", &name)?.is_none() {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name, "labels": context.labels() },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                "claimRef": { "name": "root", "namespace": namespace }, "persistentVolumeReclaimPolicy": "Retain",
                "csi": { "driver": context.driver.name, "volumeHandle": format!("root-of-{namespace}"),
                    "volumeAttributes": { "server": server, "share": share } },
            },
        });
        let mut claim = claim(namespace, "root", "", "1Gi");
        claim["spec"]["volumeName"] = json!(name);
        context.cluster().create_all([&volume, &claim])?;
        context.pod("root", "root", "", "sleep 3600")?;
        context.pod_ready("root")?;
    }
    context.cluster().kubectl().exec_text(namespace, "root", &["sh", "-c", &format!("cd /data && {script}")])
}
