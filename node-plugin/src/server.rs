//! Finding a server before the kernel is asked to mount from it.
//!
//! The kernel resolves no names, and what it says about a server that is dead, that refuses or that is something else altogether is one number after
//! a long wait. So the plugin resolves the name itself and sends each address the cheapest question of the protocol, procedure 0 of NFS version 4
//! (RFC 5531, RFC 8881 §18.1), which every NFS server answers and nothing else does.

mod attempts;
mod null_call;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

pub use attempts::Others;
pub(crate) use attempts::{Attempt, Attempts};
use null_call::Answer;
use onc_rpc::AuthStatus;
use volume::Server;

/// How long a server may take to accept a connection, and then to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where servers are. Methods block and may take seconds.
pub trait Servers: Send + Sync + 'static {
    /// Every address of a server, in the resolver's order.
    fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, ServerFault>;

    /// Whether an NFS server of version 4 answers at an address.
    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault>;
}

/// The node's resolver and network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network {
    _private: (),
}

/// Why there is nothing to mount from. Each says what was tried, what came of it, and what to do.
#[derive(Debug)]
pub enum ServerFault {
    /// The name does not resolve.
    Resolve {
        /// The name.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// The name resolves to nothing.
    NoAddress {
        /// The name.
        host: String,
    },
    /// Nobody listens.
    Refused {
        /// Where.
        address: SocketAddr,
    },
    /// No answer at all.
    Silent {
        /// Where.
        address: SocketAddr,
    },
    /// The network says that there is no way, or broke the connection.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What it says.
        source: io::Error,
    },
    /// Something listens, but it does not speak NFS.
    NotNfs {
        /// Where.
        address: SocketAddr,
    },
    /// An RPC server answers, but it does not take calls from here.
    Denied {
        /// Where.
        address: SocketAddr,
        /// What it has against the call.
        status: AuthStatus,
    },
    /// An NFS server of other versions.
    Versions {
        /// Where.
        address: SocketAddr,
        /// Lowest version that it serves.
        low: u32,
        /// Highest.
        high: u32,
    },
}

impl Network {
    /// The network as the process sees it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Servers for Network {
    fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, ServerFault> {
        let host = server.host().to_owned();
        let found = match (server.host(), server.port()).to_socket_addrs() {
            Ok(found) => found.collect::<Vec<_>>(),
            Err(source) => return Err(ServerFault::Resolve { host, source }),
        };
        if found.is_empty() { Err(ServerFault::NoAddress { host }) } else { Ok(found) }
    }

    fn ping(&self, address: SocketAddr) -> Result<(), ServerFault> {
        match ask(address) {
            Ok(Answer::Served) => Ok(()),
            Ok(Answer::OtherVersions { low, high }) => Err(ServerFault::Versions { address, low, high }),
            Ok(Answer::Denied(status)) => Err(ServerFault::Denied { address, status }),
            Ok(Answer::NotNfs) => Err(ServerFault::NotNfs { address }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::ConnectionRefused => ServerFault::Refused { address },
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ServerFault::Silent { address },
                // It took the call and hung up: whatever it is, it does not know RPC.
                io::ErrorKind::UnexpectedEof => ServerFault::NotNfs { address },
                _ => ServerFault::Unreachable { address, source },
            }),
        }
    }
}

fn ask(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    null_call::exchange(&mut stream)
}

impl ServerFault {
    /// Whether waiting may help: a server that is down comes back; a web server does not become an NFS server, nor does a
    /// server take back a rule by itself.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::NotNfs { .. } | Self::Denied { .. } | Self::Versions { .. })
    }

    /// What came of it, without what to do.
    pub(crate) fn finding(&self) -> String {
        match self {
            Self::Resolve { host, .. } => format!("the name {host} does not resolve for the plugin on this node"),
            Self::NoAddress { host } => format!("the name {host} has no address"),
            Self::Refused { address } => format!("{address} refuses connections"),
            Self::Silent { address } => format!("{address} does not answer within {} s", PATIENCE.as_secs()),
            Self::Unreachable { address, .. } => format!("{address} cannot be reached from this node"),
            Self::NotNfs { address } => {
                format!("{address} is not an NFS server: what listens there does not answer an RPC call")
            }
            Self::Denied { address, status } => {
                format!("the RPC server at {address} refuses calls from this node: {status}")
            }
            Self::Versions { address, low, high } => {
                format!("the NFS server at {address} serves versions {low} to {high} only")
            }
        }
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding())?;
        match self {
            Self::Resolve { .. } => {
                f.write_str(": check the name, and the DNS that the plugin's pod uses (its dnsPolicy)")
            }
            Self::NoAddress { .. } => {
                f.write_str(": give it one in the DNS, or correct \"server\" in the StorageClass")
            }
            Self::Refused { .. } => f.write_str(
                ": check that the NFS server runs and listens on this port, or correct \"server\" in the StorageClass",
            ),
            Self::Silent { address } => write!(
                f,
                ": the server is down, or a firewall or security group drops TCP port {} from this node; start it, or let the port through",
                address.port()
            ),
            Self::Unreachable { .. } => {
                f.write_str(": check the routes and firewalls between this node and the server")
            }
            Self::NotNfs { .. } => f.write_str("; correct \"server\" in the StorageClass and its port"),
            Self::Denied { .. } => f.write_str(
                ": let it accept calls from this node's address without a credential (AUTH_NONE), which every mount begins with",
            ),
            Self::Versions { .. } => f.write_str(": enable NFS version 4.1 on it"),
        }
    }
}

impl std::error::Error for ServerFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { source, .. } | Self::Unreachable { source, .. } => Some(source),
            Self::NoAddress { .. }
            | Self::Refused { .. }
            | Self::Silent { .. }
            | Self::NotNfs { .. }
            | Self::Denied { .. }
            | Self::Versions { .. } => None,
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
