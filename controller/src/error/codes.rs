//! The codes of what servers answer, and of what happens on the way to them.

use nfs_client::NfsStatus;
use tonic::Code;

/// The code of a failure of the NFS client.
pub(super) fn storage_code(error: &nfs_client::Error) -> Code {
    use nfs_client::Error;
    match error {
        Error::Timeout { .. } | Error::OutcomeUnknown { may_still_happen: true, .. } => Code::DeadlineExceeded,
        Error::Unreachable { .. }
        | Error::OutcomeUnknown { may_still_happen: false, .. }
        | Error::Protocol { .. }
        | Error::ShutDown { .. } => Code::Unavailable,
        Error::RpcDenied { .. } => Code::PermissionDenied,
        Error::NotNfs { .. }
        | Error::OwnerRefused { .. }
        | Error::Symlink { .. }
        | Error::NotDirectory { .. }
        | Error::TooLarge { .. } => Code::FailedPrecondition,
        Error::BadName { .. } => Code::InvalidArgument,
        Error::Status { status, .. } => status_code(*status),
    }
}

fn status_code(status: NfsStatus) -> Code {
    match status {
        NfsStatus::NoSpc | NfsStatus::DQuot | NfsStatus::MLink | NfsStatus::FBig => Code::ResourceExhausted,
        NfsStatus::NameTooLong | NfsStatus::BadName | NfsStatus::BadChar => Code::InvalidArgument,
        NfsStatus::Perm | NfsStatus::Access | NfsStatus::WrongSec => Code::PermissionDenied,
        NfsStatus::RoFs
        | NfsStatus::XDev
        | NfsStatus::Moved
        | NfsStatus::BadOwner
        | NfsStatus::AttrNotSupp
        | NfsStatus::NotSupp
        | NfsStatus::BadType
        | NfsStatus::Exist
        | NfsStatus::NotEmpty
        | NfsStatus::NoEnt
        | NfsStatus::NotDir
        | NfsStatus::Symlink
        | NfsStatus::Inval
        // The same request gets the same answer.
        | NfsStatus::BadXdr
        | NfsStatus::OpIllegal
        | NfsStatus::ReqTooBig
        | NfsStatus::RepTooBig
        | NfsStatus::RepTooBigToCache
        | NfsStatus::TooManyOps => Code::FailedPrecondition,
        // A server's trouble of the moment, or a session's: the next attempt may find it gone.
        _ => Code::Unavailable,
    }
}
