//! From an operation's error to what the caller is told.

use std::error::Error;

use tonic::{Code, Status};

pub use crate::observe::code_name;

/// An error that knows its gRPC code.
///
/// The code is part of the contract with the caller's retry logic (CSI specification, "Error Scheme"); each binary keeps its whole mapping in one
/// place and tests it over every variant.
pub trait Coded: Error {
    /// Code that the caller gets.
    fn code(&self) -> Code;
}

/// The status for `error`: its code, its [`message`], and no details, because CSI requires the details to be empty.
pub fn to_status(error: &(impl Coded + ?Sized)) -> Status {
    Status::new(error.code(), message(error))
}

/// The error and everything that caused it, outermost first, joined by `": "`.
///
/// Each layer's `Display` speaks of that layer alone, so nothing is said twice. Never empty: CSI requires a message with every error.
pub fn message<E: Error + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "unspecified error".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot make the directory")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("disk full")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("")]
    struct Silent;

    impl Coded for Outer {
        fn code(&self) -> Code {
            Code::ResourceExhausted
        }
    }

    #[test]
    fn a_status_carries_the_whole_chain_and_no_details() {
        let status = to_status(&Outer(Inner));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "cannot make the directory: disk full");
        assert!(status.details().is_empty());
    }

    #[test]
    fn a_message_is_never_empty() {
        assert_eq!(message(&Silent), "unspecified error");
    }
}
