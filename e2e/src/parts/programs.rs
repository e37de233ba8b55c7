//! The read-only disk with everything that makes a guest a Kubernetes node: `bin/` and `cni/`.

use std::{fs, path::Path, process::Command};

use super::{BuiltParts, Part, PartError, debian::copy, store::Inputs, workshop::Workshop};

pub(super) const DISK: &str = "programs.img";

/// Programs on the disk. runc and iptables are Debian's and lie on the root disk.
pub(super) const CONTENTS: &[Part] = &[
    Part::Containerd,
    Part::ContainerdShim,
    Part::Ctr,
    Part::Kubelet,
    Part::KubeProxy,
    Part::CniBridge,
    Part::CniHostLocal,
    Part::CniLoopback,
    Part::CniPortmap,
];

pub(super) fn inputs(inputs: &mut Inputs) {
    inputs.add("layout", "bin, cni");
}

pub(super) fn build(shop: &mut Workshop<'_>, needs: &BuiltParts) -> Result<(), PartError> {
    let tree = shop.path("tree");
    for directory in ["bin", "cni"] {
        let path = tree.join(directory);
        fs::create_dir_all(&path).map_err(PartError::file(&path))?;
    }
    for &part in CONTENTS {
        let directory = if is_cni(part) { "cni" } else { "bin" };
        copy(&needs.path(part)?, &tree.join(directory).join(part.name()))?;
    }
    // A tenth and 8 MiB more than the files take, for the file system's own tables.
    let mebibytes = (size(&tree)? >> 20) * 11 / 10 + 8;
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-L", "programs"]);
    command.arg("-d").arg(&tree).arg(shop.path(DISK)).arg(format!("{mebibytes}M"));
    shop.run(command)?;
    fs::remove_dir_all(&tree).map_err(PartError::file(&tree))
}

fn is_cni(part: Part) -> bool {
    matches!(part, Part::CniBridge | Part::CniHostLocal | Part::CniLoopback | Part::CniPortmap)
}

fn size(directory: &Path) -> Result<u64, PartError> {
    let mut total = 0;
    for entry in fs::read_dir(directory).map_err(PartError::file(directory))? {
        let path = entry.map_err(PartError::file(directory))?.path();
        let metadata = fs::metadata(&path).map_err(PartError::file(&path))?;
        total += if metadata.is_dir() { size(&path)? } else { metadata.len() };
    }
    Ok(total)
}
