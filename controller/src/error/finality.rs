//! What a failure says about the volume, for whoever repeats the call.

use tonic::Code;

use super::OperationError;

/// Whether anything may go on behind a failure, and whether a repetition can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// It may be in the making: keep calling until the answer is final, even when the claim is gone.
    InBackground,
    /// It does not exist and nothing is under way.
    Finished,
    /// The same, and no repetition can help until the request is another one.
    Infeasible,
}

impl OperationError {
    /// What the failure says about the volume. It agrees with how Kubernetes reads the code, so that both doors behave alike.
    pub fn finality(&self) -> Finality {
        match self.code() {
            Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable | Code::Aborted => Finality::InBackground,
            Code::InvalidArgument => Finality::Infeasible,
            Code::Ok
            | Code::Unknown
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Finality::Finished,
        }
    }
}
