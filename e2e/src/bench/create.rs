//! How many volumes a second one controller makes, and how often it asks the server for each.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use labkit::base::{Daemon, LabError, Tool, eventually, process};
use serde_json::Value;

use crate::{
    cluster::{binaries::Binaries, network, nfs, state::StateDir},
    metrics,
    report::Line,
};

const IN_FLIGHT: &str = "32";
const VOLUMES: usize = 4000;
/// Volumes made before the clock starts: connection, session and cached handles are in place then, as in a controller
/// that runs for days.
const WARM_UP: usize = 64;
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9808);
/// Requests that the controller sent to NFS servers.
const ROUND_TRIPS: &str = "berth_nfs_round_trips_total";

pub(super) fn measure(lab: &StateDir, binaries: &Binaries, generator: &Path) -> Result<Vec<Line>, LabError> {
    let state = lab.nested("bench")?;
    let lines = in_namespace(&state, binaries, generator);
    process::end_all(state.root())?;
    lines
}

fn in_namespace(state: &StateDir, binaries: &Binaries, generator: &Path) -> Result<Vec<Line>, LabError> {
    let holder = network::hold(state)?;
    network::enter(holder.pid)?;
    network::build(&[])?;
    let (_ganesha, backend) = nfs::start_ganesha(state)?;
    let socket = state.file("csi.sock");
    let endpoint = format!("unix://{}", socket.display());
    let mut command = Command::new(binaries.controller());
    command.args(["--kubernetes=false", "--log-level=warn", &format!("--http-endpoint={METRICS}")]);
    command.arg(format!("--endpoint={endpoint}"));
    let controller = Daemon::start("berth-controller", command, &state.logs())?;
    eventually("the controller's socket", Duration::from_secs(20), Duration::from_millis(50), || {
        UnixStream::connect(&socket).map(drop).map_err(|error| error.to_string())
    })
    .map_err(|_| controller.broken("nobody listens on its socket"))?;
    let create = |prefix: &str, count: usize, delete: &[&str]| -> Result<Value, LabError> {
        let text = Tool::new(generator)
            .args(["create", "--endpoint", &endpoint, "--count", &count.to_string(), "--in-flight", IN_FLIGHT])
            .args(["--prefix", prefix])
            .args(delete)
            .args(["--parameter", &format!("server={}", backend.server)])
            .args(["--parameter", &format!("share={}", backend.share)])
            .output()?;
        serde_json::from_str(&text).map_err(LabError::reply("lab-load"))
    };
    create("warm", WARM_UP, &["--delete"])?;
    let rest = resident(controller.pid)?;
    let before = round_trips()?;
    let created = create("bench", VOLUMES, &[])?;
    let after_create = round_trips()?;
    let full = resident(controller.pid)?;
    // The same names again: found, not made. How many requests that takes is known only by doing it.
    create("bench", VOLUMES, &[])?;
    let after_finding = round_trips()?;
    let deleted = create("bench", VOLUMES, &["--delete"])?;
    let finding = after_finding - after_create;
    let deleting = round_trips()? - after_finding - finding;
    lines(&created, &deleted, &Requests { creating: after_create - before, deleting }, [rest, full])
}

/// Requests that the controller sent while it did all of something.
struct Requests {
    creating: f64,
    deleting: f64,
}

fn lines(created: &Value, deleted: &Value, requests: &Requests, rss: [f64; 2]) -> Result<Vec<Line>, LabError> {
    let number = |figures: &Value, key: &str| {
        figures[key].as_f64().ok_or_else(|| LabError::Unmet(format!("the load generator did not tell {key}")))
    };
    let count = number(created, "count")?;
    Ok(vec![
        Line::at_least(
            "CreateVolume, 32 in flight, loopback Ganesha",
            count / number(created, "seconds")?,
            "/s",
            1000.0,
        ),
        Line::fact("DeleteVolume, 32 in flight, loopback Ganesha", count / number(deleted, "delete_seconds")?, "/s"),
        // One is the promise; the tenth is for what is asked once in a run.
        Line::at_most("round trips per CreateVolume in the default place", requests.creating / count, "", 1.1),
        // Two are the promise; the reaper empties the trash meanwhile, with requests that hold many removals each.
        Line::at_most("round trips per DeleteVolume, emptying the trash included", requests.deleting / count, "", 3.3),
        Line::fact("controller RSS after the first volumes, without Kubernetes", rss[0], "MB"),
        Line::at_most(&format!("and after {VOLUMES} volumes"), rss[1], "MB", 20.0),
    ])
}

fn round_trips() -> Result<f64, LabError> {
    let text = Tool::new("curl").args(["-sSf", &format!("http://{METRICS}/metrics")]).output()?;
    Ok(metrics::total(&text, ROUND_TRIPS, &[]))
}

/// Resident memory of a process in MB.
pub(super) fn resident(pid: u32) -> Result<f64, LabError> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(LabError::file(&path))?;
    super::footprint::resident(&status).ok_or_else(|| LabError::Unmet(format!("{path} tells no VmRSS")))
}
