//! A guest as a Kubernetes node: containerd, CNI, kubelet, kube-proxy.

use std::{path::Path, time::Duration};

use labkit::{base::LabError, parts::PAUSE_IMAGE};
use serde_json::json;

use super::{
    control_plane::{PODS, pod_network, url},
    machine::Machine,
    pki::Pki,
};

/// Writes a node's configuration and starts its programs. Returns when they run, not when the node is Ready.
pub fn start(machine: &Machine, peers: &[&Machine], pki: &Pki) -> Result<(), LabError> {
    set_up(machine, pki)?;
    start_programs(machine, peers)
}

/// Writes down what a node's programs are told.
fn set_up(machine: &Machine, pki: &Pki) -> Result<(), LabError> {
    machine.sh("mkdir -p /etc/containerd /etc/cni/net.d /etc/kubernetes /var/lib/kubelet")?;
    machine.put("/etc/containerd/config.toml", containerd_config().as_bytes())?;
    machine.put("/etc/cni/net.d/10-lab.conflist", cni_config(machine).to_string().as_bytes())?;
    machine.put("/etc/kubernetes/kubelet.json", kubelet_config().to_string().as_bytes())?;
    let kubelet = pki.kubeconfig(&format!("system:node:{}", machine.name()), "system:nodes", &url())?;
    let proxy = pki.kubeconfig("system:kube-proxy", "", &url())?;
    machine.copy_in(&pki.certificate("ca"), "/etc/kubernetes/ca.crt", 0o644)?;
    machine.put("/etc/kubernetes/kubelet.kubeconfig", kubelet.as_bytes())?;
    machine.put("/etc/kubernetes/kube-proxy.kubeconfig", proxy.as_bytes())?;
    set_up_kubelet(machine, "")
}

/// Starts a configured node's programs, as its init would when it boots.
pub fn start_programs(machine: &Machine, peers: &[&Machine]) -> Result<(), LabError> {
    for peer in peers {
        machine.sh(&format!("ip route replace {} via {}", pod_network(peer.nic()), peer.nic().address))?;
    }
    machine.background("containerd", "containerd --config /etc/containerd/config.toml --log-level info")?;
    machine.wait_for("containerd to answer", Duration::from_mins(1), "ctr version >/dev/null 2>&1")?;
    // kube-proxy sets the module's sysctls and gives up when they are not there yet. While kubelet starts, an emulated guest
    // has once hung for good in loading it: each of its processors waited for the other.
    machine.sh("modprobe nf_conntrack")?;
    start_kubelet(machine)?;
    // It ends itself when the node has got its addresses only after it had asked for them, and counts on being started again.
    machine.background(
        "kube-proxy",
        &format!(
            "sh -c 'while :; do kube-proxy --kubeconfig=/etc/kubernetes/kube-proxy.kubeconfig --proxy-mode=iptables \
             --cluster-cidr={PODS} --hostname-override={} --conntrack-max-per-core=0; sleep 1; done'",
            machine.name()
        ),
    )
}

/// Starts kubelet on a configured node.
pub fn start_kubelet(machine: &Machine) -> Result<(), LabError> {
    machine.sh("/run/lab/systemctl start kubelet").map(drop)
}

/// Writes down how kubelet is started on a configured node: with these flags besides the lab's.
pub fn set_up_kubelet(machine: &Machine, flags: &str) -> Result<(), LabError> {
    machine.put("/etc/lab/kubelet", format!("{} {flags}", kubelet_unit(machine)).as_bytes())
}

/// What `systemctl` starts as the kubelet. A session of SSH knows no program of the lab's.
fn kubelet_unit(machine: &Machine) -> String {
    format!(
        "PATH=/opt/node/bin:$PATH exec kubelet --config=/etc/kubernetes/kubelet.json \
         --kubeconfig=/etc/kubernetes/kubelet.kubeconfig --hostname-override={} --node-ip={} --v=2",
        machine.name(),
        machine.nic().address
    )
}

/// Loads image archives into the node's containerd.
pub fn import(machine: &Machine, archives: &[&Path]) -> Result<(), LabError> {
    for archive in archives {
        // Another `lab` may be at it on the same cluster.
        let target = format!("/var/tmp/image-{}.tar", std::process::id());
        machine.copy_in(archive, &target, 0o600)?;
        machine.sh_within(
            &format!("ctr -n k8s.io images import --all-platforms {target} && rm {target}"),
            Duration::from_mins(3),
        )?;
    }
    Ok(())
}

fn containerd_config() -> String {
    format!(
        r#"version = 3
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
"#
    )
}

fn cni_config(machine: &Machine) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            // Every address of the lab is routed, so what a server sees is the pod itself.
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": pod_network(machine.nic()) }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

fn kubelet_config() -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // The guest's init is not systemd.
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": "/etc/kubernetes/ca.crt" },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "failSwapOn": false,
        "maxPods": 200,
        // No cluster DNS: the lab's servers are named by address.
        "resolvConf": "",
        // A guest's disk is small and thrown away: only a full one counts.
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "registryPullQPS": 0,
    })
}
