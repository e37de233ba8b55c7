//! Disks that guests mount read-only.

use std::{fs, path::Path, process::Command};

use super::{LabError, workshop::Workshop};

/// Writes an ext4 image with what lies below `tree` to the file `name` of the part.
pub(super) fn read_only(shop: &mut Workshop, tree: &Path, label: &str, name: &str) -> Result<(), LabError> {
    // A tenth and 8 MiB more than the files take, for the file system's own tables.
    let mebibytes = (size(tree)? >> 20) * 11 / 10 + 8;
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-L", label]);
    command.arg("-d").arg(tree).arg(shop.path(name)).arg(format!("{mebibytes}M"));
    shop.run(command)
}

fn size(directory: &Path) -> Result<u64, LabError> {
    let mut total = 0;
    for entry in fs::read_dir(directory).map_err(LabError::file(directory))? {
        let path = entry.map_err(LabError::file(directory))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(LabError::file(&path))?;
        // Whole blocks: a file of one byte takes one.
        total += if metadata.is_dir() { size(&path)? } else { metadata.len().next_multiple_of(4096) };
    }
    Ok(total)
}
