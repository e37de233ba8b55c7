//! Everything that can go wrong with an operation, and the one table from there to gRPC codes.
//!
//! The codes are a contract with whoever repeats failed calls (CSI specification, "Error Scheme"; `docs/errors.md` lists
//! them with their remedies). Kubernetes takes `ABORTED`, `UNAVAILABLE` and `DEADLINE_EXCEEDED` for "it may be going on:
//! call again, even when the claim is gone", so they are kept for exactly that; `INVALID_ARGUMENT` for "no repetition
//! will help", so it is kept for requests that are wrong in themselves; everything else ends an attempt for good, so
//! nothing of it may go on behind such an answer.

mod codes;
mod finality;
mod occupied;
mod remedy;

use self::codes::storage_code;
pub use self::finality::Finality;
pub use self::occupied::Occupied;

use std::sync::Arc;

use csi_runtime::status::message;
use nfs_client::NfsStatus;
use tonic::Code;
use volume::ShareIdentity;
use volume::capacity::CapacityError;
use volume::id::IdError;
use volume::mount_options::MountOptionError;
use volume::parameters::ParameterError;
use volume::record::RecordError;
use volume::template::TemplateError;

/// Why an operation did not succeed.
///
/// `Display` says this layer only; [`OperationError::message`] is the whole sentence for people: what failed, on which
/// server and path, why, and what to do. It is the same for the same failure, so that events can be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// A job for the same volume, or for another volume in the same place, has not ended yet.
    #[error("another operation on {0} is still running")]
    InProgress(String),
    /// A field that the specification requires is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something was asked for that this driver does not do.
    #[error("{0}")]
    NotOffered(&'static str),
    /// The parameters of the class.
    #[error("the parameters of the StorageClass cannot be used")]
    Parameters(#[source] ParameterError),
    /// The class's `subDir` gives no directory for this volume.
    #[error("the StorageClass's parameter \"subDir\" cannot be filled in")]
    SubDir(#[source] TemplateError),
    /// No id can be made.
    #[error("the volume cannot have an id")]
    Id(#[source] IdError),
    /// No size fits.
    #[error("the size cannot be had")]
    Capacity(#[source] CapacityError),
    /// Mount options that no node would accept.
    #[error("the mount options cannot be used")]
    MountOptions(#[source] MountOptionError),
    /// What has to be kept of the volume does not fit where it is kept.
    #[error("the volume cannot be recorded")]
    Unrecordable(#[source] RecordError),
    /// An id that a release of this driver gave and that this one cannot read: nothing is done to what is not understood.
    #[error("the volume cannot be found by its id")]
    UnreadableId(#[source] IdError),
    /// A volume of a driver whose name this one has, and whose volumes it cannot serve yet.
    #[error("the volume is one of driver {0}, and this release cannot delete those")]
    PeersVolume(&'static str),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// The volume exists, and it is not what is asked for now.
    #[error("volume {name:?} exists on {location} with {what} {found}, not {wanted}")]
    Different {
        /// The volume.
        name: String,
        /// `server:share` that holds it.
        location: String,
        /// What differs.
        what: &'static str,
        /// What the record says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Something that is not this volume's is where its directory should be.
    #[error("{location} is taken by {by}")]
    Occupied {
        /// `server:path` of the place.
        location: String,
        /// By what.
        by: Occupied,
    },
    /// A record that cannot be read: nothing is done to a volume that is not understood.
    #[error("the record {location} cannot be read")]
    Record {
        /// `server:path` of the record.
        location: String,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// A record or a claim that the driver has not written, or not there.
    #[error("{location} does not count: {problem}")]
    NotBelieved {
        /// `server:path` of it.
        location: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Others could write where the driver keeps what it trusts.
    #[error("{location}, where the driver keeps its records, {problem}")]
    Untrusted {
        /// `server:path` of the folder.
        location: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The server gives others permissions that they were not to have where the driver keeps what it trusts.
    #[error(
        "the server does not keep permissions: {location}, where the driver keeps its records, was to have mode {wanted:04o} and has \
         {found:04o}, so that others could write there"
    )]
    ModesOverruled {
        /// `server:path` of the folder.
        location: String,
        /// The mode that was asked for.
        wanted: u32,
        /// The one that it has.
        found: u32,
    },
    /// The server does not let the controller set a mode, and has not given the directory the one that was asked for.
    #[error("the server does not let the controller give {location} the mode {wanted:04o}")]
    ModeRefused {
        /// `server:path` of the directory.
        location: String,
        /// The mode that was asked for.
        wanted: u32,
        /// What the server said.
        #[source]
        source: nfs_client::Error,
    },
    /// The share does not exist, or is no directory.
    #[error("the share {location} does not exist")]
    ShareMissing {
        /// `server:share`.
        location: String,
        /// The controller came from a port of 1024 or above. Servers answer such callers as if an export that demands a
        /// lower one did not exist.
        high_port: bool,
        /// What the server said.
        #[source]
        source: nfs_client::Error,
    },
    /// The share holds nothing of the driver's, although volumes were made there.
    #[error("the share {location} has no folder .berth, so nobody can tell what became of the volumes there")]
    ShareEmpty {
        /// `server:share`.
        location: String,
    },
    /// Another share is where volumes were made.
    #[error(
        "the share {location} is another one than that on which the driver has volumes: its identity is {}, and theirs is {expected}",
        .found.map_or_else(|| "not written".to_owned(), |found| found.to_string())
    )]
    ShareReplaced {
        /// `server:share`.
        location: String,
        /// What lies there, if anything tells.
        found: Option<ShareIdentity>,
        /// What should.
        expected: ShareIdentity,
    },
    /// The share lies in a volume of another share of the same server.
    #[error("the share {location} lies inside the volume in {volume}")]
    ShareInVolume {
        /// `server:share`
        location: String,
        /// `server:path` of the volume.
        volume: String,
    },
    /// The driver cannot keep its records on the share.
    #[error("the controller may not write to the share {location}")]
    ShareReadOnly {
        /// `server:share`.
        location: String,
        /// What the server said.
        #[source]
        source: nfs_client::Error,
    },
    /// The server does not let the controller set an owner.
    #[error("the server does not let the controller give {location} the owner {wanted}")]
    OwnerRefused {
        /// `server:path` of the directory.
        location: String,
        /// `uid:gid`
        wanted: String,
        /// What the server said.
        #[source]
        source: nfs_client::Error,
    },
    /// The server said yes and did something else.
    #[error("{location} was to have {what} {wanted}, and the server gave it {found}")]
    NotKept {
        /// `server:path` of the directory.
        location: String,
        /// `mode`, `owner` or `group`.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// What the server says it is.
        found: String,
    },
    /// The place is on another file system of the server than the share, so nothing can be renamed between them.
    #[error("{location} is on another file system of the server than its share")]
    OtherFileSystem {
        /// `server:path` of the place.
        location: String,
    },
    /// Any other failure on the server, or on the way to it.
    #[error("cannot {doing} {location}")]
    Storage {
        /// A verb with what it is done to, so that `cannot {doing} {location}` is a sentence.
        doing: &'static str,
        /// `server:path`
        location: String,
        /// What went wrong.
        #[source]
        source: nfs_client::Error,
    },
    /// The server has not answered lately, so it was not asked.
    #[error("{location} was not asked: its server does not answer ({reason})")]
    NotAnswering {
        /// `server:share`
        location: String,
        /// What the last one who asked was told.
        reason: String,
    },
    /// The failure of an attempt that others had waited for.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// Others changed the same volume again and again while it was made.
    #[error("{0} changes while the volume is made")]
    Contended(String),
    /// The attempt failed for good, and it or an earlier one may have left something on the share: only a repetition can go
    /// on from that or take it back.
    #[error(transparent)]
    InDoubt(Box<Self>),
    /// A bug: the job ended without a result.
    #[error("the operation on {0} ended without a result")]
    Crashed(String),
}

impl OperationError {
    /// The code a caller gets.
    pub fn code(&self) -> Code {
        match self {
            Self::InProgress(_)
            | Self::Contended(_)
            | Self::Occupied { by: Occupied::Unfinished(_) | Occupied::Begun, .. } => Code::Aborted,
            Self::Missing(_)
            | Self::NotOffered(_)
            | Self::Parameters(_)
            | Self::SubDir(_)
            | Self::Id(_)
            | Self::Capacity(_)
            | Self::MountOptions(_)
            | Self::Unrecordable(_) => Code::InvalidArgument,
            Self::NoVolume(_) => Code::NotFound,
            Self::Different { .. } => Code::AlreadyExists,
            Self::Occupied { .. }
            | Self::UnreadableId(_)
            | Self::PeersVolume(_)
            | Self::Record { .. }
            | Self::NotBelieved { .. }
            | Self::Untrusted { .. }
            | Self::ShareMissing { .. }
            | Self::ShareEmpty { .. }
            | Self::ShareReplaced { .. }
            | Self::ShareInVolume { .. }
            | Self::ShareReadOnly { .. }
            | Self::ModesOverruled { .. }
            | Self::ModeRefused { .. }
            | Self::OwnerRefused { .. }
            | Self::NotKept { .. }
            | Self::OtherFileSystem { .. } => Code::FailedPrecondition,
            Self::Storage { source, .. } => storage_code(source),
            // Of a job that has panicked nobody knows how far it came: only a repetition goes on from there.
            Self::InDoubt(_) | Self::NotAnswering { .. } | Self::Crashed(_) => Code::Unavailable,
            Self::Shared(error) => error.code(),
        }
    }

    /// The whole sentence: this error, what caused it, and what to do. Never empty, the same for the same failure.
    pub fn message(&self) -> String {
        let mut text = message(self);
        if let Some(remedy) = self.remedy() {
            text.push_str("; ");
            text.push_str(remedy);
        }
        if let Self::InDoubt(_) = self {
            text.push_str("; a part of the volume may be left on the share, so the attempt is repeated");
        }
        text
    }

    /// The same error where an attempt may have left something: not final.
    pub(crate) fn in_doubt(self) -> Self {
        Self::InDoubt(Box::new(self))
    }

    /// Whether a repetition goes on where this one ended, so that nothing may be undone.
    pub(crate) fn is_retried(&self) -> bool {
        self.finality() == Finality::InBackground
    }

    /// Whether the share under the path is another one than it should be, or none.
    pub(crate) fn is_another_share(&self) -> bool {
        match self {
            Self::ShareEmpty { .. } | Self::ShareReplaced { .. } | Self::ShareMissing { .. } => true,
            Self::Shared(error) => error.is_another_share(),
            _ => false,
        }
    }

    /// Whether a handle that was kept leads nowhere any more.
    pub(crate) fn is_lost_handle(&self) -> bool {
        self.nfs_status().is_some_and(NfsStatus::is_lost_handle)
    }

    /// What the server answered, where that is what failed.
    pub(crate) fn nfs_status(&self) -> Option<NfsStatus> {
        match self {
            Self::Storage { source, .. } => source.status(),
            Self::Shared(error) => error.nfs_status(),
            _ => None,
        }
    }

    /// If the server has not answered: what the client says of it.
    pub(crate) fn silence(&self) -> Option<String> {
        match self {
            Self::Storage { source, .. } => silence(source),
            Self::InDoubt(error) => error.silence(),
            Self::Shared(error) => error.silence(),
            _ => None,
        }
    }
}

/// If the server has not answered: what the client says of it, and nothing about what it was asked.
pub(crate) fn silence(error: &nfs_client::Error) -> Option<String> {
    use nfs_client::Error;
    match error {
        Error::OutcomeUnknown { server, detail, may_still_happen: true } => {
            Some(format!("NFS server {server}: {detail}"))
        }
        Error::Unreachable { .. } | Error::Timeout { .. } => Some(message(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
