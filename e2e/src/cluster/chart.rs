//! The chart: rendered into manifests, and installed on a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use labkit::base::{LabError, Tool, checkout};

use super::{Cluster, nfs::Backend};

/// Namespace of an installation, by convention.
pub const NAMESPACE: &str = "berth-system";
/// Name of the chart's release.
const RELEASE: &str = "berth";
const CHART: &str = "charts/berth";
/// The oldest Kubernetes that the chart declares itself for; away from a cluster, helm takes what it was built with.
const OLDEST: &str = "1.29.0";
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
    /// Whether the controller takes the startup taint from nodes.
    pub startup_taint: bool,
}

/// Lints the chart and writes `manifests/install.yaml`; with `check`, only compares, and fails where they differ.
pub fn manifests(helm: &Path, check: bool) -> Result<(), LabError> {
    for values in ["install-values.yaml", "class-values.yaml"] {
        let values = format!("{CHART}/ci/{values}");
        in_checkout(helm, &["lint", "--strict", CHART, "--kube-version", OLDEST, "--values", &values])?;
    }
    startup_taint_is_tolerated(helm)?;
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

/// Whether the controller's pods can run where they are to take the startup taint away: where every node has it, no other pod
/// would come to do so.
fn startup_taint_is_tolerated(helm: &Path) -> Result<(), LabError> {
    let template = "templates/controller-deployment.yaml";
    let values = "driver.name=nfs.example.com,controller.removeStartupTaint=true,storageClass.create=false";
    let own = "        - key: nfs.example.com/agent-not-ready\n          operator: Exists\n";
    for (asked, theirs) in
        [("controller.tolerations=null", ""), ("controller.tolerations[0].key=dedicated", "        - key: dedicated\n")]
    {
        let words = ["template", RELEASE, CHART, "--show-only", template, "--kube-version", OLDEST];
        let rendered = in_checkout(helm, &[&words[..], &["--set", values, "--set", asked]].concat())?;
        if !rendered.contains(&format!("      tolerations:\n{theirs}{own}")) {
            return Err(LabError::Unmet(format!(
                "{CHART}/{template} with {values},{asked} has not the toleration\n{own}beside those that are asked for"
            )));
        }
    }
    Ok(())
}

/// The chart as it is installed on a cluster, and what installs it.
#[derive(Debug, Clone)]
pub struct Release {
    /// `helm`.
    pub helm: PathBuf,
    /// What the chart is told.
    pub installation: Installation,
}

impl Release {
    /// Installs the chart, or brings an installation to these values, and waits until its pods are ready.
    pub fn install(&self, cluster: &Cluster) -> Result<(), LabError> {
        let Installation { repository, tag, backend: Backend { server, share }, startup_taint } = &self.installation;
        self.helm(cluster)
            .dir(checkout())
            .args(["upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace"])
            .args(["--wait", "--timeout=5m"])
            .args(["--set-string", &format!("image.repository={repository},image.tag={tag}")])
            .args(["--set-string", &format!("storageClass.server={server},storageClass.share={share}")])
            .args(["--set", &format!("controller.removeStartupTaint={startup_taint}")])
            .output()
            .map(drop)
    }

    /// Takes away what [`Release::install`] installed.
    pub fn uninstall(&self, cluster: &Cluster) -> Result<(), LabError> {
        let words = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=5m"];
        self.helm(cluster).args(words).output().map(drop)
    }

    fn helm(&self, cluster: &Cluster) -> Tool {
        Tool::new(&self.helm).env("KUBECONFIG", cluster.kubeconfig()).deadline(Duration::from_mins(6))
    }
}

/// The class of the examples, filled in for a server as its head tells people to.
const EXAMPLE_CLASS: &str = "manifests/examples/storageclass.yaml";

/// Installs without helm, as `manifests/install.yaml` says: the file as it is, and the example of a class, filled in.
pub fn apply(cluster: &Cluster, backend: &Backend) -> Result<(), LabError> {
    let path = checkout().join(EXAMPLE_CLASS);
    let mut class = fs::read_to_string(&path).map_err(LabError::file(&path))?;
    for (blank, value) in [("replace-me.example.com", &backend.server), ("/replace/me", &backend.share)] {
        if !class.contains(blank) {
            return Err(LabError::Unmet(format!("{EXAMPLE_CLASS} has no `{blank}` to be filled in")));
        }
        class = class.replace(blank, value);
    }
    let kubectl = cluster.kubectl();
    kubectl.tool().args(["apply", "-f"]).arg(checkout().join(RENDERED)).output()?;
    kubectl.tool().args(["apply", "-f", "-"]).stdin(class).output()?;
    for workload in ["deployment/berth-controller", "daemonset/berth-node"] {
        kubectl.run(&["rollout", "status", workload, "-n", NAMESPACE, "--timeout=150s"])?;
    }
    Ok(())
}

/// Takes away what [`apply`] installed.
pub fn remove(cluster: &Cluster) -> Result<(), LabError> {
    let mut words = cluster.kubectl().tool().args(["delete", "--ignore-not-found", "--timeout=150s"]);
    for file in [RENDERED, EXAMPLE_CLASS] {
        words = words.arg("-f").arg(checkout().join(file));
    }
    words.output().map(drop)
}

fn in_checkout(helm: &Path, words: &[&str]) -> Result<String, LabError> {
    Tool::new(helm).dir(checkout()).args(words).output()
}
