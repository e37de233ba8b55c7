//! The layer around every RPC: one log line for each that fails, its latency, and an answer when it panics.
//!
//! Requests are never logged, because some of their fields are secrets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::metrics::RpcMetrics;
use crate::panics;

#[derive(Clone, Debug)]
pub(crate) struct ObserveLayer {
    metrics: RpcMetrics,
}

#[derive(Clone, Debug)]
pub(crate) struct Observe<S> {
    inner: S,
    metrics: RpcMetrics,
}

/// One call under way. Dropped unanswered, it was given up by its caller.
struct Call {
    method: String,
    started: Instant,
    metrics: RpcMetrics,
    answered: bool,
}

impl ObserveLayer {
    pub(crate) fn new(metrics: RpcMetrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, metrics: self.metrics.clone() }
    }
}

impl<S, Q, A> Service<Request<Q>> for Observe<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let call = Call {
            method: request.uri().path().trim_start_matches('/').to_owned(),
            started: Instant::now(),
            metrics: self.metrics.clone(),
            answered: false,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            // Its caller is told, and the next call is served.
            let answer = panics::contained("a call", answer)
                .await
                .unwrap_or_else(|panicked| Ok(Status::internal(format!("{panicked}; the log says where")).into_http()));
            if let Ok(response) = &answer {
                call.answer(response.headers());
            }
            answer
        })
    }
}

impl Call {
    /// A failed unary call answers with its status in the headers; without one there, a message follows and the call succeeded.
    fn answer(mut self, headers: &HeaderMap) {
        self.answered = true;
        let status = Status::from_header_map(headers).unwrap_or_else(|| Status::ok(""));
        self.record(&status);
    }

    fn record(&self, status: &Status) {
        let took = self.started.elapsed();
        // Whoever calls methods that do not exist must not be able to grow the set of labels.
        let method = if status.code() == Code::Unimplemented { "unknown" } else { &self.method };
        self.metrics.observe(method, status.code(), took);
        if status.code() != Code::Ok {
            tracing::warn!(
                method = self.method,
                code = code_name(status.code()),
                message = status.message(),
                duration_ms = took.as_millis(),
                "rpc failed"
            );
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.record(&Status::cancelled("the caller stopped waiting"));
        }
    }
}

/// The code as the gRPC specification spells it, for labels and log lines.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
