//! The loop that hands out the work.

mod lanes;
mod queue;
mod state;
mod store;
pub(crate) mod worker;
