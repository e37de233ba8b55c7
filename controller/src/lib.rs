//! The Berth controller: provisions volumes as directories on NFS shares.
//!
//! | module | holds |
//! |---|---|
//! | [`operations`] | what can be done to volumes, whoever asks |
//! | [`kubernetes`] | the built-in provisioner: claims, volume objects, the lease |
//! | [`backend`] | what makes volumes: as directories of a share, so far |
//! | [`notices`] | what people should know and nobody has asked about |
//! | [`servers`] | the NFS servers that are in use |
//! | [`service`] | the CSI Controller service in front of the operations |
//! | [`args`] | the command line |
//! | [`error`] | everything that can go wrong, and the code it has for a caller |

pub mod args;
pub mod backend;
pub mod error;
pub mod kubernetes;
pub mod notices;
pub mod operations;
pub mod servers;
pub mod service;
