//! What makes volumes out of what a server offers.
//!
//! An operation (`operations`) is a call, its job, its answer; a backend knows how volumes of one kind are made and ended. Which
//! one a call is for follows from the parameters of the class, or from the volume's handle.

pub mod directory;

use std::collections::BTreeMap;

use volume::capacity::Range;
use volume::{Capability, ShareIdentity, VolumeContext, VolumeHandle};

use self::directory::Directory;
use crate::error::OperationError;
use crate::servers::Servers;

/// A volume as it is asked for, whatever is to make it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Name under which it is asked for; not empty.
    pub(crate) name: String,
    /// Its size in bytes; 0: none was asked for.
    pub(crate) size_bytes: u64,
    /// What size would do, if it exists already.
    pub(crate) range: Range,
    /// How it is going to be used; at least one.
    pub(crate) capabilities: Vec<Capability>,
    /// Parameters of the class, and what the provisioner says of the claim.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// A volume that is to be made, as its backend has understood it. Nothing has been asked of a server.
#[derive(Debug)]
pub(crate) enum Plan {
    Directory(Box<directory::Plan>),
}

/// A volume that exists.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Its size in bytes; 0: none was asked for.
    pub(crate) size_bytes: u64,
    /// What the node plugin needs to mount it.
    pub(crate) context: VolumeContext,
}

impl Plan {
    /// The id that the volume will have.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Directory(plan) => plan.id(),
        }
    }
}

/// Every backend. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Backends {
    directory: Directory,
}

impl Backends {
    /// All of them, for a driver that runs under this name, on servers of a pool.
    pub(crate) fn new(driver_name: impl Into<String>, servers: Servers) -> Self {
        Self { directory: Directory::new(driver_name.into(), servers) }
    }

    /// Volumes as directories of a share.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Everything that can be said of a request without asking a server.
    pub(crate) fn plan(&self, request: &Request) -> Result<Plan, OperationError> {
        self.directory.plan(request).map(Box::new).map(Plan::Directory)
    }

    /// Makes the volume, or finds it as it was made before.
    pub(crate) async fn create(&self, plan: Plan) -> Result<Volume, OperationError> {
        match plan {
            Plan::Directory(plan) => self.directory.create(*plan).await,
        }
    }

    /// Deletes a volume; see [`Volumes::delete`](crate::operations::Volumes::delete).
    pub(crate) async fn delete(
        &self,
        handle: VolumeHandle,
        made_on: Option<ShareIdentity>,
    ) -> Result<(), OperationError> {
        match handle {
            VolumeHandle::Directory(id) => self.directory.delete(&id, made_on).await,
            peers => Err(not_offered(&peers)),
        }
    }

    /// Ends what attempts at a plan may have begun, unless that is the volume with the same name on the share `kept_on`, by
    /// whatever name the plan leads there. Where nobody can tell, it stays: that is better than to lose a volume.
    pub(crate) async fn discard(&self, plan: Plan, kept_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        match plan {
            Plan::Directory(plan) => self.directory.discard(*plan, kept_on).await,
        }
    }

    /// Finds a volume that can be used; `None` if there is none.
    pub(crate) async fn find(&self, handle: VolumeHandle) -> Result<Option<Volume>, OperationError> {
        match handle {
            VolumeHandle::Directory(id) => self.directory.find(&id).await,
            peers => Err(not_offered(&peers)),
        }
    }
}

fn not_offered(handle: &VolumeHandle) -> OperationError {
    OperationError::PeersVolume(handle.peer().unwrap_or("another driver"))
}
