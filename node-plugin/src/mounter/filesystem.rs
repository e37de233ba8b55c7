//! What is mounted, and with which options the kernel is asked for it.

use std::net::SocketAddr;

use super::MountRequest;

/// What kind of file system the mounter mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// NFS version 4.
    Nfs,
    /// A fresh tmpfs instead, for machines without an NFS client: address and options are not given to the kernel.
    StandIn,
}

impl Filesystem {
    /// The kernel's name for it, as the mount table shows it.
    pub fn fs_type(self) -> &'static str {
        match self {
            Self::Nfs => "nfs4",
            Self::StandIn => "tmpfs",
        }
    }

    /// All options but the source, address first: the kernel checks later options against it.
    pub(super) fn options(self, request: &MountRequest) -> Vec<(String, Option<String>)> {
        if self == Self::StandIn {
            return Vec::new();
        }
        let mut options = vec![("addr".to_owned(), Some(numeric(request.address)))];
        if request.address.port() != volume::server::DEFAULT_PORT {
            options.push(("port".to_owned(), Some(request.address.port().to_string())));
        }
        options.extend(request.options.iter().cloned());
        options
    }
}

/// The address without its port; a link-local one keeps its interface.
fn numeric(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        other => other.ip().to_string(),
    }
}
