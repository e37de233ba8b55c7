//! What both CSI processes need and neither owns: serving on a unix socket, the Identity service, per-object guards, the mapping of errors to gRPC
//! statuses, logs, metrics, the health endpoint, and what a panic costs.
//!
//! Nothing in here knows a file system, a mount or Kubernetes.

pub mod decode;
pub mod endpoint;
pub mod http;
pub mod identity;
pub mod inflight;
pub mod logging;
pub mod metrics;
mod observe;
pub mod panics;
pub mod serve;
pub mod shutdown;
pub mod status;

pub use endpoint::{Endpoint, Listener};
pub use identity::Identity;
pub use inflight::InFlight;
pub use serve::serve;
pub use status::Coded;
