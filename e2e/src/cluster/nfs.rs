//! The lab's two NFS servers: the Linux kernel's in a guest, and NFS-Ganesha on the host.

use std::{fs, net::Ipv4Addr, process::Command, time::Duration};

use labkit::base::{Daemon, LabError, eventually};
use nfs_testkit::ganesha::{GaneshaConfig, GaneshaOptions};

use super::{machine::Machine, network::HOST, state::StateDir};

/// Name of the guest that runs the kernel's server.
pub const MACHINE: &str = "nfs";
/// The share that both servers offer to everyone.
pub const SHARE: &str = "/srv/share";
/// A share like that, for scenarios that want one of their own: a directory in it.
pub const OTHER_SHARE: &str = "/srv/ext4";
/// A share whose server maps root to nobody.
pub const SQUASHED_SHARE: &str = "/srv/squashed";
/// A share of 32 MiB, for full disks.
pub const SMALL_SHARE: &str = "/srv/small";
/// A share that only requests from a port below 1024 may use.
pub const LOW_PORT_SHARE: &str = "/srv/lowport";
/// A share that is exported to an address that nobody has.
pub const RESTRICTED_SHARE: &str = "/srv/restricted";

/// Where an NFS server is reached and what it exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Address of the server.
    pub server: String,
    /// Path of the share.
    pub share: String,
}

/// Starts the kernel's server in a guest; pods' networks are reached by way of their nodes.
pub fn start_kernel_server(machine: &Machine, routes: &[(String, Ipv4Addr)]) -> Result<(), LabError> {
    for (network, gateway) in routes {
        machine.sh(&format!("ip route replace {network} via {gateway}"))?;
    }
    machine.serve_nfs()
}

/// Starts Ganesha in the calling thread's namespace, exporting a directory of the lab as [`SHARE`].
pub fn start_ganesha(state: &StateDir) -> Result<(Daemon, Backend), LabError> {
    let home = state.file("ganesha");
    let (share, recovery) = (home.join("share"), home.join("recovery"));
    for dir in [&home, &share, &recovery] {
        fs::create_dir_all(dir).map_err(LabError::file(dir))?;
    }
    let config = home.join("ganesha.conf");
    let text = GaneshaConfig {
        address: Some(HOST.into()),
        port: 2049,
        export: &share,
        pseudo: SHARE,
        recovery: &recovery,
        options: &GaneshaOptions { lease_seconds: 10, ..GaneshaOptions::default() },
    };
    fs::write(&config, text.render()).map_err(LabError::file(&config))?;
    let mut command = Command::new("ganesha.nfsd");
    command.arg("-F").arg("-f").arg(&config).arg("-p").arg(home.join("pid")).args(["-L", "STDOUT", "-N", "EVENT"]);
    let daemon = Daemon::start("ganesha", command, &state.logs())?;
    eventually("NFS-Ganesha listening", Duration::from_secs(30), Duration::from_millis(100), || {
        if !daemon.alive() {
            return Ok(Err(daemon.broken("it ended while starting")));
        }
        std::net::TcpStream::connect((HOST, 2049)).map(|_| Ok(())).map_err(|error| error.to_string())
    })??;
    Ok((daemon, Backend { server: HOST.to_string(), share: SHARE.to_owned() }))
}
