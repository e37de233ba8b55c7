//! A Kubernetes cluster that anyone can run on one machine: the control plane as processes in a network namespace, nodes
//! and the NFS server as virtual machines with a kernel of their own.

pub mod api;
pub mod api_only;
pub mod binaries;
pub mod chart;
pub mod control_plane;
pub mod dockerfile;
pub mod image;
pub mod kubectl;
mod lab;
pub mod machine;
pub mod network;
pub mod nfs;
pub mod node;
mod outage;
pub mod parts;
pub mod pki;
pub mod single;
pub mod state;

pub use api::Cluster;
pub use kubectl::Kubectl;
pub use lab::Lab;
