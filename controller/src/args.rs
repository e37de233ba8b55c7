//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use csi_runtime::{Endpoint, logging};
use nfs_client::SourcePort;
use volume::names::DRIVER_NAME;

/// Provisions volumes as directories on NFS shares (CSI Controller service and provisioner).
#[derive(Debug, Parser)]
#[command(name = "berth-controller", version)]
pub struct Args {
    /// Socket on which the CSI services are served.
    #[arg(long, default_value = "unix:///csi/csi.sock")]
    pub endpoint: Endpoint,
    /// Name of the CSI driver.
    #[arg(long, default_value = DRIVER_NAME)]
    pub driver_name: String,
    /// Whether to provision for Kubernetes; false leaves the CSI socket alone, for upstream's sidecars.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub kubernetes: bool,
    /// Namespace of the Lease by which one replica leads.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub leader_election_namespace: String,
    /// Who this replica is in the Lease, in events and towards NFS servers [default: the host name].
    #[arg(long)]
    pub identity: Option<String>,
    /// Claims, and volumes, that are worked on at once; those of one server get at most half of what others leave.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    pub worker_threads: usize,
    /// First pause after a failure of one claim or volume; it doubles with each further one.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub retry_interval_start: Duration,
    /// Longest pause after failures of one claim or volume.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub retry_interval_max: Duration,
    /// Whether to take the taint DRIVER/agent-not-ready from nodes on which the node plugin has registered.
    #[arg(long, default_value_t = false, action = ArgAction::Set)]
    pub remove_startup_taint: bool,
    /// Whether connections to NFS servers come from a port below 1024, as exports marked "secure" demand.
    #[arg(long, value_enum, default_value_t = ReservedPort::Prefer)]
    pub nfs_reserved_port: ReservedPort,
    /// Address for /healthz, /readyz and /metrics, such as 0.0.0.0:9808; empty: none.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = http_endpoint)]
    pub http_endpoint: HttpEndpoint,
    /// Shape of log lines: json or text.
    #[arg(long, default_value_t = logging::Format::Json)]
    pub log_format: logging::Format,
    /// error, warn, info, debug or trace; the variable `RUST_LOG` wins.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

/// Whether an NFS connection comes from a port below 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReservedPort {
    /// If the process may bind one.
    Prefer,
    /// Or not at all.
    Require,
    /// Any port.
    Never,
}

impl From<ReservedPort> for SourcePort {
    fn from(port: ReservedPort) -> Self {
        match port {
            ReservedPort::Prefer => Self::PreferReserved,
            ReservedPort::Require => Self::RequireReserved,
            ReservedPort::Never => Self::Any,
        }
    }
}

/// Where HTTP is served, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpEndpoint(pub Option<SocketAddr>);

fn http_endpoint(text: &str) -> Result<HttpEndpoint, String> {
    if text.is_empty() {
        return Ok(HttpEndpoint(None));
    }
    // ":9808", as Go programs take it, means every address.
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse()
        .map(|address| HttpEndpoint(Some(address)))
        .map_err(|_| "write an address such as 0.0.0.0:9808".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a number from 1".to_owned())
}

/// A time as Go programs take it, in one unit: `500ms`, `1s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => Duration::ZERO,
    };
    let time = number.parse().ok().and_then(|number: u32| factor.checked_mul(number));
    time.filter(|time| !time.is_zero()).ok_or_else(|| "write a time such as 500ms, 1s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_field() {
        let args = Args::parse_from(["berth-controller"]);
        assert_eq!(args.endpoint.to_string(), "unix:///csi/csi.sock");
        assert_eq!(args.driver_name, "csi.berth.dev");
        assert!(args.kubernetes);
        assert_eq!(args.retry_interval_start, Duration::from_secs(1));
        assert_eq!(args.retry_interval_max, Duration::from_mins(5));
        assert_eq!(args.http_endpoint, HttpEndpoint(None));
        assert_eq!(args.nfs_reserved_port, ReservedPort::Prefer);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for bad in ["", "5", "s", "0s", "-1s", "1.5s", "1d", "1m30s", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_charts_defaults_are_times() {
        let values = include_str!("../../charts/berth/values.yaml");
        for name in ["retryIntervalStart:", "retryIntervalMax:"] {
            let given = values.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim();
            assert!(duration(given).is_ok(), "{name} {given}");
        }
    }

    /// A value that the chart takes and the program refuses would be a pod that never starts.
    #[test]
    fn the_charts_schema_takes_the_times_that_are_read() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../charts/berth/values.schema.json")).unwrap();
        assert_eq!(schema["definitions"]["duration"]["pattern"], "^0*[1-9][0-9]{0,8}(ms|s|m|h)$");
        // The bounds of that pattern; `times_have_a_unit` has what lies outside it.
        for time in ["1ms", "007s", "999999999ms", "999999999s", "999999999m", "999999999h"] {
            assert!(duration(time).is_ok(), "{time}");
        }
    }

    #[test]
    fn an_address_may_be_left_out() {
        assert_eq!(http_endpoint(""), Ok(HttpEndpoint(None)));
        assert_eq!(http_endpoint(":9808"), http_endpoint("0.0.0.0:9808"));
        assert!(http_endpoint("9808").is_err());
    }
}
