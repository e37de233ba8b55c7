//! `berth-node`: the node plugin as a program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use csi_runtime::identity::{Capability, Readiness};
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::panics::{self, vital};
use csi_runtime::{Endpoint, Identity, http, logging, serve, shutdown, status};
use node_plugin::identity;
use node_plugin::inline::InlineVolumes;
use node_plugin::metrics::NodeMetrics;
use node_plugin::mounter::{Api, ClientIdentity, Filesystem, LinuxMounter};
use node_plugin::registration::{self, Registrar};
use node_plugin::server::Network;
use node_plugin::service::NodeService;
use node_plugin::{Config, Deadlines, Node};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use volume::names::{DRIVER_NAME, kubelet};

/// How often shares without volumes are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// Mounts NFS volumes for the pods of one node (CSI Node service).
#[derive(Debug, Parser)]
#[command(name = "berth-node", version)]
struct Flags {
    /// Socket on which the CSI services are served.
    #[arg(long, default_value = "unix:///csi/csi.sock")]
    endpoint: Endpoint,
    /// Name of this node in Kubernetes.
    #[arg(long, env = "NODE_ID")]
    node_id: String,
    /// Name of the CSI driver.
    #[arg(long, default_value = DRIVER_NAME)]
    driver_name: String,
    /// kubelet's directory, under the same path in the container and on the node.
    #[arg(long, default_value = "/var/lib/kubelet")]
    kubelet_dir: PathBuf,
    /// Directory in which one mount for each share is kept, in a mount that propagates to nobody [default: plugins/DRIVER/pool in kubelet's directory].
    #[arg(long)]
    pool_dir: Option<PathBuf>,
    /// Path of the CSI socket on the node, as kubelet is told it [default: plugins/DRIVER/csi.sock in kubelet's directory].
    #[arg(long)]
    kubelet_registration_path: Option<PathBuf>,
    /// Whether to register with kubelet; false where nobody listens, as in tests.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    register: bool,
    /// Address for /healthz, /readyz and /metrics, such as 0.0.0.0:9819; empty: none.
    #[arg(long, default_value = "", hide_default_value = true)]
    http_endpoint: String,
    /// Seconds that publishing a volume may take, with a fresh mount if need be. kubelet waits for two minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=110))]
    mount_deadline: u64,
    /// Seconds that reading statistics may take.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=110))]
    stats_deadline: u64,
    /// Seconds that an unmount may take before the mount is detached.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=50))]
    unmount_deadline: u64,
    /// Seconds after which a share that no volume uses is unmounted.
    #[arg(long, default_value_t = 600)]
    pool_idle: u64,
    /// Whether to give volumes to the groups of pods (fsGroup) instead of kubelet.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    give_groups: bool,
    /// What pods may mount by themselves, as a JSON list of server, share and mountOptions; see docs/node-plugin.md.
    #[arg(long, default_value = "[]", hide_default_value = true)]
    inline_volumes: InlineVolumes,
    /// Shape of log lines: json or text.
    #[arg(long, default_value_t = logging::Format::Json)]
    log_format: logging::Format,
    /// error, warn, info, debug or trace; the variable `RUST_LOG` wins.
    #[arg(long, default_value = "info")]
    log_level: String,
}

/// What ends the program with a failure.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    #[error(transparent)]
    Bind(#[from] csi_runtime::endpoint::BindError),
    #[error(transparent)]
    Endpoint(#[from] csi_runtime::endpoint::EndpointError),
    #[error(transparent)]
    Serve(#[from] csi_runtime::serve::ServeError),
    #[error("--http-endpoint \"{0}\" is no address such as 0.0.0.0:9819")]
    HttpAddress(String, #[source] std::net::AddrParseError),
    #[error("cannot listen on {0}")]
    Http(SocketAddr, #[source] std::io::Error),
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    #[error("kubelet refused the driver: {0}")]
    Refused(String),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    // One thread: the work is done by the kernel, and by threads of `worker` where it may wait.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Start);
    let ended = runtime.and_then(|runtime| {
        logging::init(flags.log_format, &flags.log_level)?;
        panics::are_fatal();
        let ended = runtime.block_on(run(flags));
        // A thread that waits for a dead server must not keep the program from ending; the kernel lets it go with the process.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("berth-node: {}", status::message(&failure));
            ExitCode::FAILURE
        }
    }
}

/// Runs until SIGTERM or SIGINT. Mounts stay: pods use them while the plugin is replaced.
async fn run(flags: Flags) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal().map_err(Failure::Start)?;
    let metrics = Metrics::new();
    let rpc = RpcMetrics::new(&metrics);
    panics::register(&metrics);
    let plugin_dir = flags.kubelet_dir.join(kubelet::PLUGINS).join(&flags.driver_name);
    let node = node(&flags, &plugin_dir, &metrics);
    if let Some(address) = http_address(&flags.http_endpoint)? {
        let listener = http::bind(address).await.map_err(|source| Failure::Http(address, source))?;
        let served = http::serve(listener, flags.endpoint.clone(), metrics, shutdown.clone());
        tokio::spawn(vital("the HTTP server", served));
    }

    let identity = Identity::new(
        flags.driver_name.clone(),
        env!("CARGO_PKG_VERSION"),
        vec![Capability::ControllerService],
        || Readiness::Ready,
    );
    let service = NodeService::new(node.clone(), flags.node_id.clone())
        .admitting(flags.inline_volumes.clone())
        .giving_groups(flags.give_groups);
    let routes = Routes::new(identity.into_service()).add_service(service.into_service());
    let served = serve(flags.endpoint.bind()?, routes, rpc.clone(), shutdown.clone());
    let csi = tokio::spawn(vital("the CSI server", served));
    tracing::info!(endpoint = %flags.endpoint, driver = flags.driver_name, node = flags.node_id, "serving CSI");

    let sweeper = tokio::spawn(vital("the sweeper of shares", sweep(node, shutdown.clone())));
    let refused = register(&flags, &plugin_dir, rpc, &shutdown)?;
    let ended = tokio::select! {
        served = csi => served.map_err(|error| Failure::Start(error.into()))?.map_err(Failure::from),
        reason = refused => Err(Failure::Refused(reason)),
    };
    sweeper.abort();
    ended
}

fn node(flags: &Flags, plugin_dir: &Path, metrics: &Metrics) -> Node<LinuxMounter, Network> {
    let former_pool = plugin_dir.join(kubelet::POOL);
    let pool = flags.pool_dir.clone().unwrap_or_else(|| former_pool.clone());
    let scratch = pool.join("scratch");
    let mut mounter = LinuxMounter::new(Filesystem::Nfs, Api::Newest, scratch.clone());
    match identity::of_this_node(plugin_dir) {
        Ok(name) => mounter = mounter.identified_by(ClientIdentity::new(name)),
        Err(error) => tracing::warn!(error = %error, "this node's NFS client stays without an identity of its own"),
    }
    let deadlines = Deadlines {
        mount: Duration::from_secs(flags.mount_deadline),
        stats: Duration::from_secs(flags.stats_deadline),
        unmount: Duration::from_secs(flags.unmount_deadline),
        ..Deadlines::default()
    };
    let pool_idle = Duration::from_secs(flags.pool_idle);
    let config = Config { pool_idle, deadlines, ..Config::new(pool.clone()) };
    let node = Node::new(mounter, Network::new(), config, NodeMetrics::new(metrics));
    if flags.pool_dir.is_some() {
        node.check_pool();
    }
    // Where earlier releases mounted; and stages that a process left which was killed.
    let mut left = vec![plugin_dir.join("scratch"), scratch];
    if pool != former_pool {
        left.push(former_pool);
    }
    node.clear(&left);
    node
}

fn http_address(text: &str) -> Result<Option<SocketAddr>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    // ":9819", as Go programs take it, means every address.
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map(Some).map_err(|source| Failure::HttpAddress(text.to_owned(), source))
}

/// Offers the driver to kubelet; the CSI socket answers already. The returned future ends when kubelet refuses.
///
/// The socket stays when the process ends: removing it would take the driver off the node's list while its successor starts, and pods would be
/// refused in between. The successor replaces it, which kubelet sees as a new plugin and registers again.
fn register(
    flags: &Flags,
    plugin_dir: &Path,
    rpc: RpcMetrics,
    shutdown: &CancellationToken,
) -> Result<impl Future<Output = String> + use<>, Failure> {
    let offer = if flags.register {
        let csi_socket =
            flags.kubelet_registration_path.clone().unwrap_or_else(|| plugin_dir.join(kubelet::CSI_SOCKET));
        let (registrar, refusal) = Registrar::new(flags.driver_name.clone(), csi_socket);
        let listener = registration::socket(&flags.kubelet_dir.join(kubelet::REGISTRY), &flags.driver_name)?.bind()?;
        let routes = Routes::new(registrar.into_service());
        let stop = shutdown.child_token();
        let served = tokio::spawn(vital("the registration server", serve(listener, routes, rpc, stop.clone())));
        Some((refusal, served, stop))
    } else {
        None
    };
    Ok(async {
        let Some((refusal, served, stop)) = offer else { return std::future::pending().await };
        let reason = refusal.wait().await;
        // The refusal came as a call, which is answered before the program ends.
        stop.cancel();
        let _ = served.await;
        reason
    })
}

async fn sweep(node: Node<LinuxMounter, Network>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = node.sweep().await {
            tracing::warn!(error = status::message(&error), "cannot look for idle shares");
        }
    }
}
