//! Programs written in Go, each built from a module of `e2e/go` that pins it.

use std::{fs, path::PathBuf, process::Command};

use super::{
    PartError,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};

/// A program and where it comes from.
#[derive(Debug)]
pub(super) struct Program {
    /// Name of the executable.
    pub(super) name: &'static str,
    /// Directory below `e2e/go` with the `go.mod` that pins it.
    directory: &'static str,
    /// Package of its `main`.
    package: &'static str,
    /// Module whose version the program calls its own.
    module: &'static str,
    /// Variables that hold that version.
    stamps: &'static [&'static str],
}

const KUBERNETES: &str = "k8s.io/kubernetes";
/// Without these a Kubernetes program takes itself for v0.0.0.
const KUBERNETES_STAMPS: &[&str] =
    &["k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"];
const CONTAINERD_MODULE: &str = "github.com/containerd/containerd/v2";
const CNI: &str = "github.com/containernetworking/plugins";

pub(super) const ETCD: Program =
    Program { name: "etcd", directory: "etcd", package: ".", module: "go.etcd.io/etcd/server/v3", stamps: &[] };
pub(super) const KUBE_APISERVER: Program = kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
pub(super) const KUBE_CONTROLLER_MANAGER: Program =
    kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager");
pub(super) const KUBE_SCHEDULER: Program = kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
pub(super) const KUBECTL: Program = kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl");
pub(super) const KUBELET: Program = kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet");
pub(super) const KUBE_PROXY: Program = kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy");
pub(super) const CONTAINERD: Program = containerd("containerd", "github.com/containerd/containerd/v2/cmd/containerd");
pub(super) const CONTAINERD_SHIM: Program =
    containerd("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2");
pub(super) const CTR: Program = containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr");
pub(super) const CNI_BRIDGE: Program = cni("bridge", "github.com/containernetworking/plugins/plugins/main/bridge");
pub(super) const CNI_HOST_LOCAL: Program =
    cni("host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local");
pub(super) const CNI_LOOPBACK: Program =
    cni("loopback", "github.com/containernetworking/plugins/plugins/main/loopback");
pub(super) const CNI_PORTMAP: Program = cni("portmap", "github.com/containernetworking/plugins/plugins/meta/portmap");
pub(super) const HELM: Program = Program {
    name: "helm",
    directory: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    module: "helm.sh/helm/v3",
    stamps: &["helm.sh/helm/v3/internal/version.version"],
};
pub(super) const CSI_SANITY: Program = Program {
    name: "csi-sanity",
    directory: "csi-sanity",
    package: "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
    module: "github.com/kubernetes-csi/csi-test/v5",
    stamps: &["main.VERSION"],
};

const fn kubernetes(name: &'static str, package: &'static str) -> Program {
    Program { name, directory: "kubernetes", package, module: KUBERNETES, stamps: KUBERNETES_STAMPS }
}

const fn containerd(name: &'static str, package: &'static str) -> Program {
    let stamps = &["github.com/containerd/containerd/v2/version.Version"];
    Program { name, directory: "containerd", package, module: CONTAINERD_MODULE, stamps }
}

const fn cni(name: &'static str, package: &'static str) -> Program {
    let stamps = &["github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"];
    Program { name, directory: "cni", package, module: CNI, stamps }
}

impl Program {
    fn home(&self) -> PathBuf {
        source("go").join(self.directory)
    }

    fn flags(&self) -> Result<Vec<String>, PartError> {
        let path = self.home().join("go.mod");
        let text = fs::read_to_string(&path).map_err(PartError::file(&path))?;
        let version = required(&text, self.module).ok_or_else(|| PartError::Odd {
            part: self.name,
            why: format!("its go.mod does not require {}", self.module),
        })?;
        let stamps = self.stamps.iter().flat_map(|variable| [" -X ", variable, "=", version]).collect::<String>();
        let fixed = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"].map(str::to_owned);
        Ok(fixed.into_iter().chain([format!("-s -w{stamps}")]).collect())
    }
}

/// The version of `module` that a `go.mod` requires.
fn required<'a>(text: &'a str, module: &str) -> Option<&'a str> {
    let mut requirements = text.lines().map(|line| line.trim().trim_start_matches("require ").trim());
    requirements.find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next())
}

pub(super) fn inputs(program: &Program, inputs: &mut Inputs, tools: &Tools) -> Result<(), PartError> {
    let home = program.home();
    for file in ["go.mod", "go.sum", "main.go"].map(|name| home.join(name)) {
        if file.exists() {
            inputs.add_file(&file)?;
        }
    }
    inputs.add("package", program.package);
    inputs.add("flags", program.flags()?.join(" "));
    inputs.add("go", tools.go(&home)?);
    Ok(())
}

pub(super) fn build(program: &Program, shop: &mut Workshop<'_>) -> Result<(), PartError> {
    let mut command = Command::new("go");
    command.arg("build").args(program.flags()?).arg("-o").arg(shop.path(program.name)).arg(program.package);
    // Flags of the machine's own would make the same key mean different programs.
    command.current_dir(program.home()).env("CGO_ENABLED", "0").env("GOFLAGS", "");
    shop.run(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_version_is_found() {
        let text = "module x\n\nrequire helm.sh/helm/v3 v3.22.0\n\nrequire (\n\tgithub.com/a/b v1.2.3 // indirect\n)\n";
        assert_eq!(required(text, "helm.sh/helm/v3"), Some("v3.22.0"));
        assert_eq!(required(text, "github.com/a/b"), Some("v1.2.3"));
        assert_eq!(required(text, "github.com/a"), None);
    }

    #[test]
    fn kubernetes_programs_know_their_version() {
        let flags = KUBELET.flags().unwrap().join(" ");
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1."), "{flags}");
    }
}
