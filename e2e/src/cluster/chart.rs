//! The chart: rendered into manifests, and installed on a cluster.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use super::{Kubectl, nfs::Backend};
use crate::base::{LabError, Tool, checkout};

/// Namespace of an installation, by convention.
pub const NAMESPACE: &str = "berth-system";
/// Name of the release.
const RELEASE: &str = "berth";
const CHART: &str = "charts/berth";
/// The oldest Kubernetes that the chart declares itself for; away from a cluster, helm takes what it was built with.
const OLDEST: &str = "1.26.0";
const RENDERED: &str = "manifests/install.yaml";

/// What the chart's values must say for one installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Image without its tag.
    pub repository: String,
    /// Tag of the image.
    pub tag: String,
    /// What the class `efs-sc` provisions on.
    pub backend: Backend,
}

/// Lints the chart and writes `manifests/install.yaml`; with `check`, only compares, and fails where they differ.
pub fn manifests(helm: &Path, check: bool) -> Result<(), LabError> {
    for values in ["install-values.yaml", "class-values.yaml"] {
        let values = format!("{CHART}/ci/{values}");
        in_checkout(helm, &["lint", "--strict", CHART, "--kube-version", OLDEST, "--values", &values])?;
    }
    let head_file = checkout().join(CHART).join("ci/install.head.yaml");
    let head = fs::read_to_string(&head_file).map_err(LabError::file(&head_file))?;
    let values = format!("{CHART}/ci/install-values.yaml");
    let words = ["template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", &values];
    let rendered = head + &in_checkout(helm, &[&words[..], &["--kube-version", OLDEST]].concat())?;
    let path = checkout().join(RENDERED);
    if !check {
        return fs::write(&path, rendered).map_err(LabError::file(&path));
    }
    if fs::read_to_string(&path).is_ok_and(|committed| committed == rendered) {
        return Ok(());
    }
    Err(LabError::Unmet(format!("{RENDERED} is not what the chart renders to: run `make manifests` and commit it")))
}

/// Installs the chart, or brings an installation to these values, and waits until its pods are ready.
pub fn install(helm: &Path, kubectl: &Kubectl, installation: &Installation) -> Result<(), LabError> {
    let Installation { repository, tag, backend } = installation;
    Tool::new(helm)
        .dir(checkout())
        .env("KUBECONFIG", kubectl.kubeconfig())
        .args(["upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace"])
        .args(["--wait", "--timeout=5m"])
        .args(["--set-string", &format!("image.repository={repository},image.tag={tag}")])
        .args(["--set-string", &format!("storageClass.server={},storageClass.share={}", backend.server, backend.share)])
        // A claim that fails shall be tried again soon: scenarios repair what they broke and wait.
        .args(["--set-string", "controller.retryIntervalMax=10s"])
        .deadline(Duration::from_mins(6))
        .output()
        .map(drop)
}

/// Makes a class that provisions on another server.
pub fn class(kubectl: &Kubectl, name: &str, driver: &str, backend: &Backend) -> Result<(), LabError> {
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": driver, "parameters": { "server": backend.server, "share": backend.share },
    });
    kubectl.apply(object.to_string()).map(drop)
}

fn in_checkout(helm: &Path, words: &[&str]) -> Result<String, LabError> {
    Tool::new(helm).dir(checkout()).args(words).output()
}
