//! What every room of the lab stands on: errors, programs that are run to their end or stay, waiting, and places.

mod checkout;
mod command;
mod error;
pub mod process;
mod thread;
mod wait;

pub use checkout::{cargo, checkout};
pub use command::{Finished, Tool, tail};
pub use error::{LabError, chain};
pub use process::Daemon;
pub use thread::{apart, join};
pub use wait::eventually;
