//! How a client gets a stream to its server.

mod tcp;

use std::{future::Future, io, pin::Pin, time::Duration};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

pub use tcp::TcpConnector;

use crate::config::SourcePort;

/// A byte stream both ways: TCP, TLS over TCP, or memory.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a connection should lead and how it should be made.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Source port.
    pub source_port: SourcePort,
    /// Longest wait for one address.
    pub timeout: Duration,
}

/// A connection that was made.
pub struct Connected {
    /// The stream.
    pub stream: Box<dyn Stream>,
    /// The TCP port it comes from, as the server sees it; `None` where there is none or it is not known.
    pub source_port: Option<u16>,
}

/// No connection could be made.
#[derive(Debug, Error)]
#[error("{detail} ({address})")]
pub struct ConnectError {
    /// What was tried: the name, or the last address.
    pub address: String,
    /// What failed.
    pub detail: String,
    /// The operating system's error.
    #[source]
    pub source: Option<io::Error>,
}

/// The future a [`Connector`] returns.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send + 'a>>;

/// Makes connections. Called whenever the client has none, one call at a time per client.
pub trait Connector: Send + Sync + 'static {
    /// Makes one connection; tries every address of the host. Must end within a time that the target's timeout
    /// bounds.
    fn connect<'a>(&'a self, target: &'a Target) -> Connecting<'a>;
}
