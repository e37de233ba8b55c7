//! NFS servers for tests: one in memory that misbehaves on demand, NFS-Ganesha as a process, and the
//! kernel's server of a guest.
//!
//! | module | holds |
//! |---|---|
//! | [`fake`] | an NFSv4.1 server in memory, with faults, quirks and virtual time |
//! | [`ganesha`] | NFS-Ganesha on loopback, started, killed and restarted |
//! | [`knfsd`] | the Linux kernel's server, on a guest that is all the test's own |
//! | [`island`] | another node on the same machine: an NFS client of its own that reaches the server through a valve |
//!
//! A test body that is written against what all can do runs on all: what the one in memory claims is held to a real
//! server. Nothing that is shipped depends on this crate.

pub mod fake;
pub mod ganesha;
pub mod island;
pub mod knfsd;
