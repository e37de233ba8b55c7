//! The node plugin from outside: its gRPC services on a real socket, over a scripted mounter and, with the feature `privileged`, over the kernel's.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its tests do")]

mod addresses;
mod astray;
#[cfg(feature = "kernel")]
mod consistency;
#[cfg(any(feature = "privileged", feature = "kernel"))]
mod container;
mod contract;
mod cover;
#[cfg(any(feature = "privileged", feature = "kernel"))]
mod disk;
mod fake;
mod groups;
mod hangs;
mod inline;
#[cfg(feature = "kernel")]
mod kernel;
mod looks;
#[cfg(feature = "kernel")]
mod outage;
mod plugin;
#[cfg(feature = "privileged")]
mod privileged;
mod program;
mod registration;
mod replaced;
mod republish;
mod service;
mod terms;
