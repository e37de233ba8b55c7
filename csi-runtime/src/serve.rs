//! Serving gRPC on a unix socket.

use std::time::Duration;

use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::endpoint::Listener;
use crate::metrics::RpcMetrics;
use crate::observe::ObserveLayer;

/// How long calls under way may go on after the shutdown began. Shorter than the 30 s that Kubernetes grants a pod.
pub const DRAIN: Duration = Duration::from_secs(20);

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server stopped")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves `routes` until `shutdown`, then lets calls under way finish for at most [`DRAIN`].
///
/// Every failed call leaves one log line with method, code, message and duration; every call is counted in `metrics`.
pub async fn serve(
    listener: Listener,
    routes: Routes,
    metrics: RpcMetrics,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let server = Server::builder().layer(ObserveLayer::new(metrics)).add_routes(routes).serve_with_incoming_shutdown(
        UnixListenerStream::new(listener.into_inner()),
        shutdown.clone().cancelled_owned(),
    );
    tokio::select! {
        ended = server => ended.map_err(ServeError::from),
        () = overdue(&shutdown) => {
            tracing::warn!(seconds = DRAIN.as_secs(), "calls are still under way after the drain time: leaving them");
            Ok(())
        }
    }
}

async fn overdue(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}
