//! Whether the pool is where nobody else sees it.

use std::path::Path;

use super::Pool;
use crate::mounter::Mounter;
use crate::mountinfo::MountTable;
use crate::server::Servers;

/// Why the pool's mounts are seen outside the plugin's container, or might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    /// It lies in what is mounted above it: in a container's root, which propagates as soon as one mount in the container does.
    #[error(
        "it is no mount of its own: give the container a volume at this path, an emptyDir without mountPropagation"
    )]
    Within,
    /// What is mounted in it appears in other mount namespaces.
    #[error("what is mounted in it propagates to the node: mount the volume at this path with mountPropagation None")]
    Propagates,
}

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// Says in the log if the pool is not where nobody else sees it, and what to do. It works all the same.
    pub(crate) fn check_place(&self) {
        // As the mount table shows it.
        let place = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        let checked = self.mounter.table().map(|table| check(&table, &place));
        let shown = place.display();
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(misplaced)) => {
                tracing::error!(pool = %shown, error = %misplaced, "the pool of mounts is not hidden from the node");
            }
            Err(error) => {
                tracing::warn!(pool = %shown, error = %error, "cannot tell whether the pool of mounts is hidden from the node");
            }
        }
    }
}

fn check(table: &MountTable, place: &Path) -> Result<(), Misplaced> {
    match table.top(place) {
        None => Err(Misplaced::Within),
        Some(entry) if entry.is_shared => Err(Misplaced::Propagates),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &str) -> Result<(), Misplaced> {
        let root = "24 1 0:40 / / rw,relatime shared:1 - overlay overlay rw\n";
        check(&MountTable::parse(format!("{root}{lines}").as_bytes()).unwrap(), Path::new("/run/berth/pool"))
    }

    #[test]
    fn a_pool_is_a_mount_of_its_own_that_propagates_to_nobody() {
        assert_eq!(found("30 24 254:1 /pods/1/pool /run/berth/pool rw - ext4 /dev/vda1 rw\n"), Ok(()));
        assert_eq!(found("30 24 254:1 /pods/1/pool /run/berth/pool rw master:7 - ext4 /dev/vda1 rw\n"), Ok(()));
        assert_eq!(found(""), Err(Misplaced::Within));
        assert_eq!(found("30 24 254:1 / /run/berth rw - ext4 /dev/vda1 rw\n"), Err(Misplaced::Within));
        let shared = found("30 24 254:1 /pods/1/pool /run/berth/pool rw master:7 shared:9 - ext4 /dev/vda1 rw\n");
        assert_eq!(shared, Err(Misplaced::Propagates));
    }
}
