//! Every call to the API server has an end: the layer around its clients.
//!
//! # Guarantees
//! - A call that is no watch has its whole answer, or has failed, within [`CALL`] of being sent, within [`WRITE`] where it
//!   writes, or within [`LIST`] where it asks for a page of a list.
//! - A watch has begun, or has failed, within [`CALL`]. Its stream is left alone: `watch` says when that ends.
//! - An error names the call, the server, and how long was waited for it.
//! - What came of a call is noted in [`Answers`], and so is one that has no answer after [`CALL`], though it may still get one.
//!
//! The time that a call waits for others to make room is not part of it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use csi_runtime::status::message;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full};
use kube::client::Body;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tower::{BoxError, Layer, Service};

use super::answers::{Answers, Fate};

/// How long an answer is waited for.
pub(crate) const CALL: Duration = Duration::from_secs(15);

/// The same where something is written. The slowest part of it is the admission webhooks of a cluster. Each gets ten seconds
/// unless somebody sets another time, those that may change the object one after the other; and the server gives a write up
/// with the client that asked for it. So two of them may be dead. Shorter than what makes a leader hopeless.
pub(crate) const WRITE: Duration = Duration::from_secs(25);

/// The same for a page of a list, which the server may have to read from etcd and we have to decode.
pub(crate) const LIST: Duration = Duration::from_secs(25);

/// When a deadline is noticed so much too late, this process had no processor for its work, and answers may lie unread …
const STARVED: Duration = Duration::from_secs(1);

/// … for so long: what our own load delays is no fault of the server.
const GRACE: Duration = Duration::from_secs(5);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The server took the call, or a part of it, and nothing came back.
    #[error("the API server {server} did not answer {call} within {} s", .within.as_secs())]
    Late {
        /// Where it went.
        server: Arc<str>,
        /// Method and path.
        call: String,
        /// How long was waited for.
        within: Duration,
    },
    /// There is no connection, or it broke, or the call could not be signed.
    #[error("the API server {server} could not be asked for {call}")]
    Failed {
        /// Where it was to go.
        server: Arc<str>,
        /// Method and path.
        call: String,
        /// Why.
        source: BoxError,
    },
}

/// Puts a [`Guarded`] around a client's service.
#[derive(Debug, Clone)]
pub(crate) struct CallLayer {
    server: Arc<str>,
    answers: Answers,
}

impl CallLayer {
    /// For calls to `server`, as people are to be told of it; what comes of them is noted in `answers`.
    pub(crate) fn new(server: &str, answers: Answers) -> Self {
        Self { server: server.into(), answers }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, server: Arc::clone(&self.server), answers: self.answers.clone() }
    }
}

/// A service whose calls have an end; see the module.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    server: Arc<str>,
    answers: Answers,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<Full<Bytes>, B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (call, begun, answers) = (Call::of(&request, &self.server), Instant::now(), self.answers.clone());
        let streams = call.kind == Kind::Watch;
        let answer = self.inner.call(request);
        let whole = async move {
            let (parts, body) = answer.await.map_err(Into::into)?.into_parts();
            if streams && parts.status.is_success() {
                return Ok(Response::from_parts(parts, Either::Right(body)));
            }
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            Ok(Response::from_parts(parts, Either::Left(Full::new(body))))
        };
        async move {
            let overdue = || answers.overdue(begun, || message(&call.late(CALL)));
            let (fate, result) = match within(call.kind.deadline(), whole, overdue).await {
                Ok(Ok(answer)) if is_failure(answer.status()) => (Fate::ServerError, Ok(answer)),
                Ok(Ok(answer)) => (Fate::Answered, Ok(answer)),
                Ok(Err(source)) => (Fate::Failed, Err(call.failed(source))),
                Err(_) => (Fate::Late, Err(call.late(call.kind.deadline()))),
            };
            answers.note(begun, fate, || match &result {
                Ok(answer) => call.refused(answer.status()),
                Err(error) => message(error),
            });
            result.map_err(Into::into)
        }
        .boxed()
    }
}

/// Whether the server says that it cannot serve anybody. 500 is an answer: it is what an admission webhook that does not work
/// comes to, among other things that another leader would be told as well.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::INTERNAL_SERVER_ERROR
}

/// What a call is, as far as its time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A stream without an end of its own.
    Watch,
    /// A page of a list.
    List,
    /// Anything else that reads.
    Read,
    Write,
}

impl Kind {
    fn of(method: &Method, uri: &Uri) -> Self {
        let mut words = uri.query().unwrap_or_default().split('&');
        if method != Method::GET {
            return Self::Write;
        }
        if words.clone().any(|word| matches!(word, "watch=true" | "watch=1")) {
            return Self::Watch;
        }
        if words.any(|word| word.starts_with("limit=")) { Self::List } else { Self::Read }
    }

    fn deadline(self) -> Duration {
        match self {
            Self::Watch | Self::Read => CALL,
            Self::Write => WRITE,
            Self::List => LIST,
        }
    }
}

/// One call, kept for what may have to be said of it.
struct Call {
    server: Arc<str>,
    method: Method,
    uri: Uri,
    kind: Kind,
}

impl Call {
    fn of(request: &Request<Body>, server: &Arc<str>) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { kind: Kind::of(&method, &uri), server: Arc::clone(server), method, uri }
    }

    /// Method and path. What follows a `?` differs between repetitions, and the same failure has the same text.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }

    fn late(&self, within: Duration) -> CallError {
        CallError::Late { server: Arc::clone(&self.server), call: self.name(), within }
    }

    fn failed(&self, source: BoxError) -> CallError {
        CallError::Failed { server: Arc::clone(&self.server), call: self.name(), source }
    }

    fn refused(&self, status: StatusCode) -> String {
        format!("the API server {} answered {} with {status}", self.server, self.name())
    }
}

/// `call`, if it ends within `limit`; `overdue` is called when it has not ended within [`CALL`]. Where the deadline itself comes late, the call gets [`GRACE`] to take up what has
/// arrived meanwhile.
async fn within<T>(limit: Duration, call: impl Future<Output = T>, overdue: impl FnOnce()) -> Result<T, Elapsed> {
    let mut call = pin!(call);
    let begun = Instant::now();
    if limit > CALL {
        match timeout_at(begun + CALL, &mut call).await {
            Ok(done) => return Ok(done),
            Err(_) if (begun + CALL).elapsed() <= STARVED => overdue(),
            Err(_) => {}
        }
    }
    let due = begun + limit;
    match timeout_at(due, &mut call).await {
        Err(_) if due.elapsed() > STARVED => timeout(GRACE, call).await,
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use futures::stream;
    use http_body_util::StreamBody;
    use http_body_util::combinators::UnsyncBoxBody;
    use hyper::body::Frame;
    use tokio::time::sleep;

    use super::super::errors::explain;
    use super::*;

    /// What a server does with a call.
    #[derive(Debug, Clone, Copy)]
    enum Server {
        Silent,
        /// Headers, and then nothing.
        Stalls(u16),
        Refuses,
        /// Answers after so long.
        Slow(Duration),
    }

    async fn answer(server: Server) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, BoxError> {
        match server {
            Server::Silent => pending().await,
            Server::Stalls(code) => {
                let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
                Ok(Response::builder().status(code).body(body.boxed_unsync())?)
            }
            Server::Refuses => Err("connection refused".into()),
            Server::Slow(time) => {
                sleep(time).await;
                Ok(Response::new(Full::from("{}").boxed_unsync()))
            }
        }
    }

    /// Calls `server`; how long it took, and what came.
    async fn call(server: Server, method: Method, path: &str) -> (Duration, Result<u16, String>) {
        let service = tower::service_fn(move |_: Request<Body>| answer(server));
        let layer = CallLayer::new("https://api.example:6443", Answers::new());
        let client = kube::Client::new(layer.layer(service), "default");
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let since = Instant::now();
        let result = client.send(request).await;
        (since.elapsed(), result.map(|response| response.status().as_u16()).map_err(|error| explain(&error)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_whatever_the_server_leaves_out() {
        let claims = "/api/v1/persistentvolumeclaims";
        for (method, query, within) in [
            (Method::POST, "", WRITE),
            (Method::PATCH, "?fieldManager=x", WRITE),
            (Method::GET, "", CALL),
            (Method::GET, "?limit=250&resourceVersion=7", LIST),
        ] {
            for server in [Server::Silent, Server::Stalls(200), Server::Stalls(500)] {
                let (took, result) = call(server, method.clone(), &format!("{claims}{query}")).await;
                let text = format!(
                    "the API server https://api.example:6443 did not answer {method} {claims} within {} s",
                    within.as_secs()
                );
                assert_eq!(result, Err(text), "{server:?}");
                assert_eq!(took, within, "{server:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_must_begin_in_time_and_may_then_be_silent() {
        for watch in ["/api/v1/pods?watch=true&resourceVersion=7", "/api/v1/pods?limit=1&watch=1"] {
            let (took, result) = call(Server::Silent, Method::GET, watch).await;
            assert!(result.unwrap_err().ends_with("did not answer GET /api/v1/pods within 15 s"));
            assert_eq!(took, CALL);
            assert_eq!(call(Server::Stalls(200), Method::GET, watch).await, (Duration::ZERO, Ok(200)));
            // A refusal is no stream: its text is part of the answer.
            assert_eq!(call(Server::Stalls(403), Method::GET, watch).await.0, CALL);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_an_answer_and_a_failure_has_its_cause() {
        let nearly = Duration::from_millis(24_999);
        assert_eq!(call(Server::Slow(nearly), Method::PUT, "/x").await, (nearly, Ok(200)));
        let (_, result) = call(Server::Refuses, Method::PUT, "/x").await;
        let text = "the API server https://api.example:6443 could not be asked for PUT /x: connection refused";
        assert_eq!(result, Err(text.to_owned()));
    }

    /// A runtime that is kept from its work sees deadlines and answers at once, and the deadlines first.
    #[tokio::test]
    async fn an_answer_that_our_own_load_delayed_still_counts() {
        let (answer, arrives) = tokio::sync::oneshot::channel();
        let call = within(Duration::from_millis(10), arrives, || ());
        let load = async {
            std::thread::sleep(STARVED + Duration::from_millis(200));
            // By another task, after a turn or two of the runtime: as a connection's task reads its socket.
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                answer.send("in time").unwrap();
            });
        };
        let (result, ()) = tokio::join!(call, load);
        assert_eq!(result.unwrap(), Ok("in time"));
    }
}
