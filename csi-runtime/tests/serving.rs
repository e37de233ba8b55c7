//! The whole of a process's outside: gRPC on a unix socket, and HTTP beside it.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use csi_proto::csi::identity_client::IdentityClient;
use csi_proto::csi::identity_server::{self, IdentityServer};
use csi_proto::csi::node_client::NodeClient;
use csi_proto::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    NodeGetInfoRequest, ProbeRequest, ProbeResponse,
};
use csi_runtime::identity::{Capability, Readiness};
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::serve::DRAIN;
use csi_runtime::{Endpoint, Identity, http, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

struct Process {
    endpoint: Endpoint,
    http: std::net::SocketAddr,
    readiness: Arc<AtomicU8>,
    shutdown: CancellationToken,
    grpc: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn start() -> Process {
    let dir = tempfile::tempdir().unwrap();
    let endpoint: Endpoint = format!("unix://{}/csi.sock", dir.path().display()).parse().unwrap();
    let readiness = Arc::new(AtomicU8::new(0));
    let asked = Arc::clone(&readiness);
    let identity = Identity::new("csi.example", "1.0.0", vec![Capability::ControllerService], move || {
        match asked.load(Ordering::SeqCst) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            3 => panic!("on purpose"),
            _ => Readiness::Broken("no credentials".to_owned()),
        }
    });
    let metrics = Metrics::new();
    let shutdown = CancellationToken::new();
    let served = serve(
        endpoint.bind().unwrap(),
        Routes::new(identity.into_service()),
        RpcMetrics::new(&metrics),
        shutdown.clone(),
    );
    let grpc = tokio::spawn(async { served.await.unwrap() });
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve(listener, endpoint.clone(), metrics, shutdown.clone()));
    Process { endpoint, http: address, readiness, shutdown, grpc, _dir: dir }
}

async fn get(process: &Process, path: &str) -> String {
    let mut stream = TcpStream::connect(process.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status_line(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_so_is_the_next() {
    let process = start().await;
    let mut client = IdentityClient::new(process.endpoint.connect().await.unwrap());
    process.readiness.store(3, Ordering::SeqCst);
    let status = client.probe(ProbeRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "a call panicked, which is a bug: on purpose; the log says where");
    process.readiness.store(1, Ordering::SeqCst);
    assert_eq!(client.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    let text = get(&process, "/metrics").await;
    let line = "berth_rpc_duration_seconds_count{method=\"csi.v1.Identity/Probe\",code=\"INTERNAL\"} 1";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn the_socket_answers_and_calls_are_counted() {
    let process = start().await;
    let channel = process.endpoint.connect().await.unwrap();
    let mut identity = IdentityClient::new(channel.clone());
    let info = identity.get_plugin_info(GetPluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.name, "csi.example");

    let status = NodeClient::new(channel).node_get_info(NodeGetInfoRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);

    process.readiness.store(2, Ordering::SeqCst);
    let status = identity.probe(ProbeRequest {}).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "no credentials"));

    let metrics = get(&process, "/metrics").await;
    for line in [
        "berth_rpc_duration_seconds_count{method=\"csi.v1.Identity/GetPluginInfo\",code=\"OK\"} 1",
        "berth_rpc_duration_seconds_count{method=\"unknown\",code=\"UNIMPLEMENTED\"} 1",
        "berth_rpc_duration_seconds_count{method=\"csi.v1.Identity/Probe\",code=\"FAILED_PRECONDITION\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn health_follows_the_socket_and_readiness_follows_probe() {
    let process = start().await;
    assert_eq!(status_line(&get(&process, "/healthz").await), "200");
    assert_eq!(status_line(&get(&process, "/readyz").await), "503");
    process.readiness.store(1, Ordering::SeqCst);
    assert_eq!(status_line(&get(&process, "/readyz").await), "200");
    process.readiness.store(2, Ordering::SeqCst);
    assert_eq!(status_line(&get(&process, "/healthz").await), "500");
    assert_eq!(status_line(&get(&process, "/elsewhere").await), "404");

    process.readiness.store(1, Ordering::SeqCst);
    std::fs::remove_file(process.endpoint.path()).unwrap();
    let answer = get(&process, "/healthz").await;
    assert_eq!(status_line(&answer), "500");
    assert!(answer.contains("cannot connect to unix://"), "{answer}");
}

/// Somebody who stays connected and asks for nothing holds nothing up.
#[tokio::test]
async fn a_shutdown_with_nothing_under_way_ends_serving_long_before_the_drain_time() {
    let process = start().await;
    let idle = process.endpoint.connect().await.unwrap();
    IdentityClient::new(idle.clone()).get_plugin_info(GetPluginInfoRequest {}).await.unwrap();
    process.shutdown.cancel();
    timeout(DRAIN / 4, process.grpc).await.expect("nobody is waited for").unwrap();
}

/// An Identity service whose Probe waits for its test.
struct Held {
    arrived: Arc<Notify>,
    gate: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl identity_server::Identity for Held {
    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        self.arrived.notify_one();
        self.gate.clone().wait_for(|open| *open).await.unwrap();
        Ok(Response::new(ProbeResponse::default()))
    }

    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

/// A server that has one call under way.
struct Busy {
    gate: watch::Sender<bool>,
    call: JoinHandle<Result<Response<ProbeResponse>, Status>>,
    shutdown: CancellationToken,
    grpc: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn busy() -> Busy {
    let dir = tempfile::tempdir().unwrap();
    let endpoint: Endpoint = format!("unix://{}/csi.sock", dir.path().display()).parse().unwrap();
    let (arrived, (gate, opened)) = (Arc::new(Notify::new()), watch::channel(false));
    let routes = Routes::new(IdentityServer::new(Held { arrived: Arc::clone(&arrived), gate: opened }));
    let shutdown = CancellationToken::new();
    let served = serve(endpoint.bind().unwrap(), routes, RpcMetrics::new(&Metrics::new()), shutdown.clone());
    let grpc = tokio::spawn(async { served.await.unwrap() });
    let mut client = IdentityClient::new(endpoint.connect().await.unwrap());
    let call = tokio::spawn(async move { client.probe(ProbeRequest {}).await });
    arrived.notified().await;
    Busy { gate, call, shutdown, grpc, _dir: dir }
}

#[tokio::test]
async fn a_call_under_way_at_a_shutdown_is_answered() {
    let server = busy().await;
    server.shutdown.cancel();
    // The server sees it first.
    tokio::task::yield_now().await;
    assert!(!server.grpc.is_finished() && !server.call.is_finished());
    server.gate.send_replace(true);
    server.call.await.unwrap().expect("an answer");
    timeout(DRAIN / 4, server.grpc).await.expect("nobody else is waited for").unwrap();
}

#[tokio::test]
async fn a_call_that_hangs_at_a_shutdown_is_waited_for_as_long_as_the_drain_time() {
    let server = busy().await;
    tokio::time::pause();
    let begun = Instant::now();
    server.shutdown.cancel();
    server.grpc.await.unwrap();
    let took = begun.elapsed();
    assert!(took >= DRAIN && took < DRAIN + Duration::from_secs(1), "{took:?}");
}
