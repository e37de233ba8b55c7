//! A kube-apiserver in memory, as far as the provisioner needs one: a stateful service under a real kube client.
//!
//! It keeps objects as JSON with `uid`, `resourceVersion`, finalizers and deletion timestamps, serves list, watch, get,
//! create, replace, patch and delete, and refuses what a script tells it to refuse. What the volume controller of a
//! cluster would do is in [`volume_controller`].

mod http;
mod objects;
mod tcp;
mod volume_controller;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::http::{Method, Request, Response};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;

use self::objects::Objects;

/// One fault that requests meet.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Requests of this kind …
    pub(crate) call: Call,
    /// … on this resource, by its plural name …
    pub(crate) plural: &'static str,
    /// … fare like this …
    pub(crate) fate: Fate,
    /// … this often; `None` is without end.
    pub(crate) times: Option<usize>,
}

/// A kind of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Those with this method, watches excepted.
    Of(Method),
    Watch,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered with this status.
    Refused(u16),
    /// It is never answered.
    Silence,
    /// Headers come, and nothing after them.
    Stall,
    /// It is done after so long, unless the client has gone by then.
    Slow(Duration),
}

/// The server, in the hands of its test.
///
/// Each refusal must have met all its requests, or one if it is without end, before it is taken back, or at the latest when
/// the server is dropped: a test whose refusals hit nothing shows nothing of them, so it panics and names them.
pub(crate) struct FakeApi {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Mutex<Objects>,
    /// Refusals that can still happen, and whether they ever have.
    faults: Mutex<Vec<(Fault, bool)>>,
    /// Nothing but calls about leases is answered.
    deaf: AtomicBool,
    /// Volumes are not bound.
    binds_nothing: AtomicBool,
    /// Told of every change; watches and the volume controller wait on it.
    changed: watch::Sender<u64>,
    /// Raised to end every watch under way, each of which listens.
    cut: watch::Sender<u64>,
    /// Watches that the server has ended.
    watches_ended: AtomicUsize,
    /// Watches that were told that what they know is too old.
    watches_expired: AtomicUsize,
}

impl FakeApi {
    /// A server with a volume controller.
    pub(crate) fn start() -> Self {
        let inner = Arc::new(Inner {
            objects: Mutex::default(),
            faults: Mutex::default(),
            deaf: AtomicBool::new(false),
            binds_nothing: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            watches_ended: AtomicUsize::new(0),
            watches_expired: AtomicUsize::new(0),
        });
        tokio::spawn(volume_controller::run(Arc::clone(&inner)));
        Self { inner }
    }

    /// A server on a thread of its own, and where it listens.
    pub(crate) fn start_on_tcp() -> (Self, SocketAddr) {
        tcp::start()
    }

    /// A client of this server.
    pub(crate) fn client(&self) -> kube::Client {
        let api = Arc::clone(&self.inner);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&api);
            async move { Ok::<Response<http::Answer>, std::convert::Infallible>(http::answer(&api, request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Adds a refusal.
    pub(crate) fn refuse(&self, fault: Fault) {
        self.inner.faults.lock().unwrap().push((fault, false));
    }

    /// Whether a refusal with an end still waits for its request.
    pub(crate) fn has_refusals(&self) -> bool {
        self.inner.faults.lock().unwrap().iter().any(|(fault, _)| fault.times.is_some())
    }

    /// Ends every refusal.
    pub(crate) fn refuse_nothing(&self) {
        let ended = std::mem::take(&mut *self.inner.faults.lock().unwrap());
        let is_vain = |(fault, met): &(Fault, bool)| fault.times.is_some() || !met;
        let vain: Vec<_> = ended.into_iter().filter(is_vain).map(|(fault, _)| fault).collect();
        assert!(vain.is_empty(), "no request has met these refusals, so the test shows nothing of them: {vain:?}");
    }

    /// From now on every call is left without an answer but for those about leases; or no call any more.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.inner.deaf.store(deaf, Ordering::Relaxed);
    }

    /// From now on the volume controller binds no volume; or it does again.
    pub(crate) fn set_binding(&self, binds: bool) {
        self.inner.binds_nothing.store(!binds, Ordering::Relaxed);
        // It looks again.
        self.inner.change(|_| ());
    }

    /// Closes every watch under way, as a restart of the server would.
    pub(crate) fn cut_watches(&self) {
        self.inner.cut.send_modify(|count| *count += 1);
    }

    /// Watches under way.
    pub(crate) fn watches(&self) -> usize {
        self.inner.cut.receiver_count()
    }

    /// Watches that the server has ended: each was cut, or overtaken by a history that was forgotten.
    pub(crate) fn watches_ended(&self) -> usize {
        self.inner.watches_ended.load(Ordering::Relaxed)
    }

    /// Watches that were answered 410.
    pub(crate) fn watches_expired(&self) -> usize {
        self.inner.watches_expired.load(Ordering::Relaxed)
    }

    /// Forgets the history of changes: a watch that asks for an older one is answered 410.
    pub(crate) fn compact(&self) {
        self.inner.objects().compact();
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.refuse_nothing();
        }
    }
}

impl Inner {
    /// What this request meets, if anything.
    fn fault(&self, call: &Call, plural: &str) -> Option<Fate> {
        let mut faults = self.faults.lock().unwrap();
        let index = faults.iter().position(|(fault, _)| fault.call == *call && fault.plural == plural)?;
        let (fault, met) = &mut faults[index];
        *met = true;
        let fate = fault.fate;
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                faults.remove(index);
            }
        }
        Some(fate)
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    /// Lets `act` change objects, and tells whoever waits.
    fn change<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        let result = act(&mut self.objects());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

/// The text at `pointer`, or nothing.
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
