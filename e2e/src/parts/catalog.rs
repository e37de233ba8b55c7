//! The list of parts: what each is called, how long it takes and what it is made from.

use std::time::Duration;

use super::{
    BuiltParts, Kubernetes, LabError, accelerator, boot, crates, debian, go, images,
    kernels::{self, Kernel},
    programs,
    store::Inputs,
    workshop::{Tools, Workshop},
};

/// Something that the lab is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// etcd.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controller manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// kubectl.
    Kubectl,
    /// kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// containerd.
    Containerd,
    /// containerd's shim for runc.
    ContainerdShim,
    /// containerd's client.
    Ctr,
    /// CNI plugin `bridge`.
    CniBridge,
    /// CNI plugin `host-local`.
    CniHostLocal,
    /// CNI plugin `loopback`.
    CniLoopback,
    /// CNI plugin `portmap`.
    CniPortmap,
    /// helm.
    Helm,
    /// csi-sanity.
    CsiSanity,
    /// Kubernetes' own end-to-end tests, the external storage suite among them.
    E2eTest,
    /// What runs them in several processes.
    Ginkgo,
    /// The program of many tongues that they run in pods.
    Agnhost,
    /// The client of a container runtime that they call on nodes.
    Crictl,
    /// cargo-nextest.
    CargoNextest,
    /// Directory with the root disk and the files that the initial RAM disk takes from it.
    Debian,
    /// Directory with a kernel and its modules.
    Kernel(Kernel),
    /// Initial RAM disk with the lab's agent and without modules.
    Boot,
    /// Whether KVM works here.
    Accelerator,
    /// Read-only disk with the node's programs.
    NodePrograms,
    /// Image archive of the pause container.
    PauseImage,
    /// Image archive of busybox.
    BusyboxImage,
    /// Image archive for the pods of Kubernetes' tests.
    SuiteImage,
}

impl Part {
    /// What a control plane runs, and its client.
    pub const CONTROL_PLANE: &[Self] =
        &[Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::KubeScheduler, Self::Kubectl];
    /// What every guest boots from, with the kernel of the lab's nodes.
    pub const GUEST: &[Self] = &[Self::Debian, Self::Kernel(Kernel::Linux6_1), Self::Boot, Self::Accelerator];
    /// Images that the scenarios use.
    pub const IMAGES: &[Self] = &[Self::PauseImage, Self::BusyboxImage];
    /// What runs Kubernetes' external storage suite on a lab.
    pub const SUITE: &[Self] = &[Self::E2eTest, Self::Ginkgo, Self::Crictl, Self::SuiteImage];
    /// Everything.
    pub const ALL: &[Self] = &[
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::CniBridge,
        Self::CniHostLocal,
        Self::CniLoopback,
        Self::CniPortmap,
        Self::Helm,
        Self::CsiSanity,
        Self::E2eTest,
        Self::Ginkgo,
        Self::Agnhost,
        Self::Crictl,
        Self::CargoNextest,
        Self::Debian,
        Self::Kernel(Kernel::Linux5_10),
        Self::Kernel(Kernel::Linux6_1),
        Self::Kernel(Kernel::Linux6_12),
        Self::Kernel(Kernel::Newest),
        Self::Boot,
        Self::Accelerator,
        Self::NodePrograms,
        Self::PauseImage,
        Self::BusyboxImage,
        Self::SuiteImage,
    ];

    /// The name under which the part is spoken of; a program's is that of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::CargoNextest => crates::NEXTEST.name,
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::CniBridge => "bridge",
            Self::CniHostLocal => "host-local",
            Self::CniLoopback => "loopback",
            Self::CniPortmap => "portmap",
            Self::Helm => "helm",
            Self::CsiSanity => "csi-sanity",
            Self::E2eTest => "e2e.test",
            Self::Ginkgo => "ginkgo",
            Self::Agnhost => "agnhost",
            Self::Crictl => "crictl",
            Self::Debian => "debian",
            Self::Kernel(kernel) => kernel.part(),
            Self::Boot => "boot",
            Self::Accelerator => "accelerator",
            Self::NodePrograms => "node-programs",
            Self::PauseImage => "image-pause",
            Self::BusyboxImage => "image-busybox",
            Self::SuiteImage => "image-suite",
        }
    }

    /// Whether the part differs between releases of Kubernetes.
    pub(super) fn follows_kubernetes(self) -> bool {
        matches!(
            self,
            Self::KubeApiserver
                | Self::KubeControllerManager
                | Self::KubeScheduler
                | Self::Kubectl
                | Self::Kubelet
                | Self::KubeProxy
                | Self::NodePrograms
                | Self::E2eTest
                | Self::Ginkgo
                | Self::Agnhost
                | Self::SuiteImage
        )
    }

    /// How long a cold build takes, on two cores with the modules still to be fetched.
    pub(super) fn usual(self) -> Duration {
        Duration::from_secs(match self {
            Self::KubeApiserver => 225,
            Self::CargoNextest | Self::E2eTest => 240,
            Self::KubeControllerManager => 48,
            Self::Containerd | Self::Helm | Self::Crictl => 60,
            Self::Debian => 55,
            Self::Kernel(_) => 30,
            Self::CsiSanity => 33,
            Self::Etcd => 22,
            Self::Kubectl => 20,
            Self::Kubelet => 15,
            Self::KubeProxy => 8,
            Self::Accelerator => 10,
            Self::ContainerdShim => 6,
            Self::KubeScheduler | Self::Boot | Self::Ctr => 5,
            _ => 3,
        })
    }

    /// Parts that this one is made from.
    pub(super) fn needs(self) -> &'static [Self] {
        match self {
            Self::Accelerator => &[Self::Kernel(Kernel::Linux6_1), Self::Boot],
            Self::NodePrograms => programs::CONTENTS,
            Self::Boot | Self::BusyboxImage => &[Self::Debian],
            Self::SuiteImage => &[Self::Debian, Self::E2eTest, Self::Agnhost],
            _ => &[],
        }
    }

    /// The file in the part's directory that is the part.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::CargoNextest => crates::NEXTEST.file,
            Self::Debian | Self::Kernel(_) => "",
            Self::Boot => boot::INITRD,
            Self::Accelerator => accelerator::FILE,
            Self::NodePrograms => programs::DISK,
            Self::PauseImage | Self::BusyboxImage | Self::SuiteImage => images::FILE,
            program => program.name(),
        }
    }

    /// Adds everything that decides what the part becomes.
    pub(super) fn inputs(self, kubernetes: Kubernetes, inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
        match self {
            Self::CargoNextest => crates::inputs(&crates::NEXTEST, inputs, tools)?,
            Self::Debian => debian::inputs(inputs),
            Self::Kernel(kernel) => kernels::inputs(kernel, inputs),
            Self::Boot => boot::inputs(inputs, tools)?,
            Self::Accelerator => accelerator::inputs(inputs)?,
            Self::NodePrograms => programs::inputs(inputs),
            Self::PauseImage | Self::BusyboxImage | Self::SuiteImage => images::inputs(inputs, tools)?,
            program => {
                if let Some(program) = go::program(program, kubernetes) {
                    go::inputs(&program, inputs, tools)?;
                }
            }
        }
        Ok(())
    }

    /// Builds the part into the workshop's directory.
    pub(super) fn build(self, kubernetes: Kubernetes, shop: &mut Workshop, needs: &BuiltParts) -> Result<(), LabError> {
        match self {
            Self::CargoNextest => crates::build(&crates::NEXTEST, shop),
            Self::Debian => debian::build(shop),
            Self::Kernel(kernel) => kernels::build(kernel, shop),
            Self::Boot => boot::build(shop, needs),
            Self::Accelerator => accelerator::build(shop, needs),
            Self::NodePrograms => programs::build(shop, needs),
            Self::PauseImage => images::pause(shop),
            Self::BusyboxImage => images::busybox(shop, needs),
            Self::SuiteImage => images::suite(shop, needs),
            program => go::program(program, kubernetes).map_or(Ok(()), |built| go::build(&built, program.name(), shop)),
        }
    }
}
