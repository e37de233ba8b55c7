//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes in the lab's namespace.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use labkit::base::{Daemon, LabError, chain, eventually};

use super::{
    Cluster,
    network::{HOST, Nic},
    pki::Pki,
    state::StateDir,
};

/// Address of the Service `kubernetes`: the first one of the service network.
pub const API_SERVICE: &str = "10.96.0.1";

/// Name of the API server among the lab's processes.
pub const API_SERVER: &str = "kube-apiserver";
/// Name of the controller manager among them.
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// Name of the scheduler among them.
pub const SCHEDULER: &str = "kube-scheduler";
/// Port of the API server on the host.
pub const API_PORT: u16 = 6443;
/// Network of service addresses.
const SERVICES: &str = "10.96.0.0/16";
/// Network of pod addresses; each node has a /24 of it.
pub const PODS: &str = "10.244.0.0/16";

/// Programs of the control plane.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub apiserver: PathBuf,
    /// `kube-controller-manager`.
    pub controller_manager: PathBuf,
    /// `kube-scheduler`.
    pub scheduler: PathBuf,
    /// `kubectl`.
    pub kubectl: PathBuf,
}

/// URL of the API server inside the lab's namespace.
pub fn url() -> String {
    format!("https://{HOST}:{API_PORT}")
}

/// Starts etcd and the API server, with these flags besides the lab's, and waits until it is ready; the calling thread
/// must be in the lab's namespace.
pub fn start_api(
    programs: &Programs,
    flags: &[&str],
    state: &StateDir,
    pki: &Pki,
) -> Result<(Vec<Daemon>, Cluster), LabError> {
    let etcd = Daemon::start("etcd", etcd(&programs.etcd, &state.file("etcd")), &state.logs())?;
    pki.server("kube-apiserver", &[&HOST.to_string(), API_SERVICE, "127.0.0.1", "kubernetes.default.svc"])?;
    pki.client("kube-apiserver-kubelet-client", "system:masters")?;
    let mut command = apiserver(&programs.apiserver, pki);
    command.args(flags);
    let apiserver = Daemon::start(API_SERVER, command, &state.logs())?;
    let admin = pki.kubeconfig_file("admin", "kubernetes-admin", "system:masters", &url())?;
    let cluster = Cluster::new(programs.kubectl.clone(), admin)?;
    until_ready(&cluster, &[&etcd, &apiserver])?;
    Ok((vec![etcd, apiserver], cluster))
}

/// Waits until the API server is ready, as long as what it takes lives.
pub fn until_ready(cluster: &Cluster, daemons: &[&Daemon]) -> Result<(), LabError> {
    eventually("a ready API server", Duration::from_mins(2), Duration::from_millis(250), || {
        if let Some(dead) = daemons.iter().find(|daemon| !daemon.alive()) {
            return Ok(Err(dead.broken("it ended while starting")));
        }
        let ready = cluster.text("/readyz").map_err(|error| chain(&error))?;
        if ready.trim() == "ok" { Ok(Ok(())) } else { Err(ready) }
    })?
}

/// Starts the controller manager and the scheduler against a ready API server.
pub fn start_controllers(programs: &Programs, state: &StateDir, pki: &Pki) -> Result<Vec<Daemon>, LabError> {
    let kubeconfig = |name: &str| pki.kubeconfig_file(name, &format!("system:{name}"), "", &url());
    let manager = controller_manager(&programs.controller_manager, pki, &kubeconfig(CONTROLLER_MANAGER)?);
    let scheduler = scheduler(&programs.scheduler, &kubeconfig(SCHEDULER)?);
    Ok(vec![
        Daemon::start(CONTROLLER_MANAGER, manager, &state.logs())?,
        Daemon::start(SCHEDULER, scheduler, &state.logs())?,
    ])
}

fn etcd(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    // A lab's data need not survive the machine, and syncing each write would make the disk the bottleneck.
    command.args(["--name=lab", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn"]);
    command.args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]);
    command.args(["--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"]);
    command.arg("--initial-cluster=lab=http://127.0.0.1:2380").arg("--data-dir").arg(data);
    command
}

fn apiserver(program: &Path, pki: &Pki) -> Command {
    let mut command = Command::new(program);
    command.args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0"]);
    command.arg(format!("--secure-port={API_PORT}"));
    command.arg(format!("--advertise-address={HOST}"));
    command.arg(format!("--service-cluster-ip-range={SERVICES}"));
    command.args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"]);
    command.args(["--allow-privileged=true", "--profiling=false", "--v=1"]);
    // exec, logs and port-forward reach a kubelet by its address: node names resolve nowhere here.
    command.arg("--kubelet-preferred-address-types=InternalIP");
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    for (flag, file) in [
        ("--client-ca-file", pki.certificate("ca")),
        ("--tls-cert-file", pki.certificate("kube-apiserver")),
        ("--tls-private-key-file", pki.key("kube-apiserver")),
        ("--kubelet-client-certificate", pki.certificate("kube-apiserver-kubelet-client")),
        ("--kubelet-client-key", pki.key("kube-apiserver-kubelet-client")),
        ("--service-account-key-file", pki.key("service-accounts")),
        ("--service-account-signing-key-file", pki.key("service-accounts")),
    ] {
        command.arg(flag).arg(file);
    }
    command
}

fn controller_manager(program: &Path, pki: &Pki, kubeconfig: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true"]);
    // The default of 20 requests a second would be what a hundred claims measure.
    command.args(["--kube-api-qps=300", "--kube-api-burst=400", "--profiling=false"]);
    as_user(&mut command, kubeconfig);
    command.arg("--service-account-private-key-file").arg(pki.key("service-accounts"));
    command.arg("--root-ca-file").arg(pki.certificate("ca"));
    command
}

/// Lets a component ask the API server, and ask it who asks the component itself, as the user of a kubeconfig.
fn as_user(command: &mut Command, kubeconfig: &Path) {
    for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
        command.arg(flag).arg(kubeconfig);
    }
}

fn scheduler(program: &Path, kubeconfig: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"]);
    as_user(&mut command, kubeconfig);
    command
}

/// The /24 of pod addresses that belongs to the node at `nic`'s place.
pub fn pod_network(nic: &Nic) -> String {
    format!("10.244.{}.0/24", nic.address.octets()[3])
}
