//! From a released volume object to its end.

mod delete;
mod finalizer;
pub(crate) mod releaser;
mod step;
