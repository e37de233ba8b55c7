//! A whole plugin on a socket, and requests to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use csi_proto::csi;
use csi_proto::csi::node_client::NodeClient;
use csi_proto::csi::volume_capability::access_mode::Mode;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, MountVolume};
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::serve::ServeError;
use csi_runtime::{Endpoint, serve};
use node_plugin::metrics::NodeMetrics;
use node_plugin::mounter::{Mounter, Ownership};
use node_plugin::server::Servers;
use node_plugin::service::NodeService;
use node_plugin::{Config, Deadlines, Node};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(crate) struct Plugin<M: Mounter, S> {
    pub(crate) node: Node<M, S>,
    pub(crate) client: NodeClient<Channel>,
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

/// Short, so that a hang is over soon, and long enough for a busy machine to do what does not hang. A publish has time for two silent addresses.
pub(crate) fn deadlines() -> Deadlines {
    Deadlines {
        mount: Duration::from_secs(4),
        stats: Duration::from_secs(2),
        unmount: Duration::from_secs(2),
        busy: Duration::from_millis(500),
        resolve: Duration::from_millis(500),
    }
}

/// For a real kernel and a real server: those of production, but for two that would only make tests wait.
#[cfg(feature = "kernel")]
pub(crate) fn real() -> Deadlines {
    Deadlines { mount: Duration::from_secs(20), busy: Duration::from_millis(500), ..Deadlines::default() }
}

/// Far above what an answer takes that waits for nothing, far below every deadline of production.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

/// How many times longer than on hardware everything may take here; the lab says so in a guest that it emulates.
fn slowness() -> u32 {
    std::env::var("BERTH_TEST_SLOWNESS").map_or(1, |factor| factor.parse().unwrap())
}

/// Holds something to what is promised of it.
pub(crate) async fn within<T>(promise: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = work.await;
    let took = started.elapsed();
    assert!(
        took < promise * slowness(),
        "{took:?}, where {promise:?} is promised and {} times that allowed",
        slowness()
    );
    done
}

/// Holds an answer to coming at once.
pub(crate) async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    within(AT_ONCE, answer).await
}

/// Starts a plugin whose sockets and pool are in `dir`.
#[cfg(any(feature = "privileged", feature = "kernel"))]
pub(crate) async fn start<M: Ownership, S: Servers>(
    mounter: M,
    servers: S,
    dir: &Path,
    deadlines: Deadlines,
) -> Plugin<M, S> {
    start_with(mounter, servers, dir, config(dir, deadlines)).await
}

/// A plugin's with its pool in `dir`, which unmounts at each sweep what is not used.
pub(crate) fn config(dir: &Path, deadlines: Deadlines) -> Config {
    Config { deadlines, pool_idle: Duration::ZERO, ..Config::new(dir.join("pool")) }
}

/// Starts a plugin whose sockets are in `dir`.
pub(crate) async fn start_with<M: Ownership, S: Servers>(
    mounter: M,
    servers: S,
    dir: &Path,
    config: Config,
) -> Plugin<M, S> {
    start_as(mounter, servers, dir, config, |service| service).await
}

/// Starts a plugin whose sockets and pool are in `dir`, with a service that is changed before it begins.
pub(crate) async fn start_as<M: Ownership, S: Servers>(
    mounter: M,
    servers: S,
    dir: &Path,
    config: Config,
    change: impl FnOnce(NodeService<M, S>) -> NodeService<M, S>,
) -> Plugin<M, S> {
    let metrics = Metrics::new();
    let node = Node::new(mounter, servers, config, NodeMetrics::new(&metrics));
    let endpoint: Endpoint = dir.join("csi.sock").to_str().unwrap().parse().unwrap();
    let routes = Routes::new(change(NodeService::new(node.clone(), "node-1".to_owned())).into_service());
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(endpoint.bind().unwrap(), routes, RpcMetrics::new(&metrics), shutdown.clone()));
    let client = NodeClient::new(endpoint.connect().await.unwrap());
    Plugin { node, client, metrics, shutdown, served }
}

impl<M: Mounter, S> Plugin<M, S> {
    pub(crate) async fn publish(&mut self, request: csi::NodePublishVolumeRequest) -> Result<(), Status> {
        self.client.node_publish_volume(request).await.map(|_| ())
    }

    pub(crate) async fn unpublish(&mut self, target: &Path) -> Result<(), Status> {
        let request = csi::NodeUnpublishVolumeRequest {
            volume_id: "any".to_owned(),
            target_path: target.to_str().unwrap().to_owned(),
        };
        self.client.node_unpublish_volume(request).await.map(|_| ())
    }

    pub(crate) async fn stats(&mut self, volume: &str, path: &Path) -> Result<Vec<csi::VolumeUsage>, Status> {
        let request = csi::NodeGetVolumeStatsRequest {
            volume_id: volume.to_owned(),
            volume_path: path.to_str().unwrap().to_owned(),
            ..Default::default()
        };
        self.client.node_get_volume_stats(request).await.map(|answer| answer.into_inner().usage)
    }

    /// Ends it as SIGTERM does, and waits until nothing is left of it but threads that wait for a server.
    pub(crate) async fn end(mut self) {
        self.shutdown.cancel();
        (&mut self.served).await.unwrap().unwrap();
    }
}

impl<M: Mounter, S> Drop for Plugin<M, S> {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A volume `pvc-N` of `server:/share`, for many writers.
pub(crate) fn volume(name: &str, target: &Path) -> csi::NodePublishVolumeRequest {
    csi::NodePublishVolumeRequest {
        volume_id: format!("berth://server/share#{name}"),
        target_path: target.to_str().unwrap().to_owned(),
        volume_capability: Some(capability(Mode::MultiNodeMultiWriter, &[])),
        volume_context: BTreeMap::from([
            ("server".to_owned(), "server".to_owned()),
            ("share".to_owned(), "/share".to_owned()),
            ("subDir".to_owned(), name.to_owned()),
        ]),
        ..Default::default()
    }
}

pub(crate) fn capability(mode: Mode, options: &[&str]) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume {
            mount_flags: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Default::default()
        })),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

/// The code and text of a failure.
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("this must fail");
    assert!(status.details().is_empty(), "CSI allows no details");
    (status.code(), status.message().to_owned())
}
