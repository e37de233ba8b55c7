//! Plain TCP, optionally from a port below 1024.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

use super::{ConnectError, Connected, Connecting, Connector, Target};
use crate::{config::SourcePort, random};

/// Reserved ports that are tried, the range the Linux client uses: lower ones belong to well-known services.
const RESERVED: std::ops::RangeInclusive<u16> = 665..=1023;

/// Connects by TCP: resolves the name through the system, tries every address in its order.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> Connecting<'a> {
        Box::pin(async move {
            let stream = connect(target).await?;
            let source_port = stream.local_addr().ok().map(|address| address.port());
            Ok(Connected { stream: Box::new(stream), source_port })
        })
    }
}

async fn connect(target: &Target) -> Result<TcpStream, ConnectError> {
    let resolve = timeout(target.timeout, lookup_host((target.host.as_str(), target.port)));
    let unresolved = |source: io::Error| ConnectError {
        address: target.host.clone(),
        detail: "the name cannot be resolved".into(),
        source: Some(source),
    };
    let addresses: Vec<SocketAddr> = match resolve.await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unresolved(error)),
        Err(_elapsed) => return Err(unresolved(io::ErrorKind::TimedOut.into())),
    };
    connect_any(&addresses, target).await
}

/// The first of the addresses that accepts; the error of the last if none does.
async fn connect_any(addresses: &[SocketAddr], target: &Target) -> Result<TcpStream, ConnectError> {
    let mut last =
        ConnectError { address: target.host.clone(), detail: "the name resolves to no address".into(), source: None };
    let source_port = target.source_port;
    for &address in addresses {
        match connect_to(address, source_port, target.timeout).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let needs_port = source_port == SourcePort::RequireReserved && no_reserved_port(&error);
                let detail = if needs_port { "no reserved source port" } else { "no connection" };
                last = ConnectError { address: address.to_string(), detail: detail.into(), source: Some(error) };
            }
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr, source_port: SourcePort, limit: Duration) -> io::Result<TcpStream> {
    let stream = match source_port {
        SourcePort::Any => timeout(limit, TcpStream::connect(address)).await??,
        SourcePort::RequireReserved => from_reserved(address, limit).await?,
        SourcePort::PreferReserved => match from_reserved(address, limit).await {
            Ok(stream) => stream,
            Err(error) if no_reserved_port(&error) => timeout(limit, TcpStream::connect(address)).await??,
            Err(error) => return Err(error),
        },
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether it was the source port that could not be had, not the server that could not be reached.
fn no_reserved_port(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// Tries the reserved ports once each, from a random one on.
async fn from_reserved(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let count = RESERVED.end() - RESERVED.start() + 1;
    let first = u16::try_from(random::below(count.into())).unwrap_or(0);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..count {
        let port = RESERVED.start() + (first + step) % count;
        match timeout(limit, from_port(address, port)).await? {
            Ok(stream) => return Ok(stream),
            // Another connection has the port, or the same pair of addresses and ports is in TIME_WAIT.
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

async fn from_port(address: SocketAddr, port: u16) -> io::Result<TcpStream> {
    let (socket, local) = if address.is_ipv4() {
        (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    } else {
        (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
    };
    // Without it, a port this process has just used is not free for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(local)?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn every_address_is_tried_and_the_last_failure_is_reported() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let live = listener.local_addr().unwrap();
        let dead = {
            let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            gone.local_addr().unwrap()
        };
        let target = Target {
            host: "several.example".into(),
            port: live.port(),
            source_port: SourcePort::Any,
            timeout: Duration::from_secs(5),
        };
        let stream = connect_any(&[dead, live], &target).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        let error = connect_any(&[dead], &target).await.unwrap_err();
        assert_eq!(error.address, dead.to_string());
        let error = connect_any(&[], &target).await.unwrap_err();
        assert!(error.to_string().contains("no address"), "{error}");
    }
}
