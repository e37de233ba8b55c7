//! Why the provisioner ends by itself.

use std::time::Duration;

/// Why the provisioner stopped without being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a kubeconfig nor the environment of a pod leads to an API server.
    #[error("no Kubernetes API server is configured: {0}")]
    Client(String),
    /// The Lease needs a thread.
    #[error("cannot start a thread for the lease")]
    Thread(#[source] std::io::Error),
    /// Somebody else may act now. The process must end, so that nothing of it goes on.
    #[error("the lease \"{0}\" is lost")]
    LeaseLost(String),
    /// The API server answers those who look after the Lease and nobody else, so another replica shall try.
    #[error(
        "the lease \"{lease}\" is given up, because no other call to the API server was answered for {} s: {reason}",
        .silence.as_secs()
    )]
    GivenUp {
        /// Name of the Lease.
        lease: String,
        /// How long nothing was answered although there was work.
        silence: Duration,
        /// What was wrong with the last call.
        reason: String,
    },
}
