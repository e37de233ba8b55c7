//! NFS servers for tests: one in memory that misbehaves on demand, and NFS-Ganesha as a process.
//!
//! | module | holds |
//! |---|---|
//! | [`fake`] | an NFSv4.1 server in memory, with faults, quirks and virtual time |
//! | [`ganesha`] | NFS-Ganesha on loopback, started, killed and restarted |
//!
//! A test body that is written against what both can do runs on both: what the one in memory claims is held to a real
//! server. Nothing that is shipped depends on this crate.

pub mod fake;
pub mod ganesha;
