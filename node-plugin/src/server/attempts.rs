//! What came of a server's addresses, when none of them, or not the first, could be mounted from.

use std::fmt;
use std::net::SocketAddr;

use super::ServerFault;
use crate::mounter::Fault;

/// Addresses of a server that were tried besides the one that an error is about, in a few words each: a server with one bad address among good ones
/// is found only by whoever is told all of them.
#[derive(Debug, Default)]
pub struct Others(Vec<String>);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (also tried: {})", self.0.join("; ")) }
    }
}

/// What came of the attempt at one address.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It was asked whether it serves NFS.
    Asked(ServerFault),
    /// It was to be mounted from.
    Mounted(Fault),
}

impl Attempt {
    /// What came of it, in a few words.
    fn finding(&self, address: SocketAddr) -> String {
        match self {
            Self::Asked(fault) => fault.finding(),
            Self::Mounted(fault) => format!("{address} stopped answering: {fault}"),
        }
    }
}

/// The attempts at the addresses of one server.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Vec<(SocketAddr, Attempt)>);

impl Attempts {
    /// Notes one that failed.
    pub(crate) fn push(&mut self, address: SocketAddr, attempt: Attempt) {
        self.0.push((address, attempt));
    }

    /// The attempt that the error is to be about, and what it says of the others. The resolver may give addresses in another order each time, so they
    /// are told in one of their own: the same trouble reads the same. Without an address there is nothing but the host's name.
    pub(crate) fn none_of(mut self, host: &str) -> (Attempt, Others) {
        let Some(first) = (0..self.0.len()).min_by_key(|&nth| self.0[nth].0) else {
            return (Attempt::Asked(ServerFault::NoAddress { host: host.to_owned() }), Others::default());
        };
        let (_, first) = self.0.swap_remove(first);
        (first, self.others())
    }

    /// All of them, beside one that the error is about.
    pub(crate) fn others(mut self) -> Others {
        self.0.sort_by_key(|(address, _)| *address);
        Others(self.0.into_iter().map(|(address, attempt)| attempt.finding(address)).collect())
    }
}
