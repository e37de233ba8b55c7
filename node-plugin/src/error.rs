//! From an error to its gRPC code: the whole table of this binary.
//!
//! kubelet tries everything again. The codes tell people and other orchestrators what kind of trouble it is, and CSI prescribes some of them:
//! `ALREADY_EXISTS` for a target that shows something else, `FAILED_PRECONDITION` for a volume that may not be at a second place, `ABORTED` while another
//! call for the same target runs, `NOT_FOUND` for statistics of what is not there.

pub(crate) mod remedy;

use csi_runtime::Coded;
use csi_runtime::decode::DecodeError;
use tonic::Code;
use volume::context::ContextError;
use volume::mount_options::MountOptionError;

use crate::group::GroupError;
use crate::inline::Refusal;
use crate::mounter::Cause;
use crate::pool::MountError;
use crate::publish::PublishError;
use crate::server::ServerFault;
use crate::stats::StatsError;
use crate::target::TargetError;
use crate::unpublish::UnpublishError;
use crate::worker::WorkError;

/// A request that does not say what it must, or says what cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A field of the request.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The volume's attributes.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The volume's mount options.
    #[error(transparent)]
    Options(#[from] MountOptionError),
    /// A volume that a pod defines by itself.
    #[error(transparent)]
    Inline(#[from] Refusal),
}

impl Coded for RequestError {
    fn code(&self) -> Code {
        match self {
            Self::Decode(_) | Self::Context(_) | Self::Options(_) | Self::Inline(Refusal::Path { .. }) => {
                Code::InvalidArgument
            }
            Self::Inline(Refusal::NotListed(_) | Refusal::Option { .. } | Refusal::Reserved(_)) => {
                Code::PermissionDenied
            }
        }
    }
}

impl Coded for PublishError {
    fn code(&self) -> Code {
        match self {
            Self::Target(error) => target(error),
            Self::Busy(_) | Self::Revoked(_) => Code::Aborted,
            Self::OtherMount { .. } => Code::AlreadyExists,
            Self::InUse { .. } | Self::Weaker { .. } => Code::FailedPrecondition,
            Self::Work(error) => work(error),
            Self::Mount(error) => mount(error),
            Self::Attach { source, .. } => cause(source.cause()),
            Self::Table(_) => Code::Internal,
        }
    }
}

impl Coded for GroupError {
    fn code(&self) -> Code {
        match self {
            Self::Work(error) => work(error),
            Self::Mount(error) => mount(error),
            Self::Change { source, .. } => cause(source.cause()),
            Self::Walking { .. } | Self::Waiting { .. } => Code::DeadlineExceeded,
            Self::Table(_) => Code::Internal,
        }
    }
}

impl Coded for UnpublishError {
    fn code(&self) -> Code {
        match self {
            Self::Target(error) => target(error),
            Self::Busy(_) => Code::Aborted,
            Self::Work(error) => work(error),
            Self::Unmount { .. } | Self::Endless(_) | Self::Table(_) => Code::Internal,
        }
    }
}

impl Coded for StatsError {
    fn code(&self) -> Code {
        match self {
            Self::Target(error) => target(error),
            Self::NotMounted(_) | Self::OtherVolume { .. } => Code::NotFound,
            Self::Work(error) => work(error),
            Self::Statfs { .. } | Self::Table(_) => Code::Internal,
        }
    }
}

fn target(error: &TargetError) -> Code {
    match error {
        TargetError::Shape(_) => Code::InvalidArgument,
        TargetError::SymbolicLink(_) | TargetError::NotADirectory(_) | TargetError::NotEmpty(_) => {
            Code::FailedPrecondition
        }
        TargetError::Io { .. } => Code::Internal,
    }
}

fn work(error: &WorkError) -> Code {
    match error {
        WorkError::Stuck { .. } | WorkError::Full { .. } | WorkError::Spawn(_) => Code::Unavailable,
        WorkError::Late { .. } => Code::DeadlineExceeded,
        WorkError::Lost { .. } => Code::Internal,
    }
}

fn mount(error: &MountError) -> Code {
    match error {
        MountError::Server { source, .. } => server(source),
        MountError::Refused { source, .. } | MountError::Directory { source, .. } => cause(source.cause()),
        MountError::Weaker { .. } | MountError::Astray { .. } => Code::FailedPrecondition,
        MountError::Restless { .. } => Code::Unavailable,
        MountError::Pool { .. } => Code::Internal,
    }
}

fn server(fault: &ServerFault) -> Code {
    match fault {
        ServerFault::Resolve { .. }
        | ServerFault::NoAddress { .. }
        | ServerFault::Refused { .. }
        | ServerFault::Silent { .. }
        | ServerFault::Unreachable { .. } => Code::Unavailable,
        ServerFault::Denied { .. } => Code::PermissionDenied,
        ServerFault::NotNfs { .. } | ServerFault::Versions { .. } => Code::FailedPrecondition,
    }
}

fn cause(cause: Cause) -> Code {
    match cause {
        Cause::AccessDenied => Code::PermissionDenied,
        Cause::NoSuchDirectory => Code::NotFound,
        Cause::NotADirectory | Cause::SymbolicLink | Cause::Version | Cause::NoClient | Cause::NotPrivileged => {
            Code::FailedPrecondition
        }
        Cause::Unreachable | Cause::Stale => Code::Unavailable,
        Cause::Option => Code::InvalidArgument,
        Cause::Other => Code::Internal,
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
