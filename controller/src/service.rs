//! The CSI Controller service: reads requests, calls the operations, writes answers.
//!
//! Requests are never logged, because some of their fields are secrets.

use csi_proto::csi;
use csi_proto::csi::controller_server::{Controller, ControllerServer};
use csi_proto::csi::controller_service_capability::rpc::Type as Rpc;
use csi_proto::csi::controller_service_capability::{Rpc as RpcCapability, Type as CapabilityType};
use csi_proto::csi::validate_volume_capabilities_response::Confirmed;
use csi_runtime::decode::{self, DecodeError};
use csi_runtime::status::message;
use tonic::{Request, Response, Status};
use volume::capacity::Range;

use crate::operations::{CreateVolume, OperationError, Operations, Validate, Validated, Volumes};

/// What the service can do, as `ControllerGetCapabilities` tells it.
const CAPABILITIES: [Rpc; 2] = [Rpc::CreateDeleteVolume, Rpc::SingleNodeMultiWriter];

type Answer<T> = Result<Response<T>, Status>;

/// Serves the Controller RPCs from [`Operations`].
#[derive(Debug)]
pub struct ControllerService {
    operations: Operations,
}

impl ControllerService {
    /// A service in front of `operations`.
    pub fn new(operations: Operations) -> Self {
        Self { operations }
    }

    /// The gRPC service, ready for [`tonic::service::Routes`].
    pub fn into_service(self) -> ControllerServer<Self> {
        ControllerServer::new(self)
    }
}

impl From<OperationError> for Status {
    fn from(error: OperationError) -> Self {
        Self::new(error.code(), error.message())
    }
}

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(&self, request: Request<csi::CreateVolumeRequest>) -> Answer<csi::CreateVolumeResponse> {
        let request = request.into_inner();
        // The first thing that is missing in the order of the specification, whatever else is wrong.
        decode::required(&request.name, "name")?;
        let capabilities = decode::capabilities(&request.volume_capabilities)?;
        if request.volume_content_source.is_some() {
            let text = "a volume cannot be made from a snapshot or from another volume: this driver does not copy yet";
            return Err(OperationError::NotOffered(text).into());
        }
        if !request.mutable_parameters.is_empty() {
            let text = "parameters of a VolumeAttributesClass are not offered yet";
            return Err(OperationError::NotOffered(text).into());
        }
        let capacity = request.capacity_range.unwrap_or_default();
        let capacity = Range { required: capacity.required_bytes, limit: capacity.limit_bytes };
        let name = request.name;
        let wanted = CreateVolume { name, capacity, capabilities, parameters: request.parameters };
        let created = self.operations.create(wanted).await?;
        let volume = csi::Volume {
            capacity_bytes: i64::try_from(created.capacity_bytes).unwrap_or(i64::MAX),
            volume_id: created.id,
            volume_context: created.context,
            ..Default::default()
        };
        Ok(Response::new(csi::CreateVolumeResponse { volume: Some(volume) }))
    }

    async fn delete_volume(&self, request: Request<csi::DeleteVolumeRequest>) -> Answer<csi::DeleteVolumeResponse> {
        self.operations.delete(&request.into_inner().volume_id, None).await?;
        Ok(Response::new(csi::DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<csi::ValidateVolumeCapabilitiesResponse> {
        let request = request.into_inner();
        decode::required(&request.volume_id, "volume_id")?;
        // What cannot be had is an answer here, and no error; what is missing is an error.
        let (capabilities, refused) = match decode::capabilities(&request.volume_capabilities) {
            Ok(capabilities) => (capabilities, None),
            Err(error @ (DecodeError::Block | DecodeError::Capability(_))) => (Vec::new(), Some(message(&error))),
            Err(error) => return Err(error.into()),
        };
        let question = Validate {
            id: request.volume_id,
            capabilities,
            context: request.volume_context.clone(),
            parameters: request.parameters.clone(),
        };
        let answer = match (self.operations.validate(question).await?, refused) {
            (Validated::Confirmed, None) => csi::ValidateVolumeCapabilitiesResponse {
                confirmed: Some(Confirmed {
                    volume_context: request.volume_context,
                    volume_capabilities: request.volume_capabilities,
                    parameters: request.parameters,
                    ..Default::default()
                }),
                message: String::new(),
            },
            (Validated::Refused(reason), _) | (Validated::Confirmed, Some(reason)) => {
                csi::ValidateVolumeCapabilitiesResponse { confirmed: None, message: reason }
            }
        };
        Ok(Response::new(answer))
    }

    async fn controller_get_capabilities(
        &self,
        _request: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Answer<csi::ControllerGetCapabilitiesResponse> {
        let capability = |rpc: Rpc| csi::ControllerServiceCapability {
            r#type: Some(CapabilityType::Rpc(RpcCapability { r#type: rpc.into() })),
        };
        let capabilities = CAPABILITIES.into_iter().map(capability).collect();
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn controller_publish_volume(
        &self,
        _: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Answer<csi::ControllerPublishVolumeResponse> {
        not_offered("ControllerPublishVolume")
    }

    async fn controller_unpublish_volume(
        &self,
        _: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Answer<csi::ControllerUnpublishVolumeResponse> {
        not_offered("ControllerUnpublishVolume")
    }

    async fn list_volumes(&self, _: Request<csi::ListVolumesRequest>) -> Answer<csi::ListVolumesResponse> {
        not_offered("ListVolumes")
    }

    async fn get_capacity(&self, _: Request<csi::GetCapacityRequest>) -> Answer<csi::GetCapacityResponse> {
        not_offered("GetCapacity")
    }

    async fn create_snapshot(&self, _: Request<csi::CreateSnapshotRequest>) -> Answer<csi::CreateSnapshotResponse> {
        not_offered("CreateSnapshot")
    }

    async fn delete_snapshot(&self, _: Request<csi::DeleteSnapshotRequest>) -> Answer<csi::DeleteSnapshotResponse> {
        not_offered("DeleteSnapshot")
    }

    async fn list_snapshots(&self, _: Request<csi::ListSnapshotsRequest>) -> Answer<csi::ListSnapshotsResponse> {
        not_offered("ListSnapshots")
    }

    async fn get_snapshot(&self, _: Request<csi::GetSnapshotRequest>) -> Answer<csi::GetSnapshotResponse> {
        not_offered("GetSnapshot")
    }

    async fn controller_expand_volume(
        &self,
        _: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        not_offered("ControllerExpandVolume")
    }

    async fn controller_get_volume(
        &self,
        _: Request<csi::ControllerGetVolumeRequest>,
    ) -> Answer<csi::ControllerGetVolumeResponse> {
        not_offered("ControllerGetVolume")
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Answer<csi::ControllerModifyVolumeResponse> {
        not_offered("ControllerModifyVolume")
    }

    async fn controller_list_volume_health(
        &self,
        _: Request<csi::ControllerListVolumeHealthRequest>,
    ) -> Answer<csi::ControllerListVolumeHealthResponse> {
        not_offered("ControllerListVolumeHealth")
    }

    async fn controller_get_volume_health(
        &self,
        _: Request<csi::ControllerGetVolumeHealthRequest>,
    ) -> Answer<csi::ControllerGetVolumeHealthResponse> {
        not_offered("ControllerGetVolumeHealth")
    }
}

fn not_offered<T>(method: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("{method} is not among the capabilities of this controller")))
}
