//! The node plugin: mounts volumes for pods and undoes it.
//!
//! Two rules shape it. No call that can wait for a server runs on a thread that anything else needs ([`worker`]). And the kernel's mount table is the
//! only state ([`mountinfo`]): what is mounted, what is in the pool and who uses it is read from there, so there is nothing to recover after a crash.
//!
//! | module | holds |
//! |---|---|
//! | [`service`], [`error`] | the CSI Node service and its codes |
//! | [`publish`], [`unpublish`], [`stats`] | the operations |
//! | [`group`] | a pod's group, given to its volume |
//! | [`inline`] | what pods may mount by themselves |
//! | [`pool`], [`share`] | one superblock per share |
//! | [`recognise`] | what a mount of the table shows |
//! | [`server`] | names, addresses, and whether an NFS server answers |
//! | [`mounter`], [`mountinfo`] | the kernel |
//! | [`worker`], [`ticket`] | threads that may be lost, and publishes that are given up |
//! | [`registration`], [`identity`] | kubelet's plugin registry, and a name of this node |

pub mod error;
pub mod group;
pub mod identity;
pub mod inline;
pub mod metrics;
pub mod mounter;
pub mod mountinfo;
pub mod node;
pub mod pool;
pub mod publish;
pub mod recognise;
pub mod registration;
pub mod server;
pub mod service;
pub mod share;
pub mod stats;
mod sys;
pub mod target;
pub mod ticket;
pub mod unpublish;
pub mod worker;

pub use node::{Config, Deadlines, Node};
