//! A kube-apiserver in memory, as far as the provisioner needs one: a stateful service under a real kube client.
//!
//! It keeps objects as JSON with `uid`, `resourceVersion`, finalizers and deletion timestamps, serves list, watch, get,
//! create, replace, patch and delete, and refuses what a script tells it to refuse. What the volume controller of a
//! cluster would do is in [`volume_controller`].

mod http;
mod objects;
mod volume_controller;

use std::sync::{Arc, Mutex, MutexGuard};

use ::http::{Method, Request, Response};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;

use self::objects::Objects;

/// One refusal that requests meet.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Requests with this method …
    pub(crate) method: Method,
    /// … on this resource, by its plural name …
    pub(crate) plural: &'static str,
    /// … get this status …
    pub(crate) code: u16,
    /// … this often; `None` is without end.
    pub(crate) times: Option<usize>,
}

/// The server. Clones are the same server.
#[derive(Clone)]
pub(crate) struct FakeApi {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Mutex<Objects>,
    faults: Mutex<Vec<Fault>>,
    /// Told of every change; watches and the volume controller wait on it.
    changed: watch::Sender<u64>,
    /// Raised to end every watch under way.
    cut: watch::Sender<u64>,
}

impl FakeApi {
    /// A server with a volume controller.
    pub(crate) fn start() -> Self {
        let api = Self {
            inner: Arc::new(Inner {
                objects: Mutex::default(),
                faults: Mutex::default(),
                changed: watch::Sender::new(0),
                cut: watch::Sender::new(0),
            }),
        };
        tokio::spawn(volume_controller::run(api.clone()));
        api
    }

    /// A client of this server.
    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<Response<http::Answer>, std::convert::Infallible>(http::answer(&api, request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Adds a refusal.
    pub(crate) fn refuse(&self, fault: Fault) {
        self.inner.faults.lock().unwrap().push(fault);
    }

    /// Whether a refusal with an end still waits for its request.
    pub(crate) fn has_refusals(&self) -> bool {
        self.inner.faults.lock().unwrap().iter().any(|fault| fault.times.is_some())
    }

    /// Ends every refusal.
    pub(crate) fn refuse_nothing(&self) {
        self.inner.faults.lock().unwrap().clear();
    }

    /// Closes every watch under way, as a restart of the server would.
    pub(crate) fn cut_watches(&self) {
        self.inner.cut.send_modify(|count| *count += 1);
    }

    /// Forgets the history of changes: a watch that asks for an older one is answered 410.
    pub(crate) fn compact(&self) {
        self.objects().compact();
    }

    /// The refusal that this request meets, if any.
    fn fault(&self, method: &Method, plural: &str) -> Option<u16> {
        let mut faults = self.inner.faults.lock().unwrap();
        let index = faults.iter().position(|fault| fault.method == method && fault.plural == plural)?;
        let code = faults[index].code;
        if let Some(times) = &mut faults[index].times {
            *times -= 1;
            if *times == 0 {
                faults.remove(index);
            }
        }
        Some(code)
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.inner.objects.lock().unwrap()
    }

    /// Lets `act` change objects, and tells whoever waits.
    fn change<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        let result = act(&mut self.objects());
        self.inner.changed.send_modify(|count| *count += 1);
        result
    }
}

/// The text at `pointer`, or nothing.
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
