//! `berth-controller`: the controller as a program.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use controller::args::Args;
use controller::kubernetes;
use controller::operations::{Counts, Operations, register_servers};
use controller::servers::{Servers, Settings};
use controller::service::ControllerService;
use csi_runtime::identity::Capability;
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::panics::{self, vital};
use csi_runtime::{Identity, http, logging, serve, shutdown, status};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Threads of the runtime: the work is waiting for servers.
const THREADS: usize = 2;

/// How often servers that nobody needs are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// How long jobs that nobody waits for may go on after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// Where the kernel says how the host is called; in a pod, that is the pod's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// What ends the program with a failure.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    #[error(transparent)]
    Bind(#[from] csi_runtime::endpoint::BindError),
    #[error(transparent)]
    Serve(#[from] csi_runtime::serve::ServeError),
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    #[error("cannot listen on {0}")]
    Http(std::net::SocketAddr, #[source] std::io::Error),
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    #[error("{HOST_NAME} cannot be read; say --identity")]
    HostName(#[source] std::io::Error),
    #[error("a task of the controller died")]
    Task(#[from] tokio::task::JoinError),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let ended = runtime.map_err(Failure::Start).and_then(|runtime| {
        logging::init(args.log_format, &args.log_level)?;
        panics::are_fatal();
        let ended = runtime.block_on(run(args));
        // What still runs belongs to nobody: the lease may be somebody else's by now.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("berth-controller: {}", status::message(&failure));
            ExitCode::FAILURE
        }
    }
}

/// Runs until SIGTERM or SIGINT, or until something that it needs is lost.
async fn run(args: Args) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal().map_err(Failure::Start)?;
    let metrics = Metrics::new();
    let rpc = RpcMetrics::new(&metrics);
    panics::register(&metrics);
    let identity = match &args.identity {
        Some(identity) => identity.clone(),
        None => std::fs::read_to_string(HOST_NAME).map_err(Failure::HostName)?.trim().to_owned(),
    };
    let settings = Settings::new(&identity, args.nfs_reserved_port.into());
    #[cfg(feature = "fault-points")]
    let settings = Settings { faults: controller::backend::directory::faults::Faults::from_environment(), ..settings };
    let servers = Servers::new(settings);
    register_servers(&metrics, servers.clone());
    let operations = Operations::new(args.driver_name.clone(), servers.clone(), Counts::new(&metrics));

    if let Some(address) = args.http_endpoint.0 {
        let listener = http::bind(address).await.map_err(|source| Failure::Http(address, source))?;
        let served = http::serve(listener, args.endpoint.clone(), metrics.clone(), shutdown.clone());
        tokio::spawn(vital("the HTTP server", served));
    }
    let standing = kubernetes::Standing::default();
    let about =
        Identity::new(args.driver_name.clone(), env!("CARGO_PKG_VERSION"), vec![Capability::ControllerService], {
            let standing = standing.clone();
            move || standing.readiness()
        });
    let routes =
        Routes::new(about.into_service()).add_service(ControllerService::new(operations.clone()).into_service());
    let served = serve(args.endpoint.bind()?, routes, rpc, shutdown.clone());
    let mut csi = tokio::spawn(vital("the CSI server", served));
    tracing::info!(endpoint = %args.endpoint, driver = args.driver_name, identity, "serving CSI");
    tokio::spawn(vital("the sweeper of connections", sweep(servers.clone(), shutdown.clone())));

    let config = args.kubernetes.then(|| kubernetes::Config {
        worker_threads: args.worker_threads,
        retry_interval_start: args.retry_interval_start,
        retry_interval_max: args.retry_interval_max,
        remove_startup_taint: args.remove_startup_taint,
        metrics,
        standing,
        ..kubernetes::Config::new(args.driver_name, args.leader_election_namespace, identity)
    });
    let provisions = provision(config, operations.clone(), shutdown.clone());
    let mut provisioner = tokio::spawn(vital("the provisioner", provisions));
    tokio::select! {
        served = &mut csi => {
            shutdown.cancel();
            served??;
            provisioner.await??;
        }
        // Without the lease nothing may go on, so a failure here ends the program at once.
        ended = &mut provisioner => {
            ended??;
            shutdown.cancel();
            csi.await??;
        }
    }
    let drained = async {
        while operations.running() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(
            jobs = operations.running(),
            "leaving jobs that are still running; their repetition finishes them"
        );
    }
    servers.close().await;
    Ok(())
}

/// Provisions for Kubernetes, or waits for the shutdown where that is not wanted.
async fn provision(
    config: Option<kubernetes::Config>,
    operations: Operations,
    shutdown: CancellationToken,
) -> Result<(), kubernetes::Error> {
    let Some(config) = config else {
        shutdown.cancelled().await;
        return Ok(());
    };
    kubernetes::run(Arc::new(operations), config, shutdown).await
}

async fn sweep(servers: Servers, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => servers.close_idle().await,
            () = shutdown.cancelled() => return,
        }
    }
}
