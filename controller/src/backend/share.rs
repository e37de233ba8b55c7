//! A share that is in use: its connection, the handles of the driver's folders on it, and what is going on there.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csi_runtime::InFlight;
use csi_runtime::inflight::Guard;
use nfs_client::{Client, FileHandle};
use tokio::sync::Notify;
use tokio::time::Instant;
use volume::{Server, SharePath, SubPath};

use super::faults::Faults;
use super::folders::Folders;
use crate::error::OperationError;
use crate::servers::breaker::Breaker;

/// Most directories that are remembered to be no volume.
const REMEMBERED: usize = 4096;

/// How many milliseconds background work waits for foreground work, before each request.
const PATIENCE: u32 = 20;

/// One share of one server.
pub(crate) struct Share {
    server: Server,
    path: SharePath,
    client: Client,
    breaker: Arc<Breaker>,
    /// Held while the folders are looked up or made, so that it is done once.
    folders: tokio::sync::Mutex<Known>,
    /// Directories that are no volume and can become none: a volume's directory is always made, never adopted.
    plain: Mutex<HashSet<FileHandle>>,
    /// Places on which an operation is working.
    busy: InFlight<SubPath>,
    faults: Faults,
    /// Rung when something was moved to the trash.
    trashed: Arc<Notify>,
    /// Trees in the trash, as far as is known.
    backlog: AtomicUsize,
    /// What of it the server let nobody remove in the last pass.
    stuck: AtomicUsize,
    /// Operations that somebody waits for.
    waiting: AtomicUsize,
}

/// What is known of a share's folders.
#[derive(Default)]
struct Known {
    folders: Option<Arc<Folders>>,
    /// When the server did not answer the last one who looked, and what he was told.
    failed: Option<(Instant, Arc<OperationError>)>,
}

impl Known {
    /// The failure of an attempt that ended after `asked`: whoever waited for it need not wait for the same again.
    fn failed_since(&self, asked: Instant) -> Result<(), OperationError> {
        match &self.failed {
            Some((when, error)) if *when >= asked => Err(OperationError::Shared(Arc::clone(error))),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, error: OperationError) -> OperationError {
        if error.silence().is_none() {
            return error;
        }
        let error = Arc::new(error);
        self.failed = Some((Instant::now(), Arc::clone(&error)));
        OperationError::Shared(error)
    }
}

/// Somebody waits for an operation on the share; the reaper gives way.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Share {
    pub(crate) fn new(server: Server, path: SharePath, client: Client, breaker: Arc<Breaker>, faults: Faults) -> Self {
        Self {
            server,
            path,
            client,
            breaker,
            folders: tokio::sync::Mutex::default(),
            plain: Mutex::new(HashSet::new()),
            busy: InFlight::new(),
            faults,
            trashed: Arc::new(Notify::new()),
            backlog: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn path(&self) -> &SharePath {
        &self.path
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// `server:share`
    pub(crate) fn location(&self) -> String {
        format!("{}:{}", self.server, self.path)
    }

    /// `server:path` of something below the share.
    pub(super) fn at(&self, below: impl AsRef<str>) -> String {
        format!("{}:{}/{}", self.server, self.path.as_str().trim_end_matches('/'), below.as_ref())
    }

    /// The error for something that failed below the share.
    pub(super) fn failed(
        &self,
        doing: &'static str,
        below: impl AsRef<str>,
        error: nfs_client::Error,
    ) -> OperationError {
        OperationError::Storage { doing, location: self.at(below), source: error }
    }

    /// Does `work` on the share, unless its server does not answer.
    pub(crate) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        self.breaker.run(|| self.location(), || Box::pin(self.client.probe()), work).await
    }

    /// The driver's folders, made if need be.
    pub(super) async fn folders(&self) -> Result<Arc<Folders>, OperationError> {
        let asked = Instant::now();
        let mut known = self.folders.lock().await;
        if let Some(folders) = &known.folders {
            return Ok(Arc::clone(folders));
        }
        known.failed_since(asked)?;
        let folders = Arc::new(Folders::make(self).await.map_err(|error| known.fail(error))?);
        known.folders = Some(Arc::clone(&folders));
        Ok(folders)
    }

    /// The driver's folders, if the share has any: a share without is left without.
    pub(super) async fn existing_folders(&self) -> Result<Option<Arc<Folders>>, OperationError> {
        let asked = Instant::now();
        let mut known = self.folders.lock().await;
        if known.folders.is_none() {
            known.failed_since(asked)?;
            let found = Folders::find(self).await.map_err(|error| known.fail(error))?;
            known.folders = found.map(Arc::new);
        }
        Ok(known.folders.clone())
    }

    /// Looks the folders up anew at the next use, unless somebody has done so since `stale` was handed out.
    pub(super) async fn forget(&self, stale: &Arc<Folders>) {
        let mut known = self.folders.lock().await;
        if known.folders.as_ref().is_some_and(|folders| Arc::ptr_eq(folders, stale)) {
            known.folders = None;
        }
        self.lock_plain().clear();
    }

    /// Keeps a place to one operation at a time.
    pub(super) fn occupy(&self, place: &SubPath) -> Result<Guard<SubPath>, OperationError> {
        self.busy.try_acquire(place.clone()).ok_or_else(|| OperationError::InProgress(self.at(place.as_str())))
    }

    /// Whether a directory is known to be no volume.
    pub(super) fn is_plain(&self, directory: &FileHandle) -> bool {
        self.lock_plain().contains(directory)
    }

    /// Remembers that a directory is no volume.
    pub(super) fn remember_plain(&self, directory: FileHandle) {
        let mut plain = self.lock_plain();
        if plain.len() >= REMEMBERED {
            plain.clear();
        }
        plain.insert(directory);
    }

    fn lock_plain(&self) -> std::sync::MutexGuard<'_, HashSet<FileHandle>> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks that somebody waits for an operation on the share.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// Lets those go first who wait for an operation on the share, but not for ever.
    pub(super) async fn give_way(&self) {
        for _ in 0..PATIENCE {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Rung when something was moved to the trash, and when nobody uses the share any more.
    pub(super) fn trashed(&self) -> Arc<Notify> {
        Arc::clone(&self.trashed)
    }

    /// Trees in the trash, as far as is known.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn set_backlog(&self, trees: usize) {
        self.backlog.store(trees, Ordering::Relaxed);
    }

    /// What in the trash the server let nobody remove in the last pass, a directory with what lies directly in it counted once.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn set_stuck(&self, stuck: usize) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Something is new in the trash.
    pub(crate) fn ring(&self) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
        self.trashed.notify_one();
    }

    /// Something may be new in the trash.
    pub(super) fn nudge(&self) {
        self.trashed.notify_one();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.trashed.notify_one();
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Share").field(&self.location()).finish()
    }
}
