//! The parts a lab is made of, as paths.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use labkit::{
    base::LabError,
    guest::Image,
    parts::{BuiltParts, Kernel, Kubernetes, Part, Parts},
};

use super::control_plane::Programs;

/// Every part of a lab, built.
#[derive(Debug)]
pub struct LabParts {
    inputs: BTreeMap<String, String>,
    programs: Programs,
    helm: PathBuf,
    guest: Image,
    node_programs: PathBuf,
    images: Vec<PathBuf>,
}

impl LabParts {
    /// Builds what is missing, telling how it goes. Needs the network the first time.
    pub fn ensure(kubernetes: Kubernetes) -> Result<Self, LabError> {
        Self::of(&Parts::open(kubernetes)?.ensure(&every())?)
    }

    fn of(built: &BuiltParts) -> Result<Self, LabError> {
        Ok(Self {
            inputs: built.inputs(),
            programs: Programs {
                etcd: built.path(Part::ETCD)?,
                apiserver: built.path(Part::KUBE_APISERVER)?,
                controller_manager: built.path(Part::KUBE_CONTROLLER_MANAGER)?,
                scheduler: built.path(Part::KUBE_SCHEDULER)?,
                kubectl: built.path(Part::KUBECTL)?,
            },
            helm: built.path(Part::HELM)?,
            guest: built.guest_image(Kernel::Linux6_1)?,
            node_programs: built.path(Part::NODE_PROGRAMS)?,
            images: Part::IMAGES.iter().map(|part| built.path(*part)).collect::<Result<_, _>>()?,
        })
    }

    /// What the parts were made from; equal inputs make equal labs.
    pub fn inputs(&self) -> &BTreeMap<String, String> {
        &self.inputs
    }

    /// Programs of the control plane.
    pub fn control_plane(&self) -> &Programs {
        &self.programs
    }

    /// `helm`.
    pub fn helm(&self) -> &Path {
        &self.helm
    }

    /// Kernel and disk that the lab's guests boot from.
    pub fn guest_image(&self) -> &Image {
        &self.guest
    }

    /// The disk with a node's programs.
    pub fn node_programs(&self) -> &Path {
        &self.node_programs
    }

    /// Archives of the images that every node needs.
    pub fn images(&self) -> Vec<&Path> {
        self.images.iter().map(PathBuf::as_path).collect()
    }
}

/// Builds one program alone, `helm` for example, and says where it is.
pub fn program(part: Part) -> Result<PathBuf, LabError> {
    Parts::open(Kubernetes::default())?.ensure(&[part])?.path(part)
}

/// Builds what a guest with this kernel boots from. `None` when Debian's archive no longer has the kernel.
pub fn guest_image(kernel: Kernel) -> Result<Option<Image>, LabError> {
    let wanted = [Part::GUEST, &[Part::kernel(kernel)]].concat();
    match Parts::open(Kubernetes::default())?.ensure(&wanted) {
        // Without this one there is no guest at all.
        Err(LabError::NotServed { .. }) if kernel != Kernel::Linux6_1 => Ok(None),
        built => built?.guest_image(kernel).map(Some),
    }
}

fn every() -> Vec<Part> {
    let others = [Part::NODE_PROGRAMS, Part::HELM];
    [Part::CONTROL_PLANE, Part::GUEST, Part::IMAGES, &others].concat()
}
