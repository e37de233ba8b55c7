//! The state of the cluster at the moment a scenario failed, as files to read.

use std::{fs, path::PathBuf};

use labkit::base::{LabError, chain};

use super::Context;
use crate::{cluster::Lab, report};

/// Writes objects, events, the driver's logs and those of the lab's nodes below `target/report/dumps/NAMESPACE` and returns that folder.
pub(super) fn write(context: &Context<'_>) -> Result<PathBuf, LabError> {
    let dir = report::directory()?.join("dumps").join(&context.namespace);
    fs::create_dir_all(&dir).map_err(LabError::file(&dir))?;
    let own = &context.namespace;
    let driver = &context.driver.namespace;
    let pieces: &[(&str, &[&str])] = &[
        ("objects.txt", &["get", "pods,pvc,deployments,events", "-n", own, "-o", "wide"]),
        ("describe.txt", &["describe", "pods,pvc", "-n", own]),
        ("cluster.txt", &["get", "nodes,csinodes,csidrivers,storageclasses,pv", "-o", "wide"]),
        ("volumes.yaml", &["get", "pv", "-o", "yaml"]),
        ("driver.txt", &["describe", "pods", "-n", driver]),
        ("driver.log", &["logs", "-n", driver, "-l", "app.kubernetes.io/name=berth", "--prefix", "--tail=-1"]),
        (
            "driver-previous.log",
            &["logs", "-n", driver, "-l", "app.kubernetes.io/name=berth", "--prefix", "--tail=-1", "--previous"],
        ),
    ];
    for (file, words) in pieces {
        // A dump shows what it can: one piece that cannot be had says why in its own file.
        let text = context.cluster().kubectl().run(words).unwrap_or_else(|error| chain(&error));
        let path = dir.join(file);
        fs::write(&path, text).map_err(LabError::file(&path))?;
    }
    for node in context.lab.map(Lab::nodes).unwrap_or_default() {
        // kubelet, containerd, kube-proxy: the ends are about the failure.
        let text = node.sh("tail -n 400 /var/log/*.log; dmesg | tail -n 100").unwrap_or_else(|error| chain(&error));
        let path = dir.join(format!("{}.log", node.name()));
        fs::write(&path, text).map_err(LabError::file(&path))?;
    }
    Ok(dir)
}
