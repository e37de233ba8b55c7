//! ONC RPC version 2 (RFC 5531) over TCP: credentials, message headers, record marking.

pub(crate) mod auth;
pub(crate) mod message;
pub(crate) mod record_mark;
