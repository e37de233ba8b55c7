//! Debian packages that the host needs for guests, disks, images and servers. This is the only place that lists them.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use super::{LabError, progress::Step, workshop::Workshop};

/// A package, and a program (or file) by which one sees that it is there.
struct Package {
    name: &'static str,
    proof: &'static str,
}

const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", proof: "qemu-system-x86_64" },
    Package { name: "qemu-utils", proof: "qemu-img" },
    Package { name: "mmdebstrap", proof: "mmdebstrap" },
    Package { name: "debian-archive-keyring", proof: "/usr/share/keyrings/debian-archive-keyring.gpg" },
    Package { name: "e2fsprogs", proof: "mke2fs" },
    Package { name: "iproute2", proof: "ip" },
    Package { name: "kmod", proof: "depmod" },
    Package { name: "xz-utils", proof: "xz" },
    Package { name: "iptables", proof: "iptables" },
    Package { name: "nfs-ganesha", proof: "ganesha.nfsd" },
    Package { name: "nfs-ganesha-vfs", proof: "/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so" },
    Package { name: "util-linux", proof: "unshare" },
    Package { name: "curl", proof: "curl" },
    Package { name: "libc6-dev", proof: "/usr/lib/x86_64-linux-gnu/libc.a" },
];

/// How long apt usually takes here.
const USUAL: std::time::Duration = std::time::Duration::from_secs(40);

/// Installs what is missing; looks at a dozen files when nothing is.
pub(super) fn ensure(log: &Path) -> Result<(), LabError> {
    let missing: Vec<&'static str> = missing(PACKAGES);
    if missing.is_empty() {
        return Ok(());
    }
    let refuse = |why| Err(lacking(&missing, why));
    if find("apt-get").is_none() {
        return refuse("there is no apt-get here");
    }
    if !rustix::process::geteuid().is_root() {
        return refuse("only root may install them");
    }
    eprintln!("installing {}", missing.join(" "));
    let step = Step { name: "Debian packages of the host".to_owned(), number: 1, of: 1, usual: USUAL };
    let mut shop = Workshop::new(step, log.parent().unwrap_or(log), log.to_owned())?;
    shop.run(apt(&["update"]))?;
    shop.run(apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat()))?;
    shop.finish();
    match self::missing(PACKAGES) {
        left if left.is_empty() => Ok(()),
        packages => Err(lacking(&packages, "apt installed them without their programs")),
    }
}

fn lacking(packages: &[&str], why: &str) -> LabError {
    let packages = packages.join(" ");
    LabError::Precondition(format!("the lab needs these packages: {packages}; {why}, so install them first"))
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| find(package.proof).is_none()).map(|package| package.name).collect()
}

/// A program in `PATH` or the directories of the superuser's programs, or the file itself.
fn find(proof: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(proof);
    if path.is_absolute() {
        return path.exists().then(|| path.to_owned());
    }
    let listed = env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    env::split_paths(&listed).chain(fixed).map(|directory| directory.join(proof)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_missed() {
        let packages = [
            Package { name: "dash", proof: "sh" },
            Package { name: "no-such-package", proof: "no-such-program" },
            Package { name: "no-such-library", proof: "/no/such/file" },
        ];
        assert_eq!(missing(&packages), ["no-such-package", "no-such-library"]);
    }
}
