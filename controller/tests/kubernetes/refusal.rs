//! Errors of the operations, by code.

use controller::operations::OperationError;
use nfs_client::{NfsStatus, OpCode, Replies};
use tonic::Code;

/// Some error that has this code.
pub(crate) fn refusal(code: Code) -> OperationError {
    let error = match code {
        Code::Aborted => OperationError::InProgress("the volume".to_owned()),
        Code::InvalidArgument => OperationError::Missing("a parameter"),
        Code::Unavailable => OperationError::Storage {
            doing: "reach",
            location: "nfs.example:/export".to_owned(),
            source: nfs_client::Error::ShutDown { server: "nfs.example".into() },
        },
        other => panic!("no error is known for {other:?}"),
    };
    assert_eq!(error.code(), code);
    error
}

/// What a delete says that finds no room on the server for what it has to write down.
pub(crate) fn full(volume: &str) -> OperationError {
    OperationError::Storage {
        doing: "move to the trash",
        location: format!("nfs.example:/export/{volume}"),
        source: nfs_client::Error::Status {
            server: "nfs.example:2049".into(),
            op: OpCode::Rename,
            index: 4,
            status: NfsStatus::NoSpc,
            completed: Replies::default(),
        },
    }
}
