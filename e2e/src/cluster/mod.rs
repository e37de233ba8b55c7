//! A Kubernetes cluster that anyone can run on one machine: the control plane as processes in a network namespace, nodes
//! and the NFS server as virtual machines with a kernel of their own.

pub mod api_only;
pub mod binaries;
pub mod chart;
pub mod command;
pub mod control_plane;
mod error;
pub mod image;
pub mod kubectl;
mod lab;
pub mod machine;
pub mod network;
pub mod nfs;
pub mod node;
pub mod parts;
pub mod pki;
pub mod process;
pub mod single;
pub mod state;

pub use command::{Finished, Tool};
pub use error::{LabError, chain};
pub use kubectl::{Kubectl, eventually};
pub use lab::Lab;
