//! Debian's kernels. Each is a part of its own: the kernel, a disk with its modules, and an archive of those that it needs
//! before it can mount a disk. So one root file system serves them all.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;

use super::{LabError, disk, store::Inputs, workshop::Workshop};
use crate::guest::cpio::archive;

/// The kernel, in the part's directory.
pub(super) const KERNEL: &str = "vmlinuz";
/// Read-only disk that a guest mounts at `/lib/modules`, in the part's directory.
pub(super) const MODULES: &str = "modules.img";
/// Archive for the initial RAM disk, in the part's directory: `/modules/order` and the modules that it lists.
pub(super) const EARLY: &str = "early.cpio";

/// Debian's kernel for virtual machines, the newest of its suite.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// What a kernel needs to reach its root disk and network card; ext4 is built in.
const EARLY_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net"];

/// A kernel of Debian's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Kernel {
    /// Linux 5.10, of Debian 11: has `fsmount(2)` and lacks `mount_setattr(2)`.
    #[value(name = "5.10")]
    Linux5_10,
    /// Linux 6.1, of Debian 12: the one that nodes of the lab boot.
    #[value(name = "6.1")]
    Linux6_1,
    /// Linux 6.12, of Debian 13.
    #[value(name = "6.12")]
    Linux6_12,
    /// The newest that Debian offers for a released suite, from its backports.
    Newest,
}

impl Kernel {
    /// How people name it: its version, or `newest`.
    pub fn name(self) -> &'static str {
        &self.part()["kernel-".len()..]
    }

    /// The name under which its part is kept.
    pub(super) const fn part(self) -> &'static str {
        match self {
            Self::Linux5_10 => "kernel-5.10",
            Self::Linux6_1 => "kernel-6.1",
            Self::Linux6_12 => "kernel-6.12",
            Self::Newest => "kernel-newest",
        }
    }

    /// Suites to fetch from; the kernel comes from the last. The archive alone, without security updates: those of a suite
    /// that is no longer supported are listed and not served.
    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Linux5_10 => &["bullseye"],
            Self::Linux6_1 => &["bookworm"],
            Self::Linux6_12 => &["trixie"],
            Self::Newest => &["trixie", "trixie-backports"],
        }
    }
}

/// Another mirror than Debian's own.
pub(super) fn other_mirror() -> Option<String> {
    env::var("BERTH_LAB_DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty())
}

pub(super) fn inputs(kernel: Kernel, inputs: &mut Inputs) {
    inputs.add("package", PACKAGE);
    for (what, list) in [("suite", kernel.suites()), ("module", EARLY_MODULES)] {
        for entry in list {
            inputs.add(what, entry);
        }
    }
}

pub(super) fn build(kernel: Kernel, shop: &mut Workshop) -> Result<(), LabError> {
    let root = shop.path("root");
    fetch(kernel, shop, &root)?;
    let (modules, release) = modules_of(shop, &root)?;
    // Debian 13 and later keep the kernel beside its modules.
    let places = [modules.join("vmlinuz"), root.join("boot").join(format!("vmlinuz-{release}"))];
    let Some(vmlinuz) = places.iter().find(|place| place.is_file()) else {
        return Err(shop.odd(format!("{PACKAGE} brought the modules of {release} and no kernel")));
    };
    rename(vmlinuz, &shop.path(KERNEL))?;

    let tree = shop.path("tree");
    let all = tree.join("lib/modules");
    let home = all.join(&release);
    fs::create_dir_all(&all).map_err(LabError::file(&all))?;
    rename(&modules, &home)?;
    fs::remove_dir_all(&root).map_err(LabError::file(&root))?;
    let mut command = Command::new("depmod");
    command.arg("-b").arg(&tree).arg(&release);
    shop.run(command)?;
    early(shop, &home)?;
    disk::read_only(shop, &all, "modules", MODULES)?;
    fs::remove_dir_all(&tree).map_err(LabError::file(&tree))
}

/// Unpacks the package, and what it depends on, without installing anything.
fn fetch(kernel: Kernel, shop: &mut Workshop, root: &Path) -> Result<(), LabError> {
    let mirror = other_mirror().unwrap_or_else(|| "http://deb.debian.org/debian".to_owned());
    let suite = kernel.suites().last().copied().unwrap_or_default();
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=extract", "--mode=root", "--format=directory"]);
    command.arg(format!("--include={PACKAGE}/{suite}")).arg(suite).arg(root);
    command.args(kernel.suites().iter().map(|suite| format!("deb {mirror} {suite} main")));
    shop.run(command).map_err(|error| match error {
        LabError::Step { part, log, .. } if is_refusal(&fs::read_to_string(&log).unwrap_or_default()) => {
            LabError::NotServed { part, log }
        }
        other => other,
    })
}

/// Whether what apt printed is the mirror's refusal, and not a mirror that could not be asked.
fn is_refusal(log: &str) -> bool {
    let refused = [
        "404  Not Found",
        "does not have a Release file",
        "Unable to locate package",
        "has no installation candidate",
        &format!("for '{PACKAGE}' was not found"),
    ];
    let unreachable = ["Temporary failure resolving", "Could not resolve", "Could not connect", "Connection failed"];
    let says = |words: &[&str]| words.iter().any(|word| log.contains(word));
    says(&refused) && !says(&unreachable)
}

/// The directory of the one kernel's modules, and the kernel's release.
fn modules_of(shop: &Workshop, root: &Path) -> Result<(PathBuf, String), LabError> {
    let parents = ["lib/modules", "usr/lib/modules"].map(|parent| root.join(parent));
    let found = parents.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten();
    let mut found: Vec<(PathBuf, OsString)> = found.map(|entry| (entry.path(), entry.file_name())).collect();
    match (found.pop(), found.is_empty()) {
        (Some((path, release)), true) => Ok((path, release.to_string_lossy().into_owned())),
        _ => Err(shop.odd(format!("{PACKAGE} did not bring exactly one kernel"))),
    }
}

/// Writes the archive of early modules.
fn early(shop: &mut Workshop, from: &Path) -> Result<(), LabError> {
    let read = |name: &str| {
        let path = from.join(name);
        fs::read_to_string(&path).map_err(LabError::file(path))
    };
    let (dependencies, built_in) = (read("modules.dep")?, read("modules.builtin")?);
    let order = loading_order(&dependencies, &built_in)
        .map_err(|module| shop.odd(format!("this kernel has no module {module}, which guests start with")))?;
    let scratch = shop.path("early");
    fs::create_dir(&scratch).map_err(LabError::file(&scratch))?;
    let (mut files, mut names) = (Vec::new(), String::new());
    for path in order {
        let packed = scratch.join(path.rsplit('/').next().unwrap_or(path));
        fs::copy(from.join(path), &packed).map_err(LabError::file(&packed))?;
        let plain = if packed.extension().is_some_and(|extension| extension == "xz") {
            // The first program of a guest cannot read them.
            let mut command = Command::new("xz");
            command.arg("--decompress").arg(&packed);
            shop.run(command)?;
            packed.with_extension("")
        } else {
            packed
        };
        let name = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((format!("/modules/{name}"), 0o644, fs::read(&plain).map_err(LabError::file(&plain))?));
        names += &(name + "\n");
    }
    files.push(("/modules/order".to_owned(), 0o644, names.into_bytes()));
    let path = shop.path(EARLY);
    archive(&["/modules"], &files).and_then(|bytes| fs::write(&path, bytes)).map_err(LabError::file(&path))?;
    fs::remove_dir_all(&scratch).map_err(LabError::file(&scratch))
}

/// Paths of [`EARLY_MODULES`] and what they depend on, each after its own dependencies, from a `modules.dep`: one line for
/// each module, `path: dependencies`, the one to be loaded first at the end. What is built into the kernel (`modules.builtin`,
/// a path on each line) is left out; what is in neither is the error.
fn loading_order<'a>(dependencies: &'a str, built_in: &str) -> Result<Vec<&'a str>, &'static str> {
    let mut order = Vec::new();
    for &module in EARLY_MODULES {
        let is_it = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or(path);
            file.strip_prefix(module).is_some_and(|rest| rest == ".ko" || rest == ".ko.xz")
        };
        let line = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_it(path));
        let Some((path, needs)) = line else {
            if built_in.lines().any(is_it) {
                continue;
            }
            return Err(module);
        };
        for path in needs.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

fn rename(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::rename(from, to).map_err(LabError::file(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_follow_what_they_depend_on() {
        let list = "a/virtio_pci.ko: v/virtio.ko v/virtio_ring.ko\nv/virtio_ring.ko:\nv/virtio.ko: v/virtio_ring.ko\n\
                    b/virtio_blk.ko: v/virtio.ko v/virtio_ring.ko\nn/virtio_net.ko: v/virtio.ko\nx/other.ko:\n";
        let order = loading_order(list, "").unwrap();
        let wanted = ["v/virtio_ring.ko", "v/virtio.ko", "a/virtio_pci.ko", "b/virtio_blk.ko", "n/virtio_net.ko"];
        assert_eq!(order, wanted);
    }

    #[test]
    fn what_is_built_in_need_not_be_loaded_and_what_is_missing_is_named() {
        let list = "b/virtio_blk.ko.xz:\nn/virtio_net.ko.xz: n/failover.ko.xz\nn/virtio_net_other.ko.xz:\n";
        let order = loading_order(list, "v/virtio.ko\nv/virtio_pci.ko\n").unwrap();
        assert_eq!(order, ["b/virtio_blk.ko.xz", "n/failover.ko.xz", "n/virtio_net.ko.xz"]);
        assert_eq!(loading_order(list, "v/virtio_pci_modern_dev.ko\n"), Err("virtio_pci"));
    }

    #[test]
    fn a_refusal_is_not_a_mirror_out_of_reach() {
        for refused in [
            "E: Failed to fetch http://deb.example/x.deb  404  Not Found [IP: 192.0.2.1 80]",
            "E: The repository 'http://deb.example/debian bullseye Release' does not have a Release file.",
            "E: Release 'trixie-backports' for 'linux-image-cloud-amd64' was not found",
            "E: Unable to locate package linux-image-cloud-amd64",
        ] {
            assert!(is_refusal(refused), "{refused}");
        }
        for other in [
            "E: Failed to fetch http://deb.example/x  Temporary failure resolving 'deb.example'\n\
             E: The repository 'http://deb.example/debian bullseye Release' does not have a Release file.",
            "E: mmdebstrap: cannot write: No space left on device",
            "",
        ] {
            assert!(!is_refusal(other), "{other}");
        }
    }
}
