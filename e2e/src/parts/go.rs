//! Programs written in Go, each built from a module of `e2e/go` that pins it.

use std::{fs, path::PathBuf, process::Command};

use super::{
    Kubernetes, LabError, Part,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};

/// A program and where it comes from.
#[derive(Debug)]
pub(super) struct Program {
    /// Directory below `e2e/go` with the `go.mod` that pins it.
    directory: String,
    /// Package of its `main`, or of the tests that it is.
    package: &'static str,
    /// How go makes a program of the package.
    verb: &'static [&'static str],
    /// Module whose version the program calls its own.
    module: &'static str,
    /// Variables that hold that version.
    stamps: &'static [&'static str],
}

/// Without these a Kubernetes program takes itself for v0.0.0.
const KUBERNETES_STAMPS: &[&str] =
    &["k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"];
const CONTAINERD_STAMPS: &[&str] = &["github.com/containerd/containerd/v2/version.Version"];
const CNI_STAMPS: &[&str] = &["github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"];

/// The Go program that `part` is in a lab of this Kubernetes; `None` for what is made otherwise.
pub(super) fn program(part: Part, kubernetes: Kubernetes) -> Option<Program> {
    let program = |directory: &str, package, module, stamps| {
        Some(Program { directory: directory.to_owned(), package, verb: &["build"], module, stamps })
    };
    let directory = format!("kubernetes-{}", kubernetes.minor());
    let kubernetes = |package| program(&directory, package, "k8s.io/kubernetes", KUBERNETES_STAMPS);
    let containerd = |package| program("containerd", package, "github.com/containerd/containerd/v2", CONTAINERD_STAMPS);
    let cni = |package| program("cni", package, "github.com/containernetworking/plugins", CNI_STAMPS);
    match part {
        Part::Etcd => program("etcd", ".", "go.etcd.io/etcd/server/v3", &[]),
        Part::KubeApiserver => kubernetes("k8s.io/kubernetes/cmd/kube-apiserver"),
        Part::KubeControllerManager => kubernetes("k8s.io/kubernetes/cmd/kube-controller-manager"),
        Part::KubeScheduler => kubernetes("k8s.io/kubernetes/cmd/kube-scheduler"),
        Part::Kubectl => kubernetes("k8s.io/kubernetes/cmd/kubectl"),
        Part::Kubelet => kubernetes("k8s.io/kubernetes/cmd/kubelet"),
        Part::KubeProxy => kubernetes("k8s.io/kubernetes/cmd/kube-proxy"),
        Part::E2eTest => {
            kubernetes("k8s.io/kubernetes/test/e2e").map(|tests| Program { verb: &["test", "-c"], ..tests })
        }
        Part::Ginkgo => kubernetes("github.com/onsi/ginkgo/v2/ginkgo"),
        Part::Agnhost => kubernetes("k8s.io/kubernetes/test/images/agnhost"),
        Part::Crictl => program(
            "cri-tools",
            "sigs.k8s.io/cri-tools/cmd/crictl",
            "sigs.k8s.io/cri-tools",
            &["sigs.k8s.io/cri-tools/pkg/version.Version"],
        ),
        Part::Containerd => containerd("github.com/containerd/containerd/v2/cmd/containerd"),
        Part::ContainerdShim => containerd("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
        Part::Ctr => containerd("github.com/containerd/containerd/v2/cmd/ctr"),
        Part::CniBridge => cni("github.com/containernetworking/plugins/plugins/main/bridge"),
        Part::CniHostLocal => cni("github.com/containernetworking/plugins/plugins/ipam/host-local"),
        Part::CniLoopback => cni("github.com/containernetworking/plugins/plugins/main/loopback"),
        Part::CniPortmap => cni("github.com/containernetworking/plugins/plugins/meta/portmap"),
        Part::Helm => program(
            "helm",
            "helm.sh/helm/v3/cmd/helm",
            "helm.sh/helm/v3",
            &["helm.sh/helm/v3/internal/version.version"],
        ),
        Part::CsiSanity => program(
            "csi-sanity",
            "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
            "github.com/kubernetes-csi/csi-test/v5",
            &["main.VERSION"],
        ),
        _ => None,
    }
}

impl Program {
    fn home(&self) -> PathBuf {
        source("go").join(&self.directory)
    }

    fn flags(&self) -> Result<Vec<String>, LabError> {
        let path = self.home().join("go.mod");
        let text = fs::read_to_string(&path).map_err(LabError::file(&path))?;
        let version = required(&text, self.module)
            .ok_or_else(|| LabError::Unmet(format!("{} does not require {}", path.display(), self.module)))?;
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

pub(super) fn inputs(program: &Program, inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
    let home = program.home();
    for file in ["go.mod", "go.sum", "main.go"].map(|name| home.join(name)) {
        if file.exists() {
            inputs.add_file(&file)?;
        }
    }
    inputs.add("package", program.package);
    inputs.add("verb", program.verb.join(" "));
    inputs.add("flags", program.flags()?.join(" "));
    inputs.add("go", tools.go(&home)?);
    Ok(())
}

/// Builds `program` into the workshop's directory, as the executable `name`.
pub(super) fn build(program: &Program, name: &str, shop: &mut Workshop) -> Result<(), LabError> {
    let mut command = Command::new("go");
    command.args(program.verb).args(program.flags()?).arg("-o").arg(shop.path(name)).arg(program.package);
    // Flags of the machine's own would make the same key mean different programs.
    command.current_dir(program.home()).env("CGO_ENABLED", "0").env("GOFLAGS", "");
    shop.run(command)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

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
        for release in Kubernetes::value_variants() {
            let flags = program(Part::Kubelet, *release).unwrap().flags().unwrap().join(" ");
            let stamp = format!("-X k8s.io/component-base/version.gitVersion=v{}.", release.minor());
            assert!(flags.contains(&stamp), "{flags}");
        }
    }
}
