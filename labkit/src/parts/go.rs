//! Programs written in Go, each built from a module of `labkit/go` that pins it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Kubernetes, LabError,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};

/// A program and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    /// Directory below `labkit/go` with the `go.mod` that pins it; `None`: that of the lab's Kubernetes.
    directory: Option<&'static str>,
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

pub(super) const ETCD: Program = Program::of("etcd", ".", "go.etcd.io/etcd/server/v3", &[]);
pub(super) const HELM: Program =
    Program::of("helm", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3", &["helm.sh/helm/v3/internal/version.version"]);
pub(super) const CSI_SANITY: Program = Program::of(
    "csi-sanity",
    "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
    "github.com/kubernetes-csi/csi-test/v5",
    &["main.VERSION"],
);
pub(super) const CRICTL: Program = Program::of(
    "cri-tools",
    "sigs.k8s.io/cri-tools/cmd/crictl",
    "sigs.k8s.io/cri-tools",
    &["sigs.k8s.io/cri-tools/pkg/version.Version"],
);

impl Program {
    const fn of(
        directory: &'static str,
        package: &'static str,
        module: &'static str,
        stamps: &'static [&'static str],
    ) -> Self {
        Self { directory: Some(directory), package, verb: &["build"], module, stamps }
    }

    /// A program of the lab's Kubernetes, or one whose version its `go.mod` requires.
    pub(super) const fn kubernetes(package: &'static str) -> Self {
        let module = "k8s.io/kubernetes";
        Self { directory: None, package, verb: &["build"], module, stamps: KUBERNETES_STAMPS }
    }

    pub(super) const fn containerd(package: &'static str) -> Self {
        let stamps = &["github.com/containerd/containerd/v2/version.Version"];
        Self::of("containerd", package, "github.com/containerd/containerd/v2", stamps)
    }

    pub(super) const fn cni(package: &'static str) -> Self {
        let stamps = &["github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"];
        Self::of("cni", package, "github.com/containernetworking/plugins", stamps)
    }

    /// The tests of the package instead of its `main`.
    pub(super) const fn tests(self) -> Self {
        Self { verb: &["test", "-c"], ..self }
    }

    /// Package of its `main`, or of the tests that it is.
    pub(super) fn package(self) -> &'static str {
        self.package
    }

    /// Whether one call of go can build both.
    pub(super) fn is_built_with(self, other: Self) -> bool {
        let what = |program: Self| (program.directory, program.verb, program.module, program.stamps);
        what(self) == what(other)
    }

    /// Whether it differs between releases of Kubernetes.
    pub(super) fn follows_kubernetes(self) -> bool {
        self.directory.is_none()
    }

    fn home(self, kubernetes: Kubernetes) -> PathBuf {
        let directory = self.directory.map_or_else(|| format!("kubernetes-{}", kubernetes.minor()), str::to_owned);
        source("go").join(directory)
    }

    fn flags(self, home: &Path) -> Result<Vec<String>, LabError> {
        let path = home.join("go.mod");
        let text = fs::read_to_string(&path).map_err(LabError::file(&path))?;
        let version = required(&text, self.module)
            .ok_or_else(|| LabError::Unmet(format!("{} does not require {}", path.display(), self.module)))?;
        let stamps = self.stamps.iter().flat_map(|variable| [" -X ", variable, "=", version]).collect::<String>();
        // The linker would throw the debug information away.
        let fixed = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags"];
        let fixed = fixed.map(str::to_owned);
        Ok(fixed.into_iter().chain([format!("-s -w{stamps}")]).collect())
    }
}

/// The version of `module` that a `go.mod` requires.
fn required<'a>(text: &'a str, module: &str) -> Option<&'a str> {
    let mut requirements = text.lines().map(|line| line.trim().trim_start_matches("require ").trim());
    requirements.find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next())
}

pub(super) fn inputs(
    program: Program,
    kubernetes: Kubernetes,
    inputs: &mut Inputs,
    tools: &Tools,
) -> Result<(), LabError> {
    let home = program.home(kubernetes);
    for file in ["go.mod", "go.sum", "main.go"].map(|name| home.join(name)) {
        if file.exists() {
            inputs.add_file(&file)?;
        }
    }
    inputs.add("package", program.package);
    inputs.add("verb", program.verb.join(" "));
    inputs.add("flags", program.flags(&home)?.join(" "));
    inputs.add("go", tools.go(&home)?);
    Ok(())
}

/// Builds `packages`, all of them [built together](Program::is_built_with) with `first`, into the workshop's directory,
/// each under the name that go gives it.
pub(super) fn build(
    first: Program,
    packages: impl Iterator<Item = &'static str>,
    kubernetes: Kubernetes,
    shop: &mut Workshop,
) -> Result<(), LabError> {
    let home = first.home(kubernetes);
    let mut command = Command::new("go");
    // A path that ends in a slash is a directory to go.
    command.args(first.verb).args(first.flags(&home)?).arg("-o").arg(shop.path("")).args(packages);
    // The compiler's processes are many and short: one that need not collect its garbage takes a sixth less time.
    command.env("GOGC", "off").env("GOMEMLIMIT", "2GiB");
    // Flags of the machine's own would make the same key mean different programs.
    command.current_dir(home).env("CGO_ENABLED", "0").env("GOFLAGS", "");
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
            let kubelet = Program::kubernetes("k8s.io/kubernetes/cmd/kubelet");
            let flags = kubelet.flags(&kubelet.home(*release)).unwrap().join(" ");
            let stamp = format!("-X k8s.io/component-base/version.gitVersion=v{}.", release.minor());
            assert!(flags.contains(&stamp), "{flags}");
        }
    }
}
