//! What is going on on a share besides the operation at hand: who waits for one, and what is in the trash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How many milliseconds background work waits for foreground work, before each request.
const PATIENCE: u32 = 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Rung when something was moved to the trash.
    trashed: Arc<Notify>,
    /// Trees in the trash, as far as is known.
    backlog: AtomicUsize,
    /// What of it the server let nobody remove in the last pass.
    stuck: AtomicUsize,
    /// Whether the server has said anything about the trash since the share is in use.
    is_known: AtomicBool,
    /// Operations that somebody waits for.
    waiting: AtomicUsize,
}

/// Somebody waits for an operation on the share; the reaper gives way.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Traffic {
    /// Marks that somebody waits for an operation on the share.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// Lets those go first who wait for an operation on the share, but not for ever.
    pub(crate) async fn give_way(&self) {
        for _ in 0..PATIENCE {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Rung when something was moved to the trash, and when nobody uses the share any more.
    pub(crate) fn trashed(&self) -> Arc<Notify> {
        Arc::clone(&self.trashed)
    }

    /// Trees in the trash, as far as is known.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(crate) fn set_backlog(&self, trees: usize) {
        self.backlog.store(trees, Ordering::Relaxed);
    }

    /// What in the trash the server let nobody remove in the last pass, a directory with what lies directly in it counted once.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, stuck: usize) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Whether the server has said anything about the trash since the share is in use. Until then it may hold something.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    pub(crate) fn set_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// Something is new in the trash.
    pub(crate) fn ring(&self) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
        self.trashed.notify_one();
    }

    /// Something may be new in the trash.
    pub(crate) fn nudge(&self) {
        self.trashed.notify_one();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.trashed.notify_one();
    }
}
