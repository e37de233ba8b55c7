//! What can go wrong, in the kinds a caller maps to its own codes.

use std::{io, sync::Arc, time::Duration};

use thiserror::Error;

use crate::{NfsStatus, OpCode, Replies};

/// Why a request has no result. Every variant that comes from a server names it as `host:port`. Texts are stable: two
/// failures for the same reason read the same, so that events of one kind can be counted together.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// No connection, or it broke before a session was up. Nothing was executed.
    #[error("NFS server {server} cannot be reached ({address}): {detail}")]
    Unreachable {
        /// The server as configured.
        server: Arc<str>,
        /// What was tried: the name, or the last address.
        address: String,
        /// What failed: name resolution, the connection, a reserved source port.
        detail: String,
        /// The operating system's error.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// Something listens there, but it does not speak NFSv4.1.
    #[error("{server} is not an NFSv4.1 server: {detail}")]
    NotNfs {
        /// The server as configured.
        server: Arc<str>,
        /// What it answered.
        detail: String,
    },
    /// The server's RPC layer refused the caller: the credential, its flavor, or the unreserved source port.
    #[error("NFS server {server} refuses this client: {detail}")]
    RpcDenied {
        /// The server as configured.
        server: Arc<str>,
        /// The server's reason.
        detail: String,
    },
    /// An operation of a compound failed. The operations before it have taken effect, those after it have not.
    #[error("NFS server {server}: {op}: {status}")]
    Status {
        /// The server as configured.
        server: Arc<str>,
        /// The operation that failed.
        op: OpCode,
        /// Its place in the compound, from 0.
        index: usize,
        /// The server's answer.
        status: NfsStatus,
        /// Results of the operations before it.
        completed: Replies,
    },
    /// The server does not let this client give a new object to another owner: a squashed root, usually. What had
    /// been created is removed again as far as possible.
    #[error(
        "NFS server {server} does not let this client set the owner ({owner}): {status}; is the export squashing root?"
    )]
    OwnerRefused {
        /// The server as configured.
        server: Arc<str>,
        /// What was asked for, as `uid:gid`.
        owner: String,
        /// The server's answer.
        status: NfsStatus,
    },
    /// A change was sent and may or may not have happened: look before repeating it.
    #[error("NFS server {server}: it is unknown whether the change happened: {detail}")]
    OutcomeUnknown {
        /// The server as configured.
        server: Arc<str>,
        /// What came between the request and its reply.
        detail: String,
        /// The server may execute it even after this error: the time was up while the request was out. Otherwise the
        /// session it belonged to is gone, and what a look finds now is final.
        may_still_happen: bool,
    },
    /// No answer within the call's time. Nothing was changed.
    #[error("NFS server {server} did not answer in time: {detail}")]
    Timeout {
        /// The server as configured.
        server: Arc<str>,
        /// How long the call has waited.
        after: Duration,
        /// What it was waiting for.
        detail: String,
    },
    /// The server broke the protocol, or a reply was damaged.
    #[error("NFS server {server} broke the protocol: {detail}")]
    Protocol {
        /// The server as configured.
        server: Arc<str>,
        /// What was wrong.
        detail: String,
    },
    /// A component of a path is a symbolic link; links are never followed.
    #[error("NFS server {server}: {path} is a symbolic link, and links are not followed")]
    Symlink {
        /// The server as configured.
        server: Arc<str>,
        /// The path up to the link, or the name.
        path: String,
    },
    /// A component of a path is neither a directory nor a link.
    #[error("NFS server {server}: {path} is not a directory")]
    NotDirectory {
        /// The server as configured.
        server: Arc<str>,
        /// The path up to the object, or the name.
        path: String,
    },
    /// A name that is not one directory entry; nothing was sent.
    #[error("{name:?} is not a file name: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The compound does not fit the session's limits; nothing was sent.
    #[error("NFS server {server} takes at most {limit} {unit} in one request, not {given}")]
    TooLarge {
        /// The server as configured.
        server: Arc<str>,
        /// `operations` or `bytes`.
        unit: &'static str,
        /// How many the compound has.
        given: usize,
        /// How many the server takes.
        limit: usize,
    },
    /// The client has been shut down.
    #[error("the client of NFS server {server} has been shut down")]
    ShutDown {
        /// The server as configured.
        server: Arc<str>,
    },
}

impl Error {
    /// The status, if an operation failed with one.
    pub fn status(&self) -> Option<NfsStatus> {
        match self {
            Self::Status { status, .. } | Self::OwnerRefused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The operation that failed and its place in the compound.
    pub fn failed_op(&self) -> Option<(usize, OpCode)> {
        match self {
            Self::Status { index, op, .. } => Some((*index, *op)),
            _ => None,
        }
    }

    /// Results of the operations before the failed one.
    pub fn completed(&self) -> Option<&Replies> {
        match self {
            Self::Status { completed, .. } => Some(completed),
            _ => None,
        }
    }

    /// Whether the operation failed with this status.
    pub fn is_status(&self, wanted: NfsStatus) -> bool {
        self.status() == Some(wanted)
    }

    /// Whether the same request may succeed later with nobody changing anything: an outage, a restart, an overload.
    /// [`Error::OutcomeUnknown`] is transient too, but the caller has to look before it repeats.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::Timeout { .. } | Self::Protocol { .. } => {
                true
            }
            Self::Status { status, .. } => {
                status.asks_to_wait()
                    || status.is_lost_handle()
                    || status.is_lost_session()
                    || matches!(status, NfsStatus::Io | NfsStatus::ServerFault | NfsStatus::FileOpen)
            }
            Self::NotNfs { .. }
            | Self::RpcDenied { .. }
            | Self::OwnerRefused { .. }
            | Self::Symlink { .. }
            | Self::NotDirectory { .. }
            | Self::BadName { .. }
            | Self::TooLarge { .. }
            | Self::ShutDown { .. } => false,
        }
    }
}
