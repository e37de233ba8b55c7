//! The NFS clients of the kernel, from the text of `/proc/<pid>/net/nfsfs/servers` (`nfs_server_list_show` in `fs/nfs/client.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the kernel keeps of one server at one address: a connection, a lease and all that is open, for every superblock that is mounted from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelClient {
    /// Where it asks.
    pub address: SocketAddr,
    /// The server's name, as in the source of the mount that made it; without brackets.
    pub host: String,
}

/// Reads the clients of NFS version 4. `v4 0a000005  801   3 nfs.example`: version, address and port in hexadecimal digits, uses, host.
pub(super) fn parse(text: &str) -> Vec<KernelClient> {
    text.lines().filter_map(client).collect()
}

fn client(line: &str) -> Option<KernelClient> {
    let mut fields = line.split_whitespace();
    fields.next().filter(|version| *version == "v4")?;
    let address = address(fields.next()?)?;
    let port = u16::from_str_radix(fields.next()?, 16).ok()?;
    let host = fields.nth(1)?.to_owned();
    Some(KernelClient { address: SocketAddr::new(address, port), host })
}

/// Eight digits, or 32 for IPv6.
fn address(digits: &str) -> Option<IpAddr> {
    match digits.len() {
        8 => Some(Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?).into()),
        32 => Some(Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read() {
        // As Linux 6.1 writes it; the last two are of other versions or cut short.
        let text = "NV SERVER   PORT USE HOSTNAME\n\
                    v4 7f000001  801   2 127.0.0.1\n\
                    v4 fd000000000000000000000000000005 4e51  12 nfs.example\n\
                    v3 0a000005  801   1 old.example\n\
                    v4 0a0000\n";
        let client =
            |address: &str, host: &str| KernelClient { address: address.parse().unwrap(), host: host.to_owned() };
        assert_eq!(parse(text), [client("127.0.0.1:2049", "127.0.0.1"), client("[fd00::5]:20049", "nfs.example")]);
        assert_eq!(parse(""), []);
    }
}
