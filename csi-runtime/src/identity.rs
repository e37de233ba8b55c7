//! The CSI Identity service.

use std::fmt;
use std::sync::Arc;

use csi_proto::csi;
use csi_proto::csi::identity_server::IdentityServer;
use csi_proto::csi::plugin_capability::service::Type as ServiceType;
use csi_proto::csi::plugin_capability::volume_expansion::Type as ExpansionType;
use csi_proto::csi::plugin_capability::{Service, Type, VolumeExpansion};
use tonic::{Request, Response, Status};

/// What `Probe` says of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// It is on its way: the caller asks again.
    Starting,
    /// Something that it needs is broken; the text says what. Never for an NFS server that is down: restarting the process would not mend it.
    Broken(String),
}

/// What the plugin as a whole can do, as `GetPluginCapabilities` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// A Controller service exists for this driver, in this process or beside it.
    ControllerService,
    /// Volumes differ in where they can be reached.
    AccessibilityConstraints,
    /// Volumes grow while they are in use.
    OnlineExpansion,
}

/// Serves `GetPluginInfo`, `GetPluginCapabilities` and `Probe`.
#[derive(Clone)]
pub struct Identity {
    name: String,
    version: String,
    capabilities: Vec<Capability>,
    readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
}

impl Identity {
    /// An identity whose `Probe` asks `readiness` each time; it must answer at once, from memory.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        capabilities: Vec<Capability>,
        readiness: impl Fn() -> Readiness + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), version: version.into(), capabilities, readiness: Arc::new(readiness) }
    }

    /// The gRPC service, ready for [`tonic::service::Routes`].
    pub fn into_service(self) -> IdentityServer<Self> {
        IdentityServer::new(self)
    }
}

impl From<Capability> for csi::PluginCapability {
    fn from(capability: Capability) -> Self {
        let service = |service: ServiceType| Type::Service(Service { r#type: service.into() });
        let kind = match capability {
            Capability::ControllerService => service(ServiceType::ControllerService),
            Capability::AccessibilityConstraints => service(ServiceType::VolumeAccessibilityConstraints),
            Capability::OnlineExpansion => {
                Type::VolumeExpansion(VolumeExpansion { r#type: ExpansionType::Online.into() })
            }
        };
        Self { r#type: Some(kind) }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl csi::identity_server::Identity for Identity {
    async fn get_plugin_info(
        &self,
        _request: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        Ok(Response::new(csi::GetPluginInfoResponse {
            name: self.name.clone(),
            vendor_version: self.version.clone(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        let capabilities = self.capabilities.iter().map(|&capability| capability.into()).collect();
        Ok(Response::new(csi::GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _request: Request<csi::ProbeRequest>) -> Result<Response<csi::ProbeResponse>, Status> {
        let ready = match (self.readiness)() {
            Readiness::Ready => true,
            Readiness::Starting => false,
            Readiness::Broken(reason) => return Err(Status::failed_precondition(reason)),
        };
        Ok(Response::new(csi::ProbeResponse { ready: Some(ready) }))
    }
}

#[cfg(test)]
mod tests {
    use csi_proto::csi::identity_server::Identity as _;
    use tonic::Code;

    use super::*;

    fn identity(readiness: Readiness) -> Identity {
        Identity::new("csi.example", "1.2.3", vec![Capability::ControllerService], move || readiness.clone())
    }

    async fn probe(readiness: Readiness) -> Result<Option<bool>, Code> {
        match identity(readiness).probe(Request::new(csi::ProbeRequest {})).await {
            Ok(response) => Ok(response.into_inner().ready),
            Err(status) => Err(status.code()),
        }
    }

    #[tokio::test]
    async fn probe_tells_what_the_closure_tells() {
        assert_eq!(probe(Readiness::Ready).await, Ok(Some(true)));
        assert_eq!(probe(Readiness::Starting).await, Ok(Some(false)));
        assert_eq!(probe(Readiness::Broken("no key".to_owned())).await, Err(Code::FailedPrecondition));
    }

    #[tokio::test]
    async fn name_version_and_capabilities_are_reported() {
        let identity = identity(Readiness::Ready);
        let info = identity.get_plugin_info(Request::new(csi::GetPluginInfoRequest {})).await.unwrap().into_inner();
        assert_eq!((info.name.as_str(), info.vendor_version.as_str()), ("csi.example", "1.2.3"));
        let request = Request::new(csi::GetPluginCapabilitiesRequest {});
        let answer = identity.get_plugin_capabilities(request).await.unwrap().into_inner();
        assert_eq!(answer.capabilities, vec![csi::PluginCapability::from(Capability::ControllerService)]);
    }
}
