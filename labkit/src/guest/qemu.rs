//! The qemu command line.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use super::{Disk, Image, Nic, Spec, wire::PORT};
use crate::base::{LabError, Tool};

/// Name of the disk with the kernel's modules.
pub(super) const MODULES: &str = "modules";

/// The emulator that guests run on.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What every machine of the lab has: kernel, console, no firmware menus, no default devices. It ends when the guest
/// reboots or its kernel panics.
///
/// A stock kernel hangs on some hosts that offer `/dev/kvm`; software emulation with one host thread per processor is
/// what works everywhere.
pub(crate) fn qemu_command(kvm: bool, kernel: &Path, initrd: &Path, console: &Path, extra: &str) -> Command {
    let mut command = Command::new(QEMU);
    if kvm {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]);
    command.arg("-serial").arg(format!("file:{}", escape(console)));
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    command
        .arg("-append")
        .arg(format!("console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off {extra}").trim_end());
    command
}

/// How a guest's card appears to qemu and where its agent will be reached.
pub(super) fn place(nic: &Nic) -> Result<([String; 2], SocketAddr), LabError> {
    match nic {
        Nic::Tap { device, mac, address, .. } => {
            let host = format!("tap,id=net,ifname={device},script=no,downscript=no");
            Ok(([host, format!("virtio-net-pci,netdev=net,mac={mac}")], SocketAddr::from((*address, PORT))))
        }
        Nic::Alone => {
            // Another program could take the port in the moment before qemu does; then qemu ends and says so.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .map_err(LabError::file("a free port of the loopback"))?;
            let host = format!("user,id=net,restrict=on,hostfwd=tcp:{free}-:{PORT}");
            Ok(([host, "virtio-net-pci,netdev=net".to_owned()], free))
        }
    }
}

/// Makes the guest's own disks and returns the command that starts it.
pub(super) fn command(spec: &Spec, image: &Image, directory: &Path, nic: &[String; 2]) -> Result<Command, LabError> {
    let (initrd, console) = (directory.join("initrd"), directory.join("console.log"));
    let mut command = qemu_command(image.kvm, &image.kernel, &initrd, &console, "");
    command.arg("-name").arg(&spec.name);
    command.args(["-smp", &spec.cpus.to_string(), "-m", &spec.memory_mib.to_string()]);
    command.args(["-netdev", &nic[0], "-device", &nic[1], "-device", "virtio-rng-pci"]);
    let root = directory.join("root.qcow2");
    let base = ["-F", "raw", "-b", &image.root.display().to_string()].map(str::to_owned);
    make_disk(&root, &base, None)?;
    add_disk(&mut command, "root", &root, "format=qcow2,cache=unsafe");
    add_disk(&mut command, MODULES, &image.modules, "format=raw,readonly=on");
    for disk in &spec.disks {
        match disk {
            Disk::Empty { name, gib } => {
                let path = directory.join(format!("{name}.qcow2"));
                make_disk(&path, &[], Some(*gib))?;
                add_disk(&mut command, name, &path, "format=qcow2,cache=unsafe,discard=unmap");
            }
            Disk::Programs { name, image, .. } => add_disk(&mut command, name, image, "format=raw,readonly=on"),
        }
    }
    Ok(command)
}

fn add_disk(command: &mut Command, name: &str, path: &Path, options: &str) {
    command.arg("-drive").arg(format!("if=none,id={name},file={},{options}", escape(path)));
    command.arg("-device").arg(format!("virtio-blk-pci,drive={name},serial={name}"));
}

fn make_disk(path: &Path, base: &[String], gib: Option<u32>) -> Result<(), LabError> {
    let size = gib.map(|gib| format!("{gib}G"));
    let tool = Tool::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).args(base).arg(path).args(size);
    tool.output().map(drop)
}

/// A path as qemu's option syntax wants it: commas are doubled.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_guest_is_reached_at_its_own_address() {
        let nic = Nic::Tap {
            device: "tap1".into(),
            mac: "52:54:00:77:00:0b".into(),
            address: Ipv4Addr::new(10, 77, 0, 11),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 77, 0, 1),
        };
        let ([host, card], agent) = place(&nic).unwrap();
        assert_eq!(agent.to_string(), "10.77.0.11:4022");
        assert!(host.contains("ifname=tap1,"));
        assert!(card.ends_with("mac=52:54:00:77:00:0b"));
    }

    #[test]
    fn a_lone_guest_is_reached_through_the_loopback() {
        let ([host, _], agent) = place(&Nic::Alone).unwrap();
        assert!(agent.ip().is_loopback());
        assert!(host.contains(&format!("hostfwd=tcp:{agent}-:4022")));
    }

    #[test]
    fn commas_in_paths_are_no_options() {
        assert_eq!(escape(Path::new("/a,b/c")), "/a,,b/c");
    }
}
