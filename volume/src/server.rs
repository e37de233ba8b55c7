//! The NFS server of a share.

use std::{fmt, net::Ipv4Addr, net::Ipv6Addr, str::FromStr};

use thiserror::Error;

use crate::quote::Quoted;

/// TCP port of NFSv4 (RFC 8881 §2.9.3).
pub const DEFAULT_PORT: u16 = 2049;

/// Longest host name that DNS can carry, in bytes of its text (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 253;
/// Longest label between two dots (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// Host name or address of an NFS server, with its port.
///
/// Equal servers print equally: names are lower case, IPv6 addresses are in their canonical form (RFC 5952), the
/// default port is left out. Two names of one machine stay two servers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    host: String,
    port: u16,
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Nothing was written.
    #[error("the server is empty; write a host name or an address, such as nfs.example.com or 192.0.2.10")]
    Empty,
    /// A path or URL where a server belongs.
    #[error("{} holds a \"/\"; write the host alone here and the path as \"share\"", Quoted(.0))]
    HoldsPath(String),
    /// Neither a legal host name nor an address.
    #[error(
        "{} is neither a host name (letters, digits, \"-\", \"_\" and \".\", at most 253 bytes, labels at most 63) nor \
         an IP address",
        Quoted(.0)
    )]
    Host(String),
    /// Brackets or several colons, but no IPv6 address.
    #[error("{} is not an IPv6 address; write 2001:db8::1, or [2001:db8::1]:2049 with a port (zones are not understood)", Quoted(.0))]
    Ipv6(String),
    /// What follows the colon is no port.
    #[error("port {} is not a number from 1 to 65535", Quoted(.0))]
    Port(String),
}

impl Server {
    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; [`DEFAULT_PORT`] unless one was named.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Server {
    type Err = ServerError;

    /// Reads `host`, `host:port`, `address`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    fn from_str(text: &str) -> Result<Self, ServerError> {
        if text.is_empty() {
            return Err(ServerError::Empty);
        }
        if text.contains('/') {
            return Err(ServerError::HoldsPath(text.to_owned()));
        }
        if text.starts_with('[') || text.matches(':').count() > 1 {
            return parse_ipv6(text);
        }
        let (host, port) = match text.split_once(':') {
            None => (text, DEFAULT_PORT),
            Some((host, port)) => (host, parse_port(port)?),
        };
        if !is_ipv4(host) && !is_host_name(host) {
            return Err(ServerError::Host(host.to_owned()));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

fn parse_ipv6(text: &str) -> Result<Server, ServerError> {
    let wrong = || ServerError::Ipv6(text.to_owned());
    let (address, port) = match text.strip_prefix('[') {
        None => (text, DEFAULT_PORT),
        Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
            (address, "") => (address, DEFAULT_PORT),
            (address, after) => (address, parse_port(after.strip_prefix(':').ok_or_else(wrong)?)?),
        },
    };
    let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
    Ok(Server { host: address.to_string(), port })
}

fn parse_port(text: &str) -> Result<u16, ServerError> {
    let wrong = || ServerError::Port(text.to_owned());
    // `parse` alone would take "+2049".
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().ok().filter(|&port| port != 0).ok_or_else(wrong)
}

fn is_ipv4(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok()
}

fn is_host_name(host: &str) -> bool {
    // One dot at the end says that the name is complete: resolvers then skip their search list.
    let name = host.strip_suffix('.').unwrap_or(host);
    let label_is_good = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // No top-level domain is a number, and resolvers read "010.1.1.1" or "2130706433" as addresses in ways that surprise.
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= LONGEST_HOST && name.split('.').all(label_is_good) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, u16), ServerError> {
        text.parse::<Server>().map(|server| (server.host().to_owned(), server.port()))
    }

    #[test]
    fn reads_every_form_and_prints_the_canonical_one() {
        for (text, host, port, printed) in [
            ("nfs.example.com", "nfs.example.com", 2049, "nfs.example.com"),
            ("NFS.Example.com:2049", "nfs.example.com", 2049, "nfs.example.com"),
            ("nfs:20049", "nfs", 20049, "nfs:20049"),
            ("nfs.example.com.", "nfs.example.com.", 2049, "nfs.example.com."),
            ("file_server", "file_server", 2049, "file_server"),
            ("192.0.2.10:1", "192.0.2.10", 1, "192.0.2.10:1"),
            ("2001:DB8:0::1", "2001:db8::1", 2049, "[2001:db8::1]"),
            ("[2001:db8::1]", "2001:db8::1", 2049, "[2001:db8::1]"),
            ("[::1]:12049", "::1", 12049, "[::1]:12049"),
        ] {
            assert_eq!(read(text), Ok((host.to_owned(), port)), "{text}");
            let server: Server = text.parse().expect("just read");
            assert_eq!(server.to_string(), printed);
            assert_eq!(printed.parse(), Ok(server), "{printed} reads back");
        }
    }

    #[test]
    fn refuses_what_is_no_server() {
        assert_eq!(read(""), Err(ServerError::Empty));
        for text in ["nfs:/exports", "nfs://host", "/"] {
            assert!(matches!(read(text), Err(ServerError::HoldsPath(_))), "{text}");
        }
        for text in ["nfs:", "nfs:0", "nfs:65536", "nfs:+1", "nfs:x", "[::1]:"] {
            assert!(matches!(read(text), Err(ServerError::Port(_))), "{text}");
        }
        for text in ["[::1", "[nfs]", "[::1]x", "fe80::1%eth0", "a:b:c", "[192.0.2.1]"] {
            assert!(matches!(read(text), Err(ServerError::Ipv6(_))), "{text}");
        }
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}a", "a.".repeat(127));
        for text in ["-nfs", "nfs-", "a..b", ".a", ".", "nfs server", "nfs\n", "nfé", "010.1.1.1", "1.2.3", "a#b", ":1"]
            .into_iter()
            .chain([long_label.as_str(), long_name.as_str()])
        {
            assert!(matches!(read(text), Err(ServerError::Host(_))), "{text}");
        }
    }

    #[test]
    fn says_what_to_write_instead() {
        let error = read("nfs.example.com:/exports/k8s").expect_err("a path");
        assert_eq!(
            error.to_string(),
            r#""nfs.example.com:/exports/k8s" holds a "/"; write the host alone here and the path as "share""#
        );
    }
}
