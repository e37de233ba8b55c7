//! What every room of the lab stands on: errors, programs that are run to their end or stay, waiting, places, and what a
//! program tells about itself by HTTP.

mod checkout;
mod command;
mod error;
pub(crate) mod http;
pub(crate) mod metrics;
pub mod process;
mod wait;

pub(crate) use checkout::cargo;
pub use checkout::checkout;
pub(crate) use command::tail;
pub use command::{Finished, Tool};
pub use error::{LabError, chain};
pub use process::Daemon;
pub use wait::eventually;
