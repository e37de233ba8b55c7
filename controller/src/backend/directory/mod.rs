//! Volumes as directories of a share.
//!
//! `docs/layout.md` says what lies on a share, in which order it is written, and how each state that a crash can leave
//! is read afterwards.
//!
//! What a share offers is in `store`: where it is, the driver's folders on it, the links in which the driver keeps records
//! and holds. `place` walks to a volume's directory. `make` and `end` are what a create and a delete do, in the steps of
//! `steps`; `reaper` removes what they have left in the trash.

mod end;
pub mod faults;
mod make;
mod place;
pub(crate) mod reaper;
mod step;
mod steps;
mod store;

use std::sync::Arc;

use tokio::sync::broadcast;
use volume::{OnDelete, Server, ShareIdentity, SharePath, Terms, VolumeContext, VolumeId};

pub(crate) use self::make::Plan;
use self::make::{Doubt, Doubts, Made};
pub use self::step::Step;
pub use self::store::KnownVolume;
pub(crate) use self::store::{Expected, Share, Site};
use super::{Request, Volume};
use crate::error::OperationError;
use crate::notices::Notice;
use crate::servers::{Catalogue, Servers};

/// Makes and ends volumes that are directories of a share. Clones share everything.
///
/// What its operations do is boxed: whoever waits for one need not be as large as what does it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    driver_name: String,
    servers: Servers,
    doubts: Doubts,
}

impl Directory {
    pub(crate) fn new(driver_name: String, servers: Servers) -> Self {
        Self { inner: Arc::new(Inner { driver_name, servers, doubts: Doubts::default() }) }
    }

    /// A share, with somebody who empties its trash.
    pub(crate) fn share(&self, server: &Server, path: &SharePath) -> Arc<Share> {
        let (share, new) = self.inner.servers.share(server, path);
        if new {
            reaper::spawn(&share);
        }
        share
    }

    /// What is known of shares without looking at them.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        self.inner.servers.catalogue()
    }

    /// What people should know of shares, from now on.
    pub(crate) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.servers.notices().listen()
    }

    pub(crate) fn plan(&self, request: &Request) -> Result<Plan, OperationError> {
        Plan::new(request, &self.inner.driver_name)
    }

    pub(crate) async fn create(&self, Plan { wanted, context }: Plan) -> Result<Volume, OperationError> {
        let (share, id) = (self.share(wanted.id.server(), wanted.id.share()), wanted.id.to_string());
        let mut doubt = self.inner.doubts.of(&id);
        let made = share.run(Box::pin(make::create(&share, &wanted, &mut doubt))).await;
        self.inner.doubts.note(id, if made.is_ok() { Doubt::default() } else { doubt });
        match made {
            Ok(Made { record, identity }) => {
                Ok(Volume { size_bytes: record.size_bytes, context: VolumeContext { identity, ..context } })
            }
            Err(error) if doubt.is_raised() && !error.is_retried() => Err(error.in_doubt()),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn delete(&self, id: &VolumeId, made_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        let share = self.share(id.server(), id.share());
        share.run(Box::pin(end::delete(&share, id, made_on, None))).await
    }

    /// What was begun is finished first: only so is there a record by which it can be deleted, whatever the attempts have left.
    pub(crate) async fn discard(&self, plan: Plan, kept_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        let id = plan.wanted.id.clone();
        let share = self.share(id.server(), id.share());
        let store = share.run(Box::pin(share.existing_store())).await?;
        // The folders come before anything of a volume.
        let Some(store) = store else { return Ok(()) };
        let (Some(kept_on), Some(begun_on)) = (kept_on, store.identity) else {
            tracing::warn!(volume = %id, "what was begun of the volume stays: nobody can tell whether it is the one in use");
            return Ok(());
        };
        if kept_on == begun_on {
            return Ok(());
        }
        match self.create(plan).await {
            // Nothing of it exists, and nothing is under way.
            Err(error) if !error.is_retried() => return Ok(()),
            made => made?,
        };
        // Nobody has ever used it, whatever its class says of volumes that were.
        share.run(Box::pin(end::delete(&share, &id, Some(begun_on), Some(OnDelete::Delete)))).await
    }

    pub(crate) async fn find(&self, id: &VolumeId) -> Result<Option<Volume>, OperationError> {
        let share = self.share(id.server(), id.share());
        let found = share.run(Box::pin(end::find(&share, id.key()))).await?;
        Ok(found.filter(end::Located::exists).map(|located| Volume {
            size_bytes: located.record.size_bytes,
            context: VolumeContext {
                server: id.server().clone(),
                share: id.share().clone(),
                sub_dir: Some(located.record.path),
                identity: located.identity,
                // Nothing on the share tells how a volume is used.
                terms: Terms::default(),
            },
        }))
    }
}
