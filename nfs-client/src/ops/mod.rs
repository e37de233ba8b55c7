//! Operations of NFSv4.1 that this client sends (RFC 8881 §18): their arguments and results.

mod arguments;
mod code;
mod results;
pub(crate) mod session;

pub(crate) use arguments::{Claim, Operation, StateId};
pub use code::OpCode;
pub(crate) use results::decode;
pub use results::{DirectoryPage, Entry, OpenState, Reply};
