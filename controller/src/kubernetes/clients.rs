//! The two clients of the API server.

use kube::client::ClientBuilder;
use tower::limit::ConcurrencyLimitLayer;

use super::Error;
use super::api::explain;

/// Requests under way at once, and so connections: each costs 60 KB while it is kept, which is a minute or two.
const REQUESTS: usize = 32;

/// Clients of one API server.
#[derive(Clone)]
pub struct Clients {
    /// For the Lease alone: requests that the server lets hang must not keep its renewal waiting.
    pub(crate) lease: kube::Client,
    /// For everything else; its requests are limited in number. Watches do not count.
    pub(crate) work: kube::Client,
}

impl Clients {
    /// Clients of the API server that a kubeconfig or the environment of a pod names.
    pub async fn infer() -> Result<Self, Error> {
        let config = kube::Config::infer().await.map_err(|error| Error::Client(error.to_string()))?;
        Self::new(config)
    }

    /// Clients by this configuration.
    pub fn new(config: kube::Config) -> Result<Self, Error> {
        let builder = |config| ClientBuilder::try_from(config).map_err(|error| Error::Client(explain(&error)));
        let lease = builder(config.clone())?.build();
        let work = builder(config)?.with_layer(&ConcurrencyLimitLayer::new(REQUESTS)).build();
        Ok(Self { lease, work })
    }
}

impl From<kube::Client> for Clients {
    /// One client for both purposes.
    fn from(client: kube::Client) -> Self {
        Self { lease: client.clone(), work: client }
    }
}
