//! Who may act: the Lease, the candidate for it, and how a replica stands with it.

pub(crate) mod elector;
pub(crate) mod leadership;
mod lease;
pub(crate) mod pulse;
pub(crate) mod standing;
