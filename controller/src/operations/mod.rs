//! What can be done to volumes, whoever asks: the CSI service and the built-in provisioner are two doors to [`Volumes`].
//!
//! Every operation is idempotent. Work that has begun goes on when its caller stops waiting: it runs in a task of its
//! own, which keeps the volume busy until it has ended, so that a repetition is told [`OperationError::InProgress`]
//! first and the finished result afterwards.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Instant;

use tokio::sync::broadcast;
use volume::capacity::Range;
use volume::{Capability, Server, ShareIdentity, SharePath};

mod counts;
mod create;
mod delete;
mod discard;
mod jobs;
mod validate;

pub use self::counts::{Counts, Operation, register_servers};
pub use self::jobs::Operations;
pub use self::validate::{Validate, Validated};
pub use crate::error::{Finality, Occupied, OperationError};
pub use crate::notices::{Notice, NoticeKind};
pub use crate::servers::{Catalogue, KnownVolume};

/// A request for a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateVolume {
    /// Name under which the caller asks; asking again under it gives the same volume.
    pub name: String,
    /// Its size.
    pub capacity: Range,
    /// How it is going to be used; at least one.
    pub capabilities: Vec<Capability>,
    /// Parameters of the StorageClass and what the provisioner says of the claim.
    pub parameters: BTreeMap<String, String>,
}

/// A volume that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id: all that is needed to find and delete it.
    pub id: String,
    /// Its size in bytes; 0: none was asked for.
    pub capacity_bytes: u64,
    /// What the node plugin needs to mount it.
    pub context: BTreeMap<String, String>,
}

/// Makes and deletes volumes.
pub trait Volumes: Send + Sync + 'static {
    /// The volume of that name: made, or found as an earlier call made it.
    fn create(&self, request: CreateVolume) -> impl Future<Output = Result<Created, OperationError>> + Send;

    /// Deletes a volume. One that does not exist, or an id that no volume can have, is a success. `made_on` is the identity of
    /// the share on which it was made, where the caller knows it: on any other share nothing is deleted, nor counts as deleted.
    fn delete(
        &self,
        id: &str,
        made_on: Option<ShareIdentity>,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Ends what a request may have begun that nobody is going to repeat, because the volume was made by another request:
    /// `kept`, which stays, also where the two requests name one share in two ways. Repeated until it succeeds, nothing of
    /// the first is left.
    fn discard(&self, begun: CreateVolume, kept: &Created) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// What the caller knows of shares: of the volumes on them, which it tells as they come and go.
    fn catalogue(&self) -> &Catalogue;

    /// What people should know and nobody has asked about, from now on.
    fn notices(&self) -> broadcast::Receiver<Notice>;

    /// How many jobs run, those included whose callers are gone.
    fn running(&self) -> usize;

    /// Takes up, in the background, what an earlier process left undone on a share that has volumes of ours. It returns
    /// at once; calling it again does no harm.
    fn resume(&self, server: &Server, share: &SharePath);
}

impl Volumes for Operations {
    async fn create(&self, request: CreateVolume) -> Result<Created, OperationError> {
        let started = Instant::now();
        let result = self.make(request).await;
        self.counted(Operation::CreateVolume, started, result)
    }

    async fn delete(&self, id: &str, made_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        let started = Instant::now();
        let result = self.remove(id, made_on).await;
        self.counted(Operation::DeleteVolume, started, result)
    }

    async fn discard(&self, begun: CreateVolume, kept: &Created) -> Result<(), OperationError> {
        let started = Instant::now();
        let result = self.end(begun, kept).await;
        self.counted(Operation::DeleteVolume, started, result)
    }

    fn catalogue(&self) -> &Catalogue {
        self.inner.backends.directory().catalogue()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.backends.directory().notices()
    }

    fn running(&self) -> usize {
        Self::running(self)
    }

    fn resume(&self, server: &Server, share: &SharePath) {
        // A share that is open empties its trash.
        let _open = self.inner.backends.directory().share(server, share);
    }
}
