//! Under which name this node's NFS client introduces itself to servers.
//!
//! A server takes two clients of one name for one that has restarted, and drops what the other has open (RFC 8881 §18.35.4). The kernel's name is the
//! host's, which is "worker-1" in more than one cluster, unless a network namespace has been given another one (`fs/nfs/sysfs.c`, Linux 5.3). And a
//! client that finds under a new address the server that it knows under an old one goes on at the old one, although nothing answers there any more:
//! under another name it is another client.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Where the kernel keeps the name, for the network namespace to which this `/sys` belongs.
const FILE: &str = "/sys/fs/nfs/net/nfs_client/identifier";

/// Between this node's own name and the number of a further client.
const SEPARATOR: char = '~';

/// What the log says of identities that are not known to be this node's alone.
const IF_SHARED: &str =
    "two nodes of one identity lose their open files and locks to each other on a server that both use";

/// The name of this node's NFS client.
#[derive(Debug)]
pub struct ClientIdentity {
    name: String,
    file: PathBuf,
    /// Whether the kernel has been told, or it is known that it need not be.
    is_settled: Mutex<bool>,
}

impl ClientIdentity {
    /// A name that no other node has, and has again after a restart: at most 48 bytes.
    pub fn new(name: String) -> Self {
        Self::at(name, FILE.into())
    }

    /// The same for the network namespace whose `/sys` holds `file`.
    pub fn at(name: String, file: PathBuf) -> Self {
        Self { name, file, is_settled: Mutex::new(false) }
    }

    /// Gives the kernel the name unless it has one. To be called before each mount, when the kernel's NFS client is loaded; works once.
    pub(super) fn settle(&self) {
        let mut is_settled = self.is_settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_settled {
            return;
        }
        match self.current() {
            Ok(None) => match fs::write(&self.file, &self.name) {
                Ok(()) => tracing::info!(identity = self.name, "NFS servers know this node by its identity"),
                Err(error) => {
                    tracing::warn!(error = %error, if_shared = IF_SHARED, "cannot give this node's NFS client an identity");
                }
            },
            Ok(Some(other)) if !self.is_ours(&other) => {
                tracing::warn!(
                    identity = other,
                    if_shared = IF_SHARED,
                    "this node's NFS client has an identity already"
                );
            }
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::warn!(error = %error, if_shared = IF_SHARED, "cannot read the identity of this node's NFS client");
            }
        }
        *is_settled = true;
    }

    /// Lets the next mount from an address that the kernel does not know be made by a client of its own.
    pub(super) fn renew(&self) -> io::Result<()> {
        let number = self.current()?.filter(|current| self.is_ours(current));
        let number = number.and_then(|current| current.split_once(SEPARATOR)?.1.parse().ok()).unwrap_or(0u64);
        fs::write(&self.file, format!("{}{SEPARATOR}{}", self.name, number + 1))
    }

    fn is_ours(&self, current: &str) -> bool {
        current.split(SEPARATOR).next() == Some(&self.name)
    }

    fn current(&self) -> io::Result<Option<String>> {
        let current = fs::read_to_string(&self.file)?;
        let current = current.trim();
        // How printf of the kernel writes that there is none.
        Ok(Some(current).filter(|current| !current.is_empty() && *current != "(null)").map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(dir: &tempfile::TempDir, current: &str) -> ClientIdentity {
        let file = dir.path().join("identifier");
        fs::write(&file, current).unwrap();
        ClientIdentity::at("node-a".to_owned(), file)
    }

    fn settled(current: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let identity = identity(&dir, current);
        identity.settle();
        fs::read_to_string(&identity.file).unwrap()
    }

    #[test]
    fn a_client_without_a_name_gets_this_nodes_and_one_that_has_one_keeps_it() {
        for none in ["", "\n", "(null)\n"] {
            assert_eq!(settled(none), "node-a");
        }
        for own in ["administrator's\n", "node-a~2\n", "node-a\n"] {
            assert_eq!(settled(own), own);
        }
    }

    #[test]
    fn the_kernel_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let identity = identity(&dir, "");
        identity.settle();
        fs::write(&identity.file, "").unwrap();
        identity.settle();
        assert_eq!(fs::read_to_string(&identity.file).unwrap(), "");
    }

    #[test]
    fn each_further_client_has_a_name_that_was_not_used_before() {
        let dir = tempfile::tempdir().unwrap();
        let identity = identity(&dir, "node-a\n");
        for expected in ["node-a~1", "node-a~2"] {
            identity.renew().unwrap();
            assert_eq!(fs::read_to_string(&identity.file).unwrap(), expected);
        }
        fs::write(&identity.file, "administrator's~7").unwrap();
        identity.renew().unwrap();
        assert_eq!(fs::read_to_string(&identity.file).unwrap(), "node-a~1");
    }
}
