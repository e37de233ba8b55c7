//! The shares that are known, and what is known of each without looking at it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use volume::{Server, ShareIdentity, SharePath};

use crate::backend::directory::Expected;
pub use crate::backend::directory::KnownVolume;

type Shares = HashMap<(Server, SharePath), Arc<Expected>>;

/// See the module. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Whether whoever tells of volumes has told of all that there are.
    all_known: Arc<AtomicBool>,
    shares: Arc<Mutex<Shares>>,
}

impl Catalogue {
    /// A volume on a share exists, as long as what is returned is kept, and was made when the share had this identity.
    pub fn add(&self, server: &Server, share: &SharePath, identity: Option<ShareIdentity>) -> KnownVolume {
        KnownVolume::new(self.expected(server, share), identity)
    }

    /// All volumes that there are have been told of; from now on each is told of as it comes. Without this, as behind the CSI
    /// socket alone, a share on which none is known may have some.
    pub fn set_complete(&self) {
        self.all_known.store(true, Ordering::Relaxed);
    }

    /// What is known of a share.
    pub(crate) fn expected(&self, server: &Server, share: &SharePath) -> Arc<Expected> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Expected::new(Arc::clone(&self.all_known)));
        Arc::clone(shares.entry((server.clone(), share.clone())).or_insert_with(new))
    }
}
