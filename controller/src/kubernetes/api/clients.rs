//! The two clients of the API server.

use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt};
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::RetryLayer;
use tower::util::option_layer;
use tower::{BoxError, Layer, ServiceBuilder};

use super::answers::Answers;
use super::calls::CallLayer;
use super::errors::explain;
use crate::kubernetes::error::Error;

/// Requests under way at once, and so connections: each costs 60 KB while it is kept.
const REQUESTS: usize = 32;

/// A connection that nobody uses is closed after so long.
const IDLE: Duration = Duration::from_mins(1);

/// How long a TCP connection may take to come about; TLS and the answer are part of the call's own time.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection on which nothing comes is probed after so long, and again after [`PROBE_AGAIN`] …
const PROBE: Duration = Duration::from_secs(15);

/// See [`PROBE`].
const PROBE_AGAIN: Duration = Duration::from_secs(5);

/// … and is dead when what was sent on it, probes included, is not acknowledged within this time (`TCP_USER_TIMEOUT`,
/// RFC 5482): a node that lost its power says nothing, and a watch on it would wait for long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How often a call that the server has turned away for now (429, 503, 504) is repeated within its own time, at the pace
/// that the server asks for. After that it is a failure like any other, and the queue's pauses apply.
const RETRIES: u32 = 3;

/// Clients of one API server.
pub struct Clients {
    /// For the Lease alone: requests that the server lets hang must not keep its renewal waiting.
    pub(crate) lease: LeaseClient,
    /// For everything else; its requests are limited in number. Watches do not count.
    pub(crate) work: kube::Client,
    /// What comes of the calls of `work`.
    pub(crate) answers: Answers,
}

/// Who speaks about the Lease.
pub(crate) enum LeaseClient {
    /// A client of its own, on a runtime of its own.
    Own(Unbuilt),
    /// One whose connections belong to the caller's runtime.
    Shared(kube::Client),
}

/// A client that is made in the runtime that is to drive it.
pub(crate) struct Unbuilt(Box<kube::Config>);

impl Unbuilt {
    /// The client. Call it inside that runtime.
    pub(crate) fn build(&self) -> Result<kube::Client, Error> {
        client(&self.0, None, Answers::new())
    }
}

impl Clients {
    /// Clients of the API server that a kubeconfig or the environment of a pod names.
    pub async fn infer() -> Result<Self, Error> {
        let config = kube::Config::infer().await.map_err(|error| Error::Client(error.to_string()))?;
        Self::new(config)
    }

    /// Clients by this configuration.
    pub fn new(config: kube::Config) -> Result<Self, Error> {
        if let Some(proxy) = &config.proxy_url {
            return Err(Error::Client(format!(
                "the kubeconfig names the proxy {proxy}, and proxies are not supported; remove proxy-url"
            )));
        }
        let answers = Answers::new();
        let work = client(&config, Some(REQUESTS), answers.clone())?;
        Ok(Self { lease: LeaseClient::Own(Unbuilt(Box::new(config))), work, answers })
    }
}

impl From<kube::Client> for Clients {
    /// One client for both purposes, whose calls have the same deadlines. The Lease is then held on the caller's runtime.
    fn from(client: kube::Client) -> Self {
        let answers = Answers::new();
        let lease = LeaseClient::Shared(guarded(&client, Answers::new()));
        Self { lease, work: guarded(&client, answers.clone()), answers }
    }
}

fn guarded(client: &kube::Client, answers: Answers) -> kube::Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    });
    kube::Client::new(CallLayer::new("of the caller", answers).layer(service), namespace)
}

/// A client as `kube` makes one, but for what tells a server that is gone from one that is slow: deadlines (see
/// `calls`), probes of connections, and few repetitions.
fn client(config: &kube::Config, requests: Option<usize>, answers: Answers) -> Result<kube::Client, Error> {
    stack(config, requests, answers).map_err(|error| Error::Client(explain(&error)))
}

fn stack(config: &kube::Config, requests: Option<usize>, answers: Answers) -> Result<kube::Client, kube::Error> {
    let server = config.cluster_url.to_string();
    let retry = RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(2), RETRIES, true);
    let retry = retry.map_err(|error| kube::Error::Service(error.into()))?;
    let service = ServiceBuilder::new()
        .layer(option_layer(requests.map(ConcurrencyLimitLayer::new)))
        .layer(CallLayer::new(server.trim_end_matches('/'), answers))
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(retry))
        .layer(option_layer(config.auth_layer()?))
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(
            HttpClient::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_timer(TokioTimer::new())
                .build::<_, Body>(config.rustls_https_connector_with_connector(tcp())?),
        );
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // It makes the connections below TLS as well.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(PROBE));
    tcp.set_keepalive_interval(Some(PROBE_AGAIN));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolume;
    use kube::Api;
    use kube::api::{ListParams, PostParams};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::super::calls::{LIST, WRITE};
    use super::*;

    /// A server that reads everything and says `answer` once to each connection.
    async fn server(answer: &'static str) -> Api<PersistentVolume> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let mut told = false;
                    while connection.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                        if !std::mem::replace(&mut told, true) {
                            connection.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                });
            }
        });
        let config = kube::Config::new(url.parse().unwrap());
        Api::all(Clients::new(config).unwrap().work)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_calls_and_never_answers_costs_their_deadline() {
        // Nothing, headers without a body, and a body without an end.
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n{\"kind\":"] {
            let api = server(answer).await;
            let since = Instant::now();
            let error = api.create(&PostParams::default(), &PersistentVolume::default()).await.unwrap_err();
            assert_eq!(since.elapsed(), WRITE, "{answer}");
            let text = explain(&error);
            assert!(text.starts_with("the API server http://127.0.0.1:"), "{text}");
            assert!(text.ends_with(" did not answer POST /api/v1/persistentvolumes within 25 s"), "{text}");
            let since = Instant::now();
            api.list(&ListParams::default().limit(250)).await.unwrap_err();
            assert_eq!(since.elapsed(), LIST, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_speak_tls_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let clients = Clients::new(kube::Config::new(url.parse().unwrap())).unwrap();
        let text = explain(&Api::<PersistentVolume>::all(clients.work).get("data").await.unwrap_err());
        assert!(text.contains(&url) && text.contains("InvalidContentType"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_the_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let clients = Clients::new(kube::Config::new(url.parse().unwrap())).unwrap();
        let error = Api::<PersistentVolume>::all(clients.work).get("data").await.unwrap_err();
        let text = explain(&error);
        let call = format!("the API server {url} could not be asked for GET /api/v1/persistentvolumes/data: ");
        assert!(text.starts_with(&call) && text.contains("onnection refused"), "{text}");
    }
}
