//! Panics are bugs. What one costs is decided here: a piece of work where it is [`contained`], otherwise the process.
//!
//! A runtime catches the panic of a task and goes on without that task, and a process that lacks a part of itself looks
//! alive. So, once [`are_fatal`] was called, every panic ends the process, in whatever task or thread it happens and
//! whether or not anybody looks after that task; except where somebody stands ready for the loss and has said so.
//!
//! # Guarantees
//! - Every panic leaves one line in the log, with the task's name where it has one ([`vital`]), the place and the text.
//! - A contained one is counted in `berth_panics_total{task}`, and whoever waited for the work is told.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::thread;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::metrics::Metrics;

/// Exit code of a process that ends by a panic: the one that Rust gives a panic of the main thread.
pub const EXIT_CODE: i32 = 101;

/// Contained panics since the start.
static CONTAINED: LazyLock<Family<Labels, Counter>> = LazyLock::new(Family::default);

thread_local! {
    /// What this thread is doing at this moment.
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    task: &'static str,
}

/// A part of the program that a panic would hit.
#[derive(Debug, Clone, Copy)]
struct Scope {
    name: &'static str,
    contained: bool,
}

/// Some work has panicked, and nothing but that work is lost.
#[derive(Debug, thiserror::Error)]
#[error("{task} panicked, which is a bug: {reason}")]
pub struct Panicked {
    task: &'static str,
    reason: String,
}

/// From now on a panic that nobody contains ends the process. Call it when logging is set up.
pub fn are_fatal() {
    set_hook(Box::new(report));
}

/// Registers `berth_panics_total{task}`.
pub fn register(metrics: &Metrics) {
    metrics.register(|registry| {
        registry.register("panics", "Panics that cost one piece of work and not the process", CONTAINED.clone());
    });
}

/// Does `work`, whose panic costs this work alone. `task` says what kind of work it is.
pub async fn contained<T>(task: &'static str, work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    let ended = poll_fn(|context| match caught(task, || work.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    });
    ended.await
}

/// Does `work` here and now; its panic costs this work alone.
pub fn contained_call<T>(task: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    caught(task, work)
}

/// Does `work`, without which the process cannot go on: its panic ends the process under the name `task`.
pub async fn vital<T>(task: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _scope = Entered::new(Scope { name: task, contained: false });
        work.as_mut().poll(context)
    })
    .await
}

fn caught<T>(task: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What the work was changing is dropped with it or behind a lock whose holder may have died: locks here are taken
    // whether poisoned or not, and hold nothing that is left half changed.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _scope = Entered::new(Scope { name: task, contained: true });
        work()
    }));
    result.map_err(|payload| {
        CONTAINED.get_or_create(&Labels { task }).inc();
        Panicked { task, reason: text(&*payload).to_owned() }
    })
}

/// Marks what the thread does until it is dropped.
struct Entered(Option<Scope>);

impl Entered {
    fn new(scope: Scope) -> Self {
        Self(SCOPE.replace(Some(scope)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        SCOPE.set(self.0);
    }
}

/// What happens at a panic, before anything is unwound.
fn report(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = text(panic.payload());
    let scope = SCOPE.try_with(Cell::get).ok().flatten();
    if let Some(Scope { name, contained: true }) = scope {
        tracing::error!(task = name, place, reason, "a panic: this piece of work is lost, everything else goes on");
        return;
    }
    let thread = thread::current();
    let task = scope.map(|scope| scope.name).or(thread.name()).unwrap_or("a thread without a name");
    tracing::error!(task, place, reason, "a panic: the process cannot go on without this and ends");
    std::process::exit(EXIT_CODE);
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
