//! Registration with kubelet, which otherwise takes a process of its own beside every driver.
//!
//! kubelet watches a directory; for each socket that appears in it, it asks who is there and then talks to the CSI socket that it is told of.

use std::path::{Path, PathBuf};

use csi_proto::pluginregistration::registration_server::{Registration, RegistrationServer};
use csi_proto::pluginregistration::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};
use csi_runtime::Endpoint;
use csi_runtime::endpoint::EndpointError;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use volume::names::kubelet::REGISTRATION_SUFFIX;

/// What kubelet calls a CSI driver.
const PLUGIN_TYPE: &str = "CSIPlugin";

/// Versions of CSI that the driver speaks; kubelet wants at least one below 2.
const VERSIONS: [&str; 1] = ["1.0.0"];

/// Serves kubelet's `Registration` service.
#[derive(Debug)]
pub struct Registrar {
    driver: String,
    csi_socket: PathBuf,
    refused: watch::Sender<Option<String>>,
}

/// Learns whether kubelet refused the driver.
#[derive(Debug, Clone)]
pub struct Refusal {
    reason: watch::Receiver<Option<String>>,
}

/// Where the registration socket of a driver is.
///
/// The `@` in its name is not decoration: kubelet sends the percent-encoded path as the HTTP/2 `:authority`, where `%` is legal only in what looks
/// like user information. Under a name without it, every call fails with `PROTOCOL_ERROR` before it reaches this program.
pub fn socket(registry: &Path, driver: &str) -> Result<Endpoint, EndpointError> {
    registry.join(format!("{driver}{REGISTRATION_SUFFIX}")).to_string_lossy().parse()
}

impl Registrar {
    /// Offers `driver`, whose CSI socket kubelet finds at `csi_socket`: a path of the node, not of the container.
    pub fn new(driver: String, csi_socket: PathBuf) -> (Self, Refusal) {
        let (refused, reason) = watch::channel(None);
        (Self { driver, csi_socket, refused }, Refusal { reason })
    }

    /// The gRPC service, ready for [`tonic::service::Routes`].
    pub fn into_service(self) -> RegistrationServer<Self> {
        RegistrationServer::new(self)
    }
}

impl Refusal {
    /// Waits until kubelet has refused the driver, and tells why. The process should then end: kubelet does not ask again before the socket appears
    /// anew.
    pub async fn wait(mut self) -> String {
        match self.reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The service is gone, and with it whoever could refuse.
            Err(_) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl Registration for Registrar {
    async fn get_info(&self, _request: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: PLUGIN_TYPE.to_owned(),
            name: self.driver.clone(),
            endpoint: self.csi_socket.to_string_lossy().into_owned(),
            supported_versions: VERSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        if status.plugin_registered {
            tracing::info!(driver = self.driver, "registered with kubelet");
        } else {
            tracing::error!(driver = self.driver, reason = status.error, "kubelet refused the driver");
            self.refused.send_replace(Some(status.error));
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
