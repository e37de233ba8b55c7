//! The list of parts: what each is called, how long it takes and what it is made from.

use std::time::Duration;

use super::{
    BuiltParts, Kubernetes, LabError, accelerator, boot, crates, debian,
    go::{self, Program},
    images,
    kernels::{self, Kernel},
    programs,
    store::Inputs,
    workshop::{Tools, Workshop},
};

/// Something that the lab is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The name under which it is spoken of; a program's is that of its executable, as go calls it.
    pub(super) name: &'static str,
    /// The file in the part's directory that is the part; empty: the directory is.
    pub(super) file: &'static str,
    /// How many seconds a cold build takes, on two cores with the modules still to be fetched.
    usual: u64,
    /// Parts that this one is made from.
    pub(super) needs: &'static [Self],
    recipe: Recipe,
}

/// How a part is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipe {
    Go(Program),
    Nextest,
    Debian,
    Kernel(Kernel),
    Boot,
    Accelerator,
    NodePrograms,
    Pause,
    Busybox,
    Suite,
}

impl Part {
    /// etcd.
    pub const ETCD: Self = Self::go("etcd", 22, go::ETCD);
    /// The API server.
    pub const KUBE_APISERVER: Self =
        Self::go("kube-apiserver", 225, Program::kubernetes("k8s.io/kubernetes/cmd/kube-apiserver"));
    /// The controller manager.
    pub const KUBE_CONTROLLER_MANAGER: Self =
        Self::go("kube-controller-manager", 48, Program::kubernetes("k8s.io/kubernetes/cmd/kube-controller-manager"));
    /// The scheduler.
    pub const KUBE_SCHEDULER: Self =
        Self::go("kube-scheduler", 5, Program::kubernetes("k8s.io/kubernetes/cmd/kube-scheduler"));
    /// kubectl.
    pub const KUBECTL: Self = Self::go("kubectl", 20, Program::kubernetes("k8s.io/kubernetes/cmd/kubectl"));
    /// kubelet.
    pub const KUBELET: Self = Self::go("kubelet", 15, Program::kubernetes("k8s.io/kubernetes/cmd/kubelet"));
    /// kube-proxy.
    pub const KUBE_PROXY: Self = Self::go("kube-proxy", 8, Program::kubernetes("k8s.io/kubernetes/cmd/kube-proxy"));
    /// containerd.
    pub const CONTAINERD: Self =
        Self::go("containerd", 60, Program::containerd("github.com/containerd/containerd/v2/cmd/containerd"));
    /// containerd's shim for runc.
    pub const CONTAINERD_SHIM: Self = Self::go(
        "containerd-shim-runc-v2",
        6,
        Program::containerd("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
    );
    /// containerd's client.
    pub const CTR: Self = Self::go("ctr", 5, Program::containerd("github.com/containerd/containerd/v2/cmd/ctr"));
    /// CNI plugin `bridge`.
    pub const CNI_BRIDGE: Self =
        Self::go("bridge", 3, Program::cni("github.com/containernetworking/plugins/plugins/main/bridge"));
    /// CNI plugin `host-local`.
    pub const CNI_HOST_LOCAL: Self =
        Self::go("host-local", 3, Program::cni("github.com/containernetworking/plugins/plugins/ipam/host-local"));
    /// CNI plugin `loopback`.
    pub const CNI_LOOPBACK: Self =
        Self::go("loopback", 3, Program::cni("github.com/containernetworking/plugins/plugins/main/loopback"));
    /// CNI plugin `portmap`.
    pub const CNI_PORTMAP: Self =
        Self::go("portmap", 3, Program::cni("github.com/containernetworking/plugins/plugins/meta/portmap"));
    /// helm.
    pub const HELM: Self = Self::go("helm", 60, go::HELM);
    /// csi-sanity.
    pub const CSI_SANITY: Self = Self::go("csi-sanity", 33, go::CSI_SANITY);
    /// Kubernetes' own end-to-end tests, the external storage suite among them.
    pub const E2E_TEST: Self = Self::go("e2e.test", 240, Program::kubernetes("k8s.io/kubernetes/test/e2e").tests());
    /// What runs them in several processes.
    pub const GINKGO: Self = Self::go("ginkgo", 3, Program::kubernetes("github.com/onsi/ginkgo/v2/ginkgo"));
    /// The program of many tongues that they run in pods.
    pub const AGNHOST: Self = Self::go("agnhost", 3, Program::kubernetes("k8s.io/kubernetes/test/images/agnhost"));
    /// The client of a container runtime that they call on nodes.
    pub const CRICTL: Self = Self::go("crictl", 60, go::CRICTL);
    /// cargo-nextest.
    pub const CARGO_NEXTEST: Self = Self {
        name: crates::NEXTEST.name,
        file: crates::NEXTEST.file,
        usual: 240,
        needs: &[],
        recipe: Recipe::Nextest,
    };
    /// Directory with the root disk and the files that the initial RAM disk takes from it.
    pub const DEBIAN: Self = Self { name: "debian", file: "", usual: 55, needs: &[], recipe: Recipe::Debian };
    /// Initial RAM disk with the lab's agent and without modules.
    pub const BOOT: Self =
        Self { name: "boot", file: boot::INITRD, usual: 5, needs: &[Self::DEBIAN], recipe: Recipe::Boot };
    /// Whether KVM works here.
    pub const ACCELERATOR: Self = Self {
        name: "accelerator",
        file: accelerator::FILE,
        usual: 10,
        needs: &[Self::kernel(Kernel::Linux6_1), Self::BOOT],
        recipe: Recipe::Accelerator,
    };
    /// Read-only disk with the node's programs.
    pub const NODE_PROGRAMS: Self = Self {
        name: "node-programs",
        file: programs::DISK,
        usual: 3,
        needs: programs::CONTENTS,
        recipe: Recipe::NodePrograms,
    };
    /// Image archive of the pause container.
    pub const PAUSE_IMAGE: Self = Self::image("image-pause", &[], Recipe::Pause);
    /// Image archive of busybox.
    pub const BUSYBOX_IMAGE: Self = Self::image("image-busybox", &[Self::DEBIAN], Recipe::Busybox);
    /// Image archive for the pods of Kubernetes' tests.
    pub const SUITE_IMAGE: Self =
        Self::image("image-suite", &[Self::DEBIAN, Self::E2E_TEST, Self::AGNHOST], Recipe::Suite);

    /// What a control plane runs, and its client.
    pub const CONTROL_PLANE: &[Self] =
        &[Self::ETCD, Self::KUBE_APISERVER, Self::KUBE_CONTROLLER_MANAGER, Self::KUBE_SCHEDULER, Self::KUBECTL];
    /// What every guest boots from, with the kernel of the lab's nodes.
    pub const GUEST: &[Self] = &[Self::DEBIAN, Self::kernel(Kernel::Linux6_1), Self::BOOT, Self::ACCELERATOR];
    /// Images that the scenarios use.
    pub const IMAGES: &[Self] = &[Self::PAUSE_IMAGE, Self::BUSYBOX_IMAGE];
    /// What runs Kubernetes' external storage suite on a lab.
    pub const SUITE: &[Self] = &[Self::E2E_TEST, Self::GINKGO, Self::CRICTL, Self::SUITE_IMAGE];

    /// Directory with a kernel and its modules.
    pub const fn kernel(kernel: Kernel) -> Self {
        Self { name: kernel.part(), file: "", usual: 30, needs: &[], recipe: Recipe::Kernel(kernel) }
    }

    const fn go(name: &'static str, usual: u64, program: Program) -> Self {
        Self { name, file: name, usual, needs: &[], recipe: Recipe::Go(program) }
    }

    const fn image(name: &'static str, needs: &'static [Self], recipe: Recipe) -> Self {
        Self { name, file: images::FILE, usual: 3, needs, recipe }
    }

    /// How long a cold build takes.
    pub(super) fn usual(self) -> Duration {
        Duration::from_secs(self.usual)
    }

    fn program(self) -> Option<Program> {
        match self.recipe {
            Recipe::Go(program) => Some(program),
            _ => None,
        }
    }

    /// Whether it is a program in Go.
    pub(super) fn is_program(self) -> bool {
        self.program().is_some()
    }

    /// Whether it is made from one.
    pub(super) fn needs_programs(self) -> bool {
        self.needs.iter().any(|need| need.is_program() || need.needs_programs())
    }

    /// Whether one call of go can build both.
    pub(super) fn is_built_with(self, other: Self) -> bool {
        self.program().zip(other.program()).is_some_and(|(one, two)| one.is_built_with(two))
    }

    /// Whether the part differs between releases of Kubernetes.
    pub(super) fn follows_kubernetes(self) -> bool {
        self.program().is_some_and(Program::follows_kubernetes)
            || self.needs.iter().any(|need| need.follows_kubernetes())
    }

    /// Whether the part is built, or used, by means of the host's Debian packages.
    pub(super) fn needs_packages(self) -> bool {
        !matches!(self.recipe, Recipe::Go(_) | Recipe::Nextest)
    }

    /// Adds everything that decides what the part becomes.
    pub(super) fn inputs(self, kubernetes: Kubernetes, inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
        match self.recipe {
            Recipe::Go(program) => go::inputs(program, kubernetes, inputs, tools)?,
            Recipe::Nextest => crates::inputs(&crates::NEXTEST, inputs, tools)?,
            Recipe::Debian => debian::inputs(inputs),
            Recipe::Kernel(kernel) => kernels::inputs(kernel, inputs),
            Recipe::Boot => boot::inputs(inputs, tools)?,
            Recipe::Accelerator => accelerator::inputs(inputs)?,
            Recipe::NodePrograms => programs::inputs(inputs),
            Recipe::Pause | Recipe::Busybox | Recipe::Suite => images::inputs(inputs, tools)?,
        }
        Ok(())
    }

    /// Builds parts that are built together into the workshop's directory.
    pub(super) fn build(
        batch: &[Self],
        kubernetes: Kubernetes,
        shop: &mut Workshop,
        needs: &BuiltParts,
    ) -> Result<(), LabError> {
        match batch[0].recipe {
            Recipe::Go(first) => {
                let packages = batch.iter().filter_map(|part| part.program().map(Program::package));
                go::build(first, packages, kubernetes, shop)
            }
            Recipe::Nextest => crates::build(&crates::NEXTEST, shop),
            Recipe::Debian => debian::build(shop),
            Recipe::Kernel(kernel) => kernels::build(kernel, shop),
            Recipe::Boot => boot::build(shop, needs),
            Recipe::Accelerator => accelerator::build(shop, needs),
            Recipe::NodePrograms => programs::build(shop, needs),
            Recipe::Pause => images::pause(shop),
            Recipe::Busybox => images::busybox(shop, needs),
            Recipe::Suite => images::suite(shop, needs),
        }
    }
}
