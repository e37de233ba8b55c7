//! From a claim to its volume object.

pub(crate) mod attempt;
pub(crate) mod claim;
pub(crate) mod persistent_volume;
mod quantity;
pub(crate) mod request;
mod secrets;
