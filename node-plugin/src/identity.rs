//! A name that no other node has: drawn when the plugin first runs on a node, and kept on the node's disk.
//!
//! The node's name in Kubernetes will not do, because two clusters may use one NFS server; nor will what the machine or its image says of itself, because
//! images are copied.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// File in the plugin's directory on the node.
const FILE: &str = "client-identity";

/// Where the kernel draws a random UUID for each reader.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Reads the name of this node from the plugin's directory, or draws one and writes it there.
pub fn of_this_node(plugin_dir: &Path) -> io::Result<String> {
    let file = plugin_dir.join(FILE);
    match read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read,
    }
    fs::create_dir_all(plugin_dir)?;
    let name = format!("berth-{}", fs::read_to_string(RANDOM)?.trim());
    // Complete or not there: a name that was cut short might be another node's too.
    let draft = plugin_dir.join(format!("{FILE}.new"));
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    written.write_all(name.as_bytes())?;
    written.sync_all()?;
    fs::rename(&draft, &file)?;
    read(&file)
}

fn read(file: &Path) -> io::Result<String> {
    let name = fs::read_to_string(file)?.trim().to_owned();
    let is_name =
        !name.is_empty() && name.len() <= 48 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then_some(name).ok_or_else(|| {
        let text = format!("{} does not hold a name of this node: remove it, and another is drawn", file.display());
        io::Error::new(ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_no_two_have_one() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = of_this_node(&one.path().join("plugins/csi.example")).unwrap();
        assert_eq!(of_this_node(&one.path().join("plugins/csi.example")).unwrap(), name);
        assert_ne!(of_this_node(other.path()).unwrap(), name);
        assert!(name.len() <= 48 && name.starts_with("berth-"), "{name}");
    }

    #[test]
    fn what_is_no_name_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for wrong in ["", "two words", "~1", &"x".repeat(49)] {
            fs::write(dir.path().join(FILE), wrong).unwrap();
            let error = of_this_node(dir.path()).unwrap_err();
            assert!(error.to_string().contains("remove it"), "{error}");
        }
    }
}
