//! From a released volume object to its end.

pub(crate) mod delete;
mod finalizer;
