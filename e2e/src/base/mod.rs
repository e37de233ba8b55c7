//! What every room of the lab stands on: errors, programs that are run to their end or stay, waiting, places.

mod checkout;
mod command;
mod error;
mod hex;
pub mod process;
mod wait;

pub use checkout::checkout;
pub(crate) use command::tail;
pub use command::{Finished, Tool};
pub use error::{LabError, chain};
pub(crate) use hex::hex;
pub use process::Daemon;
pub use wait::eventually;
