//! A small Debian on a disk: what every guest's root file system is an overlay over, whatever its kernel.

use std::{fs, path::Path, process::Command};

use super::{LabError, kernels::other_mirror, store::Inputs, workshop::Workshop};

/// Root disk, in the part's directory.
pub(super) const ROOT: &str = "root.img";
/// Static busybox, in the part's directory.
pub(super) const BUSYBOX: &str = "busybox";

const SUITE: &str = "bookworm";
/// Size of the root file system; the image is sparse, and so are the guests' overlays.
const SIZE: &str = "8G";

/// The root file system. It has a journal, because the power of a guest may be cut, and it is to boot again.
const FORMAT: &[&str] =
    &["-q", "-t", "ext4", "-J", "size=32", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", "-L", "root"];

/// Containers, NFS on both ends, quotas, and what people reach for when a test fails. No systemd: the lab's own
/// init starts what is needed.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "curl",
    "dosfstools",
    "dropbear-bin",
    "e2fsprogs",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "nfs-common",
    "nfs-kernel-server",
    "procps",
    "quota",
    "runc",
    "socat",
    "strace",
    "tcpdump",
    "util-linux",
    "xfsprogs",
];

/// Paths of no use in a guest.
const EXCLUDED: &[&str] = &["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

pub(super) fn inputs(inputs: &mut Inputs) {
    inputs.add("suite", SUITE);
    inputs.add("size", SIZE);
    inputs.add("format", FORMAT.join(" "));
    for (what, list) in [("package", PACKAGES), ("excluded", EXCLUDED)] {
        for entry in list {
            inputs.add(what, entry);
        }
    }
}

pub(super) fn build(shop: &mut Workshop) -> Result<(), LabError> {
    let root = shop.path("root");
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--mode=root", "--format=directory"]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    command.args(EXCLUDED.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(SUITE).arg(&root).args(other_mirror());
    shop.run(command)?;
    copy(&root.join("bin/busybox"), &shop.path(BUSYBOX))?;
    let fstab = root.join("etc/fstab");
    fs::write(&fstab, "").map_err(LabError::file(&fstab))?;
    let mut command = Command::new("mke2fs");
    command.args(FORMAT).arg("-d").arg(&root).arg(shop.path(ROOT)).arg(SIZE);
    shop.run(command)?;
    fs::remove_dir_all(&root).map_err(LabError::file(&root))
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::copy(from, to).map(drop).map_err(LabError::file(from))
}
