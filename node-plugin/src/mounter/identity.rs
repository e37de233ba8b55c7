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
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the kernel keeps the name, for the network namespace to which this `/sys` belongs.
const FILE: &str = "/sys/fs/nfs/net/nfs_client/identifier";

/// Between the name of the node's client and the number of a further one.
const SEPARATOR: char = '~';

/// Longest name, in bytes: the kernel cuts longer ones at 64 without a word (`CONTAINER_ID_MAXLEN`), and what is cut off is the number.
const LONGEST: usize = 63;

/// What the log says of identities that are not known to be this node's alone.
const IF_SHARED: &str =
    "two nodes of one identity lose their open files and locks to each other on a server that both use";

/// The name of this node's NFS client.
#[derive(Debug)]
pub struct ClientIdentity {
    name: String,
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the kernel has been told, or it is known that it need not be.
    is_settled: bool,
    /// The last further client.
    further: Option<Further>,
}

#[derive(Debug)]
struct Further {
    /// What the kernel had before there were any.
    base: String,
    number: u128,
    name: String,
}

impl ClientIdentity {
    /// A name that no other node has, and has again after a restart: at most 48 bytes.
    pub fn new(name: String) -> Self {
        Self::at(name, FILE.into())
    }

    /// The same for the network namespace whose `/sys` holds `file`.
    pub fn at(name: String, file: PathBuf) -> Self {
        Self { name, file, state: Mutex::default() }
    }

    /// Gives the kernel the name unless it has one. To be called before each mount, when the kernel's NFS client is loaded; works once.
    pub(super) fn settle(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_settled {
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
        state.is_settled = true;
    }

    /// Lets the next mount from an address that the kernel does not know be made by a client of its own.
    ///
    /// Its name is the one that the kernel has, an administrator's included, with a number that no other client has had since the node was started: the
    /// time since then. A name that is too long for that gives way to this node's own.
    pub(super) fn renew(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last = state.further.take();
        let unused = last.as_ref().map_or(0, |last| last.number + 1);
        let base = match self.current()? {
            Some(current) if !self.is_ours(&current) => {
                last.filter(|last| last.name == current).map_or(current, |last| last.base)
            }
            _ => self.name.clone(),
        };
        let number = since_start().as_micros().max(unused);
        let numbered = |base: &str| format!("{base}{SEPARATOR}{number}");
        let name = Some(numbered(&base)).filter(|name| name.len() <= LONGEST).unwrap_or_else(|| numbered(&self.name));
        fs::write(&self.file, &name)?;
        state.further = Some(Further { base, number, name });
        Ok(())
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

/// How long ago the node was started; suspended times count.
fn since_start() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    let (seconds, nanoseconds) = (u64::try_from(since.tv_sec), u32::try_from(since.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
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

    fn renewed(identity: &ClientIdentity) -> String {
        identity.renew().unwrap();
        fs::read_to_string(&identity.file).unwrap()
    }

    fn is_further(name: &str, base: &str) -> bool {
        name.rsplit_once(SEPARATOR).is_some_and(|(of, number)| of == base && number.parse::<u64>().is_ok())
    }

    #[test]
    fn a_further_client_is_named_after_what_the_kernel_has() {
        let dir = tempfile::tempdir().unwrap();
        for (current, base) in
            [("", "node-a"), ("node-a\n", "node-a"), ("node-a~7", "node-a"), ("rack~1", "rack~1"), ("rack", "rack")]
        {
            let identity = identity(&dir, current);
            for name in [renewed(&identity), renewed(&identity)] {
                assert!(is_further(&name, base), "{current}: {name}");
            }
        }
        let name = renewed(&identity(&dir, &"x".repeat(60)));
        assert!(is_further(&name, "node-a"), "the kernel would cut the number off: {name}");
    }

    /// A program of the node may write the administrator's name once more, and the plugin may be started once more.
    #[test]
    fn no_two_further_clients_have_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for current in ["rack", "node-a", "rack", "node-a", "rack"] {
            let identity = identity(&dir, current);
            names.extend([renewed(&identity), renewed(&identity)]);
        }
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
