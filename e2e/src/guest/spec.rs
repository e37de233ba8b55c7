//! What a guest is made of.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use crate::base::LabError;

/// What an address must be.
pub(super) const ADDRESS: &str = "an IPv4 address with its prefix length";

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
        /// The guest's address with its prefix length, such as `10.77.0.11/24`.
        address: String,
        /// Default gateway.
        gateway: Option<String>,
    },
    /// Alone, reachable only for the agent through a port of the host's loopback. It needs no privilege on the host.
    Alone,
}

/// A disk beside the root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// An empty one of the guest's own, `/dev/disk/lab/NAME` inside.
    Empty {
        /// At most 20 characters.
        name: String,
        /// Size in GiB; takes space as it is written.
        gib: u32,
    },
    /// A shared ext4 image, mounted read-only.
    Programs {
        /// At most 20 characters.
        name: String,
        /// The image on the host.
        image: PathBuf,
        /// Mount point.
        at: String,
    },
}

impl Disk {
    /// The disk's name inside the guest.
    pub fn name(&self) -> &str {
        match self {
            Self::Empty { name, .. } | Self::Programs { name, .. } => name,
        }
    }
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

    pub(super) fn check(&self) -> Result<(), LabError> {
        let refuse = |what, value: &str, wanted| Err(refusal(what, value, wanted));
        if !is_label(&self.name, 63) {
            return refuse("name", &self.name, "1 to 63 of a-z, 0-9 and -");
        }
        for disk in &self.disks {
            if !is_label(disk.name(), 20) {
                return refuse("disk", disk.name(), "1 to 20 of a-z, 0-9 and - (virtio's limit)");
            }
        }
        if let Nic::Tap { address, gateway, .. } = &self.nic {
            let parts = address.split_once('/');
            let valid = parts.is_some_and(|(ip, prefix)| {
                ip.parse::<Ipv4Addr>().is_ok() && prefix.parse::<u8>().is_ok_and(|bits| bits <= 32)
            });
            if !valid {
                return refuse("address", address, ADDRESS);
            }
            if let Some(gateway) = gateway
                && gateway.parse::<Ipv4Addr>().is_err()
            {
                return refuse("gateway", gateway, "an IPv4 address");
            }
        }
        if let Some(path) = self.disks.iter().find_map(|disk| match disk {
            Disk::Programs { image, .. } if !Path::new(image).is_file() => Some(image),
            _ => None,
        }) {
            return refuse("disk", &path.display().to_string(), "an existing image");
        }
        Ok(())
    }
}

/// The error that says what is wrong with a property.
pub(super) fn refusal(what: &str, value: &str, wanted: &str) -> LabError {
    LabError::Precondition(format!("a guest's {what} `{value}` is not {wanted}"))
}

fn is_label(text: &str, longest: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=longest).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_specs_are_refused() {
        assert!(Spec::new("node-1").check().is_ok());
        assert!(Spec::new("").check().is_err());
        assert!(Spec::new("a b").check().is_err());
        assert!(Spec::new("x$(reboot)").check().is_err());
        let tap = |address: &str, gateway: &str| Spec {
            nic: Nic::Tap {
                device: "tap1".into(),
                mac: "52:54:00:00:00:01".into(),
                address: address.into(),
                gateway: Some(gateway.into()),
            },
            ..Spec::new("n")
        };
        assert!(tap("10.77.0.11/24", "10.77.0.1").check().is_ok());
        assert!(tap("10.77.0.11", "10.77.0.1").check().is_err());
        assert!(tap("10.77.0.11/33", "10.77.0.1").check().is_err());
        assert!(tap("10.77.0.11/24", "gateway").check().is_err());
        let disk = |name: &str| Spec { disks: vec![Disk::Empty { name: name.into(), gib: 1 }], ..Spec::new("n") };
        assert!(disk("share").check().is_ok());
        assert!(disk("a-name-past-twenty-characters").check().is_err());
    }
}
