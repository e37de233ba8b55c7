//! The lab's network namespace: a bridge, and a tap device for each guest.
//!
//! The namespace is held open by one sleeping process, not by a bind mount: when the lab's processes end, the kernel
//! removes the namespace, and bridge and taps with it. There is nothing that a crash could leave behind.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::fd::AsFd,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use labkit::base::{Daemon, LabError, Tool, eventually};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::state::StateDir;

/// The bridge's own address: control plane and Ganesha listen here.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Prefix length of the lab's network.
pub const PREFIX: u8 = 24;
const BRIDGE: &str = "lab0";

/// A guest's place in the lab's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Tap device in the lab's namespace.
    pub tap: String,
    /// Address of the guest.
    pub address: Ipv4Addr,
    /// MAC address of the guest.
    pub mac: String,
}

impl Nic {
    /// The place of guest number `index` (1-based).
    pub fn of(index: u8) -> Self {
        Self {
            tap: format!("tap{index}"),
            address: Ipv4Addr::new(10, 77, 0, 10 + index),
            mac: format!("52:54:00:77:00:{:02x}", 10 + index),
        }
    }
}

/// Starts the process that holds a fresh namespace open.
pub fn hold(state: &StateDir) -> Result<Daemon, LabError> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sleep", "infinity"]);
    let daemon = Daemon::start("network", command, &state.logs())?;
    let own = namespace_of("self");
    eventually("a network namespace", Duration::from_secs(10), Duration::from_millis(5), || {
        let held = namespace_of(&daemon.pid.to_string());
        if held.is_some() && held != own { Ok(()) } else { Err(format!("{held:?}")) }
    })?;
    Ok(daemon)
}

fn namespace_of(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// Moves the calling thread, and whatever it starts from now on, into the namespace that process `pid` lives in.
pub fn enter(pid: u32) -> Result<(), LabError> {
    let path = format!("/proc/{pid}/ns/net");
    let namespace = File::open(&path).map_err(LabError::file(&path))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|errno| LabError::File { path: path.into(), source: errno.into() })
}

/// Builds bridge and taps in the namespace the calling thread is in.
pub fn build(nics: &[Nic]) -> Result<(), LabError> {
    ip("link set lo up")?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add {HOST}/{PREFIX} dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))?;
    for nic in nics {
        ip(&format!("tuntap add dev {} mode tap", nic.tap))?;
        ip(&format!("link set {} master {BRIDGE} up", nic.tap))?;
    }
    Ok(())
}

/// Adds a route to `network` by way of `gateway`.
pub fn route(network: &str, gateway: Ipv4Addr) -> Result<(), LabError> {
    ip(&format!("route replace {network} via {gateway}"))
}

fn ip(words: &str) -> Result<(), LabError> {
    Tool::new("ip").args(words.split(' ')).output().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_collide() {
        let (first, second) = (Nic::of(1), Nic::of(2));
        assert_ne!(first.address, second.address);
        assert_ne!(first.mac, second.mac);
        assert_eq!(first.address.to_string(), "10.77.0.11");
    }
}
