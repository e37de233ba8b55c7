//! The API server as the rest sees it: clients whose calls have an end, slim objects, watches.

pub(crate) mod answers;
mod calls;
pub(crate) mod clients;
pub(crate) mod errors;
pub(crate) mod names;
pub(crate) mod objects;
pub(crate) mod watch;
