//! The fake server on a TCP port and a thread of its own, for clients with connections of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};

use super::http::answer;
use super::{FakeApi, Inner};

/// Starts one; it serves until the test's process ends.
pub(super) fn start() -> (FakeApi, SocketAddr) {
    let (started, is_started) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let api = FakeApi::start();
            let inner = Arc::clone(&api.inner);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            started.send((api, listener.local_addr().expect("an address"))).expect("the test waits");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, Arc::clone(&inner)));
            }
        });
    });
    is_started.recv().expect("a server")
}

async fn serve(stream: TcpStream, api: Arc<Inner>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let api = Arc::clone(&api);
        async move {
            let (parts, body) = request.into_parts();
            let body = Body::from(body.collect().await?.to_bytes());
            Ok::<_, hyper::Error>(answer(&api, Request::from_parts(parts, body)).await)
        }
    });
    // A client that goes away is no concern of the server.
    let _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
