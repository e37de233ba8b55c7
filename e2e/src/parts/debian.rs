//! Debian's kernel and a small Debian on a disk: what every guest's root file system is an overlay over.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{PartError, store::Inputs, workshop::Workshop};

/// Kernel, in the part's directory.
pub(super) const KERNEL: &str = "vmlinuz";
/// Root disk, in the part's directory.
pub(super) const ROOT: &str = "root.img";
/// Static busybox, in the part's directory.
pub(super) const BUSYBOX: &str = "busybox";
/// Modules for the initial RAM disk, in the part's directory; `order` lists them.
pub(super) const MODULES: &str = "modules";

const SUITE: &str = "bookworm";
/// Size of the root file system; the image is sparse, and so are the guests' overlays.
const SIZE: &str = "8G";

/// Kernel, containers, NFS on both ends, quotas, and what people reach for when a test fails. No systemd: the lab's own
/// init starts what is needed.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "curl",
    "e2fsprogs",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "linux-image-cloud-amd64",
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

/// What the kernel needs to reach its root disk and network card; ext4 is built in.
const EARLY_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net"];

/// Paths of no use in a guest.
const EXCLUDED: &[&str] = &["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/// Another mirror than Debian's own.
fn mirror() -> Option<String> {
    env::var("BERTH_LAB_DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty())
}

pub(super) fn inputs(inputs: &mut Inputs) {
    inputs.add("suite", SUITE);
    inputs.add("size", SIZE);
    for (what, list) in [("package", PACKAGES), ("module", EARLY_MODULES), ("excluded", EXCLUDED)] {
        for entry in list {
            inputs.add(what, entry);
        }
    }
}

pub(super) fn build(shop: &mut Workshop<'_>) -> Result<(), PartError> {
    let root = shop.path("root");
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--mode=root", "--format=directory"]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    command.args(EXCLUDED.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(SUITE).arg(&root).args(mirror());
    // Guests start from a RAM disk of the lab's own; making Debian's would take a third of the time.
    command.env("INITRD", "No");
    shop.run(command)?;
    let release = release(shop, &root)?;
    copy(&root.join(format!("boot/vmlinuz-{release}")), &shop.path(KERNEL))?;
    copy(&root.join("bin/busybox"), &shop.path(BUSYBOX))?;
    modules(shop, &root.join("lib/modules").join(&release))?;
    let fstab = root.join("etc/fstab");
    fs::write(&fstab, "").map_err(PartError::file(&fstab))?;
    let mut command = Command::new("mke2fs");
    // No journal: a guest that is killed loses its overlay anyway.
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-L", "root"]);
    command.arg("-d").arg(&root).arg(shop.path(ROOT)).arg(SIZE);
    shop.run(command)?;
    fs::remove_dir_all(&root).map_err(PartError::file(&root))
}

/// Release of the one kernel that is installed.
fn release(shop: &Workshop<'_>, root: &Path) -> Result<String, PartError> {
    let modules = root.join("lib/modules");
    let mut names: Vec<PathBuf> = fs::read_dir(&modules)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(PartError::file(&modules))?;
    match (names.pop(), names.is_empty()) {
        (Some(path), true) => Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        _ => Err(shop.odd("Debian's kernel package brought not one kernel")),
    }
}

fn modules(shop: &Workshop<'_>, from: &Path) -> Result<(), PartError> {
    let list = from.join("modules.dep");
    let dependencies = fs::read_to_string(&list).map_err(PartError::file(&list))?;
    let to = shop.path(MODULES);
    fs::create_dir(&to).map_err(PartError::file(&to))?;
    let mut order = String::new();
    for path in loading_order(&dependencies) {
        let name = path.rsplit('/').next().unwrap_or(path);
        copy(&from.join(path), &to.join(name))?;
        order.push_str(name);
        order.push('\n');
    }
    fs::write(to.join("order"), order).map_err(PartError::file(&to))
}

/// Paths of [`EARLY_MODULES`] and what they depend on, each after its own dependencies, from a `modules.dep`: one line for
/// each module, `path: dependencies`, the one to be loaded first at the end.
fn loading_order(dependencies: &str) -> Vec<&str> {
    let mut order = Vec::new();
    let lines = EARLY_MODULES.iter().filter_map(|module| {
        let file = format!("/{module}.ko");
        dependencies.lines().find_map(|line| line.split_once(':').filter(|(path, _)| path.ends_with(&file)))
    });
    for (path, needs) in lines {
        for path in needs.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<(), PartError> {
    fs::copy(from, to).map(drop).map_err(PartError::file(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_follow_what_they_depend_on() {
        let list = "a/virtio_pci.ko: v/virtio.ko v/virtio_ring.ko\nv/virtio_ring.ko:\nv/virtio.ko: v/virtio_ring.ko\n\
                    b/virtio_blk.ko: v/virtio.ko v/virtio_ring.ko\nx/other.ko:\n";
        let order = loading_order(list);
        assert_eq!(order, ["v/virtio_ring.ko", "v/virtio.ko", "a/virtio_pci.ko", "b/virtio_blk.ko"]);
    }
}
