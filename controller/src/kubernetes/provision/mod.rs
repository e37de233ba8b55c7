//! From a claim to its volume object.

mod attempt;
mod claim;
pub(crate) mod persistent_volume;
pub(crate) mod provisioner;
mod quantity;
mod request;
mod secrets;
