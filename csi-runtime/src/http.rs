//! The HTTP endpoint: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use csi_proto::csi::ProbeRequest;
use csi_proto::csi::identity_client::IdentityClient;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::metrics::Metrics;
use crate::status::message;

/// How long the process's own socket may take to answer before it counts as dead.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// Media type of the `OpenMetrics` text format, version 1.0.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A client must have sent its request by then.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// What the endpoint answers from.
#[derive(Debug)]
struct State {
    socket: Endpoint,
    metrics: Metrics,
}

/// Listens on `address`; separate from [`serve`], so that a port that is taken is known before anything else starts.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `shutdown`.
///
/// - `/healthz` opens a connection of its own to `socket` and calls `Probe`: 200 if that answers within 3 s, whether ready or not; 500 if it does
///   not or the plugin calls itself broken. It exercises the path that kubelet uses and depends on no NFS server.
/// - `/readyz` is the same, with 503 while the plugin is starting.
/// - `/metrics` is the `OpenMetrics` text.
pub async fn serve(listener: TcpListener, socket: Endpoint, metrics: Metrics, shutdown: CancellationToken) {
    let state = Arc::new(State { socket, metrics });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&state)));
            }
            Err(error) => {
                tracing::warn!(error = message(&error), "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(&request, &state).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(error = message(&error), "an HTTP connection ended early");
    }
}

async fn answer<B>(request: &Request<B>, state: &State) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    }
    match request.uri().path() {
        "/healthz" => match probe(&state.socket).await {
            Ok(_) => text(StatusCode::OK, "ok"),
            Err(reason) => text(StatusCode::INTERNAL_SERVER_ERROR, reason),
        },
        "/readyz" => match probe(&state.socket).await {
            Ok(true) => text(StatusCode::OK, "ok"),
            Ok(false) => text(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Err(reason) => text(StatusCode::INTERNAL_SERVER_ERROR, reason),
        },
        "/metrics" => match state.metrics.encode() {
            Ok(body) => with_type(StatusCode::OK, OPENMETRICS, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, message(&error)),
        },
        _ => text(StatusCode::NOT_FOUND, "only /healthz, /readyz and /metrics are here"),
    }
}

/// Whether the plugin is ready, or why it does not answer.
async fn probe(socket: &Endpoint) -> Result<bool, String> {
    let call = async {
        let channel =
            socket.connect().await.map_err(|error| format!("cannot connect to {socket}: {}", message(&error)))?;
        let answer = IdentityClient::new(channel).probe(ProbeRequest {}).await;
        let answer = answer.map_err(|status| format!("Probe failed: {}", status.message()))?;
        Ok(answer.into_inner().ready.unwrap_or(true))
    };
    tokio::time::timeout(PROBE_DEADLINE, call)
        .await
        .unwrap_or_else(|_| Err(format!("{socket} did not answer Probe within {} s", PROBE_DEADLINE.as_secs())))
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", format!("{}\n", body.into()))
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
