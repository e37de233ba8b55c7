//! What a guest is made of.

use std::{net::Ipv4Addr, path::PathBuf};

/// A guest to be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Host name: small letters, digits and `-`.
    pub name: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// Its network.
    pub nic: Nic,
    /// Disks beside the root disk, in order.
    pub disks: Vec<Disk>,
}

/// How a guest is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nic {
    /// A tap device of the caller's network namespace.
    Tap {
        /// Name of the device.
        device: String,
        /// The guest's MAC address.
        mac: String,
        /// The guest's address.
        address: Ipv4Addr,
        /// Prefix length of its network.
        prefix: u8,
        /// Default gateway.
        gateway: Ipv4Addr,
    },
    /// Alone, reachable only for the agent through a port of the host's loopback. It needs no privilege on the host.
    Alone,
}

/// A disk beside the root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// An empty one of the guest's own, `/dev/disk/lab/NAME` inside.
    Empty {
        /// At most 20 characters (virtio's limit).
        name: String,
        /// Size in GiB; takes space as it is written.
        gib: u32,
    },
    /// A shared ext4 image, mounted read-only.
    Programs {
        /// At most 20 characters (virtio's limit).
        name: String,
        /// The image on the host.
        image: PathBuf,
        /// Mount point.
        at: String,
    },
}

/// What every guest boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Linux kernel.
    pub kernel: PathBuf,
    /// Read-only disk with its modules, for `/lib/modules`.
    pub modules: PathBuf,
    /// Archives of the initial RAM disk, one after the other, without a guest's own settings.
    pub initrd: Vec<PathBuf>,
    /// Root file system, a raw image that is never written.
    pub root: PathBuf,
    /// Whether KVM proved itself on this machine.
    pub kvm: bool,
}

impl Spec {
    /// A guest with 2 processors and 2 GiB, alone and without further disks.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), memory_mib: 2048, cpus: 2, nic: Nic::Alone, disks: Vec::new() }
    }
}
