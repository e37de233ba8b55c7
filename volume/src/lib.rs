//! The contract that the controller and the node plugin share: volume ids, StorageClass parameters, the volume
//! context, records, access modes, capacity arithmetic, mount options, and every name and key.
//!
//! Everything here is a pure function of its input: no clock, no network, no file. Text from outside (an id, a
//! parameter, a record read from a share) becomes one of these types or an error, once, at the door; the rest of the
//! program handles only values that are already known to be good. Error texts are written for the person who reads
//! them in a Kubernetes event: which parameter, which value, what is allowed. Like every error of this workspace they
//! say their own layer only; print the source chain to have the whole sentence.
//!
//! | module | holds |
//! |---|---|
//! | [`names`] | every literal that appears in an object, a flag, a file name on a share |
//! | [`server`], [`path`] | where a volume is: server, share, directory below the share |
//! | [`identity`] | which share a share is, by whatever name |
//! | [`id`], [`key`] | the volume id, and the names on a share that follow from it |
//! | [`handle`] | what a volume handle names, also one of another driver that is served under its name |
//! | [`parameters`], [`template`] | what a StorageClass may say |
//! | [`context`], [`terms`], [`capability`], [`fs_group`], [`mount_options`] | what the node plugin is told |
//! | [`record`], [`sealed`] | what a volume leaves on its share, and how a file holds such a text |
//! | [`capacity`] | the size of a volume |

pub mod capability;
pub mod capacity;
pub mod context;
pub mod fs_group;
pub mod handle;
pub mod id;
pub mod identity;
pub mod key;
pub mod mount_options;
pub mod names;
pub mod parameters;
pub mod path;
pub mod record;
pub mod sealed;
pub mod server;
pub mod template;
pub mod terms;

mod fold;
mod nearest;
mod quote;

pub use capability::{AccessMode, Capability};
pub use context::VolumeContext;
pub use fs_group::FsGroupChange;
pub use handle::{HandleError, VolumeHandle};
pub use id::VolumeId;
pub use identity::ShareIdentity;
pub use key::{PlaceKey, RecordKey};
pub use mount_options::MountOptions;
pub use parameters::{OnDelete, Parameters};
pub use path::{SharePath, SubPath};
pub use record::{ClaimRef, Record};
pub use server::Server;
pub use template::{Metadata, Template};
pub use terms::Terms;
