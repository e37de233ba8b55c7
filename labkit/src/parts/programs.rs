//! The read-only disk with everything that makes a guest a Kubernetes node: `bin/` and `cni/`.

use std::fs;

use super::{BuiltParts, LabError, Part, debian::copy, disk, store::Inputs, workshop::Workshop};

pub(super) const DISK: &str = "programs.img";

/// Programs on the disk. runc and iptables are Debian's and lie on the root disk.
pub(super) const CONTENTS: &[Part] = &[
    Part::CONTAINERD,
    Part::CONTAINERD_SHIM,
    Part::CTR,
    Part::KUBELET,
    Part::KUBE_PROXY,
    Part::CNI_BRIDGE,
    Part::CNI_HOST_LOCAL,
    Part::CNI_LOOPBACK,
    Part::CNI_PORTMAP,
];

pub(super) fn inputs(inputs: &mut Inputs) {
    inputs.add("layout", "bin, cni");
}

pub(super) fn build(shop: &mut Workshop, needs: &BuiltParts) -> Result<(), LabError> {
    let tree = shop.path("tree");
    for directory in ["bin", "cni"] {
        let path = tree.join(directory);
        fs::create_dir_all(&path).map_err(LabError::file(&path))?;
    }
    for &part in CONTENTS {
        let directory = if is_cni(part) { "cni" } else { "bin" };
        copy(&needs.path(part)?, &tree.join(directory).join(part.name))?;
    }
    disk::read_only(shop, &tree, "programs", DISK)?;
    fs::remove_dir_all(&tree).map_err(LabError::file(&tree))
}

fn is_cni(part: Part) -> bool {
    [Part::CNI_BRIDGE, Part::CNI_HOST_LOCAL, Part::CNI_LOOPBACK, Part::CNI_PORTMAP].contains(&part)
}
