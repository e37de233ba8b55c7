//! What a [`Client`](crate::Client) is told: where the server is, who it speaks for, and how long it may try.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use onc_rpc::{AuthSys, Credential};

use crate::random;

/// The port NFS servers listen on.
pub const DEFAULT_PORT: u16 = 2049;

/// Whether connections come from a source port below 1024, as exports marked "secure" demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourcePort {
    /// A port below 1024 if this process may bind one and one is free, any port otherwise.
    #[default]
    PreferReserved,
    /// A port below 1024, or the connection fails.
    RequireReserved,
    /// Any port (EFS recommends this: `noresvport`).
    Any,
}

/// Settings of a [`Client`](crate::Client). [`Config::new`] gives defaults for everything but the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name or address of the server, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Source port of connections.
    pub source_port: SourcePort,
    /// Identity in every request.
    pub credential: Credential,
    /// The client owner (`co_ownerid`, RFC 8881 §2.4). Two clients with one owner steal each other's session, so the
    /// default is unique to the `Config`.
    pub client_owner: String,
    /// Longest wait for one address to accept a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a reply on one connection; then the connection counts as dead, and what was outstanding on it
    /// is sent again, with the same slot and sequence number, on a new one.
    pub request_timeout: Duration,
    /// Longest time one call may take with everything in it: waiting for a slot, reconnecting, a new session, DELAY
    /// and GRACE. A client that has not heard of its server yet does not use it up for connecting: it fails at the
    /// first round over all addresses, or after one request without an answer. One that was answered, or whose connection
    /// was accepted and then ended, has met a server that may be starting, and waits for it.
    pub retry_budget: Duration,
    /// Requests in flight at most; the server may grant fewer.
    pub max_slots: u32,
}

impl Config {
    /// Defaults for a server: root, a reserved port if possible, 64 slots, 10 s to connect, 15 s per request, 30 s per
    /// call.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            source_port: SourcePort::default(),
            credential: Credential::Sys(AuthSys::root()),
            client_owner: unique_owner(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            retry_budget: Duration::from_secs(30),
            max_slots: 64,
        }
    }

    /// `host:port` as people write it; IPv6 addresses in brackets.
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())
    }
}

/// An owner no other client presents: process id and a random number tell processes and hosts apart, a counter tells
/// clients of one process apart.
fn unique_owner() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(random::u64);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("berth-{}-{:016x}-{count}", std::process::id(), *PROCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_config_has_an_owner_of_its_own() {
        assert_ne!(Config::new("a", 2049).client_owner, Config::new("a", 2049).client_owner);
    }

    #[test]
    fn an_ipv6_server_is_written_in_brackets() {
        assert_eq!(Config::new("::1", 2049).server(), "[::1]:2049");
        assert_eq!(Config::new("nfs.example", 2050).server(), "nfs.example:2050");
    }
}
