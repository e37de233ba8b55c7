//! A guest's own settings, appended to the initial RAM disk that all guests share.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{Disk, Image, Nic, Spec, cpio::archive, qemu::MODULES};
use crate::base::LabError;

/// Address of a guest that is alone; qemu's user network hands out nothing else.
const ALONE: &str = "10.0.2.15/24";

/// A secret of 128 bits, as hexadecimal text.
pub(super) fn token() -> Result<String, LabError> {
    let mut bytes = [0; 16];
    let source = "/dev/urandom";
    File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).map_err(LabError::file(source))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Writes the initial RAM disk of one guest to `path`, readable for its owner only: it holds the token.
pub(super) fn write(path: &Path, image: &Image, spec: &Spec, token: &str) -> Result<(), LabError> {
    let mut bytes = Vec::new();
    for part in &image.initrd {
        bytes.append(&mut fs::read(part).map_err(LabError::file(part))?);
    }
    let own = [
        ("/lab/token".to_owned(), 0o600, token.as_bytes().to_vec()),
        ("/lab/guest.conf".to_owned(), 0o644, settings(spec, token).into_bytes()),
    ];
    let mut write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        bytes.append(&mut archive(&["/lab"], &own)?);
        file.write_all(&bytes)
    };
    write().map_err(LabError::file(path))
}

/// The settings as a shell script reads them. What makes a guest's description are constants of the lab, of which none needs
/// quoting.
fn settings(spec: &Spec, token: &str) -> String {
    let (address, gateway) = match &spec.nic {
        Nic::Tap { address, prefix, gateway, .. } => (format!("{address}/{prefix}"), gateway.to_string()),
        Nic::Alone => (ALONE.to_owned(), String::new()),
    };
    let programs = spec.disks.iter().filter_map(|disk| match disk {
        Disk::Programs { name, at, .. } => Some(format!("{name}:{at}")),
        Disk::Empty { .. } => None,
    });
    let programs: Vec<String> = std::iter::once(format!("{MODULES}:/lib/modules")).chain(programs).collect();
    // Any 32 digits serve as machine id, as long as they differ between guests; half of the token is not the token.
    let machine = format!("{}{:0>16}", &token[..16.min(token.len())], "");
    format!(
        "LAB_HOSTNAME={}\nLAB_ADDRESS={address}\nLAB_GATEWAY={gateway}\nLAB_PROGRAMS='{}'\nLAB_MACHINE_ID={machine}\n",
        spec.name,
        programs.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn settings_name_every_programs_disk() {
        let mut spec = Spec::new("node-1");
        spec.disks = vec![
            Disk::Empty { name: "share".into(), gib: 1 },
            Disk::Programs { name: "node".into(), image: "/x".into(), at: "/opt/node".into() },
        ];
        let text = settings(&spec, "0123456789abcdef0123456789abcdef");
        assert!(text.contains("LAB_HOSTNAME=node-1\n"));
        assert!(text.contains("LAB_PROGRAMS='modules:/lib/modules node:/opt/node'\n"));
        assert!(text.contains("LAB_MACHINE_ID=0123456789abcdef0000000000000000\n"));
    }
}
