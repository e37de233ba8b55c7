//! A share that is in use: where it is, what of the driver's is open there, and what is going on.

use std::sync::Arc;

use csi_runtime::InFlight;
use csi_runtime::inflight::Guard;
use tokio::time::Instant;
use volume::{ShareIdentity, SubPath};

use super::expected::Expected;
use super::folders::Store;
use super::overlap::{self, Outer};
use super::remembered::Remembered;
use super::site::Site;
use super::traffic::Traffic;
use crate::error::OperationError;
use crate::servers::breaker::Breaker;

/// A share in use.
pub(crate) struct Share {
    site: Arc<Site>,
    breaker: Arc<Breaker>,
    expected: Arc<Expected>,
    /// Held while the folders are looked up or made, so that it is done once.
    store: tokio::sync::Mutex<Known>,
    /// Directories that are no volume and can become none: a volume's directory is always made, never adopted.
    plain: Remembered,
    /// Directories from which nothing can be moved to the trash.
    apart: Remembered,
    /// Places on which an operation is working.
    busy: InFlight<SubPath>,
    traffic: Traffic,
}

/// What is known of a share's folders.
#[derive(Default)]
struct Known {
    store: Option<Arc<Store>>,
    /// The shares around this one, if it was seen to lie in none of their volumes since the folders were last looked up.
    around: Option<Arc<[Outer]>>,
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

impl Share {
    pub(crate) fn new(site: Site, breaker: Arc<Breaker>, expected: Arc<Expected>) -> Self {
        Self {
            site: Arc::new(site),
            breaker,
            expected,
            store: tokio::sync::Mutex::default(),
            plain: Remembered::default(),
            apart: Remembered::default(),
            busy: InFlight::new(),
            traffic: Traffic::default(),
        }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Whether volumes are known on it.
    pub(crate) fn has_volumes(&self) -> bool {
        self.expected.has_volumes()
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Does `work` on the share, unless its server does not answer.
    pub(crate) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        self.breaker.run(|| self.site.location(), || Box::pin(self.site.client().probe()), work).await
    }

    /// The driver's folders, made if need be, on a share that has an identity, is the one that it should be, and lies
    /// in no volume of another one.
    pub(crate) async fn store(&self) -> Result<Arc<Store>, OperationError> {
        let asked = Instant::now();
        let mut known = self.store.lock().await;
        if known.around.is_none() {
            known.failed_since(asked)?;
            let around = overlap::around(&self.site).await.map_err(|error| known.fail(error))?;
            known.around = Some(around.into());
        }
        // What was found without a wish to make anything may lack what is made for that.
        if let Some(store) = &known.store
            && let Some(identity) = store.identity
            && store.admits(None, &self.expected).is_ok()
        {
            self.expected.found(identity);
            return Ok(Arc::clone(store));
        }
        known.failed_since(asked)?;
        let store = Arc::new(Store::make(&self.site, &self.expected).await.map_err(|error| known.fail(error))?);
        known.store = Some(Arc::clone(&store));
        Ok(store)
    }

    /// The shares around this one, as far as was seen when its folders were looked up to make something.
    pub(crate) async fn around(&self) -> Arc<[Outer]> {
        self.store.lock().await.around.clone().unwrap_or_default()
    }

    /// The driver's folders, if the share has any: a share without is left without.
    pub(crate) async fn existing_store(&self) -> Result<Option<Arc<Store>>, OperationError> {
        let asked = Instant::now();
        let mut known = self.store.lock().await;
        if known.store.is_none() {
            known.failed_since(asked)?;
            let found = Store::find(&self.site).await.map_err(|error| known.fail(error))?;
            known.store = found.map(Arc::new);
        }
        Ok(known.store.clone())
    }

    /// The driver's folders, if the share has any and is the one that it should be: that on which a volume was made, where the
    /// caller knows it. Before it is taken for another one, it is looked at anew.
    pub(crate) async fn store_of(&self, made_on: Option<ShareIdentity>) -> Result<Option<Arc<Store>>, OperationError> {
        let Some(store) = self.existing_store().await? else { return Ok(None) };
        if store.admits(made_on, &self.expected).is_ok() {
            return Ok(Some(store));
        }
        self.forget(&store).await;
        let Some(store) = self.existing_store().await? else { return Ok(None) };
        store.admits(made_on, &self.expected)?;
        Ok(Some(store))
    }

    /// Looks the folders up anew at the next use, unless somebody has done so since `stale` was handed out.
    pub(crate) async fn forget(&self, stale: &Arc<Store>) {
        let mut known = self.store.lock().await;
        if known.store.as_ref().is_some_and(|store| Arc::ptr_eq(store, stale)) {
            known.store = None;
            known.around = None;
        }
        self.plain.clear();
        self.apart.clear();
    }

    /// Keeps a place to one operation at a time.
    pub(crate) fn occupy(&self, place: &SubPath) -> Result<Guard<SubPath>, OperationError> {
        self.busy.try_acquire(place.clone()).ok_or_else(|| OperationError::InProgress(self.site.at(place.as_str())))
    }

    /// Directories that are known to be no volume.
    pub(crate) fn plain(&self) -> &Remembered {
        &self.plain
    }

    /// Directories that are known to lie in another quota tree than the trash.
    pub(crate) fn apart(&self) -> &Remembered {
        &self.apart
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Share").field(&self.site.location()).finish()
    }
}
