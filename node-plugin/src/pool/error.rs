//! Why there is no mount from a server.

use std::io;
use std::path::PathBuf;

use crate::error::remedy::explain;
use crate::mounter::Fault;
use crate::recognise::Weaker;
use crate::server::{Attempt, Others, ServerFault};

/// Why there is no mount from a server.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// None of the server's addresses answers as an NFS server.
    #[error("cannot mount {location}{others}")]
    Server {
        /// What was to be mounted.
        location: String,
        /// What the server's other addresses said.
        others: Others,
        /// What one of them said.
        #[source]
        source: ServerFault,
    },
    /// The kernel, or the server through it, refused.
    #[error("cannot mount {location}{others}: {}", explain(source.cause()))]
    Refused {
        /// What was to be mounted.
        location: String,
        /// What the server's other addresses said.
        others: Others,
        /// The call that failed.
        #[source]
        source: Fault,
    },
    /// The share is mounted, but the volume's directory cannot be reached.
    #[error("cannot use {location}: {}", explain(source.cause()))]
    Directory {
        /// The directory.
        location: String,
        /// The call that failed.
        #[source]
        source: Fault,
    },
    /// The volume's directory was mounted by itself, through a symbolic link.
    #[error("cannot use {location}: a symbolic link stands in its path and leads to {led}; {}", astray(real_share.as_deref()))]
    Astray {
        /// What was to be mounted.
        location: String,
        /// What was.
        led: String,
        /// The path of the share, if the link is in that and the volume's part of the path is as it was.
        real_share: Option<String>,
    },
    /// The kernel mounts without a protection that was asked for.
    #[error(
        "cannot use {location}: the volume asks for {}, and the node's connection to the server has {}; the first mount of a server decides for all \
         others on a node: give every class and volume of this server the option {}, and restart the pods that use them",
        weaker.asked, weaker.found, weaker.asked
    )]
    Weaker {
        /// What was mounted.
        location: String,
        /// What it lacks.
        weaker: Weaker,
    },
    /// Each fresh mount of the share has gone bad at once.
    #[error(
        "cannot use {location}: the server forgets what it has just told, however often the share is mounted afresh; check the server and its export"
    )]
    Restless {
        /// What was to be mounted.
        location: String,
    },
    /// The plugin's own directory.
    #[error("cannot use {} for the pool of mounts", path.display())]
    Pool {
        /// The directory.
        path: PathBuf,
        /// The disk's answer.
        #[source]
        source: io::Error,
    },
}

/// What to do about a link that may be the administrator's or a pod's.
fn astray(real_share: Option<&str>) -> String {
    let why = "where the server does not let the share be mounted as a whole, no link in a volume's path is followed, because a pod may have made it";
    match real_share {
        Some(real) => {
            format!(
                "{why}: if it is the administrator's, write {real} as \"share\" in the StorageClass or PersistentVolume"
            )
        }
        None => format!("{why}: put a directory there"),
    }
}

impl MountError {
    /// What came of the attempt at one address, and of those at the others.
    pub(super) fn of(location: String, (attempt, others): (Attempt, Others)) -> Self {
        match attempt {
            Attempt::Asked(source) => Self::Server { location, others, source },
            Attempt::Mounted(source) => Self::Refused { location, others, source },
        }
    }
}
