//! The CSI Node service: decodes requests, calls the operations, encodes answers.

use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::node_server::NodeServer;
use csi_proto::csi::node_service_capability::rpc::Type as RpcType;
use csi_proto::csi::node_service_capability::{Rpc, Type};
use csi_proto::csi::volume_usage::Unit;
use csi_runtime::decode::{capability, required};
use csi_runtime::status::to_status;
use tonic::{Request, Response, Status};
use volume::{Capability, VolumeContext};

use crate::error::RequestError;
use crate::inline::{self, InlineVolumes};
use crate::mounter::{Mounter, Ownership, Usage};
use crate::node::Node;
use crate::publish::Publish;
use crate::server::Servers;

/// What the node can do beyond what every node must.
const CAPABILITIES: [RpcType; 2] = [RpcType::GetVolumeStats, RpcType::SingleNodeMultiWriter];

/// Serves the CSI Node service for a [`Node`].
#[derive(Debug)]
pub struct NodeService<M: Mounter, S> {
    node: Node<M, S>,
    id: String,
    inline: InlineVolumes,
    gives_groups: bool,
}

impl<M: Ownership, S: Servers> NodeService<M, S> {
    /// A service for the node that Kubernetes calls `id`.
    pub fn new(node: Node<M, S>, id: String) -> Self {
        Self { node, id, inline: InlineVolumes::default(), gives_groups: false }
    }

    /// Lets pods mount these by themselves.
    #[must_use]
    pub fn admitting(self, inline: InlineVolumes) -> Self {
        Self { inline, ..self }
    }

    /// Gives volumes to the groups of pods, which kubelet leaves to the driver then.
    #[must_use]
    pub fn giving_groups(self, gives_groups: bool) -> Self {
        Self { gives_groups, ..self }
    }

    /// The gRPC service, ready for [`tonic::service::Routes`].
    pub fn into_service(self) -> NodeServer<Self> {
        NodeServer::new(self)
    }
}

/// A request that is understood.
struct Requested {
    volume: String,
    target: String,
    read_only: bool,
    capability: Capability,
    context: VolumeContext,
}

impl Requested {
    fn decode(request: csi::NodePublishVolumeRequest) -> Result<Self, RequestError> {
        required(&request.volume_id, "volume_id")?;
        required(&request.target_path, "target_path")?;
        let capability = capability(request.volume_capability.as_ref())?;
        let (context, unknown) = VolumeContext::from_map(&request.volume_context)?;
        if !unknown.is_empty() {
            tracing::warn!(
                volume = request.volume_id,
                keys = unknown.join(", "),
                "volume attributes without a meaning here"
            );
        }
        let (volume, target) = (request.volume_id, request.target_path);
        Ok(Self { volume, target, read_only: request.readonly, capability, context })
    }

    /// What is to be published, with attributes that may have been changed.
    fn publish(&self, context: VolumeContext) -> Result<Publish, RequestError> {
        let terms = &context.terms;
        Ok(Publish {
            options: terms.options(self.capability.mount_flags(), context.server.port())?,
            mode: terms.mode(self.capability.mode()),
            read_only: self.read_only || terms.read_only == Some(true),
            target: self.target.clone().into(),
            volume: self.volume.clone(),
            context,
        })
    }
}

/// Figures of two kinds; a server that does not count inodes says 0, and then nothing is said about them.
fn usage(usage: Usage) -> Vec<csi::VolumeUsage> {
    let figure = |unit: Unit, total: u64, used: u64, available: u64| csi::VolumeUsage {
        unit: unit.into(),
        total: saturate(total),
        used: saturate(used),
        available: saturate(available),
    };
    let mut figures = vec![figure(Unit::Bytes, usage.total_bytes, usage.used_bytes, usage.available_bytes)];
    if usage.total_inodes > 0 {
        let used = usage.total_inodes.saturating_sub(usage.free_inodes);
        figures.push(figure(Unit::Inodes, usage.total_inodes, used, usage.free_inodes));
    }
    figures
}

/// EFS reports 8 EiB, which an `i64` just does not hold.
fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl<M: Ownership, S: Servers> csi::node_server::Node for NodeService<M, S> {
    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Result<Response<csi::NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let is_inline = inline::is_inline(&request.volume_id, &request.volume_context);
        let requested = Requested::decode(request).map_err(|error| to_status(&error))?;
        let asked = requested.publish(requested.context.clone()).map_err(|error| to_status(&error))?;
        let publish = if is_inline {
            match self.inline.admit(requested.context.clone()) {
                Ok(context) => requested.publish(context).map_err(|error| to_status(&error))?,
                // It was admitted when the pod started. Nothing is mounted for it any more.
                Err(_) if self.node.is_published(&asked) => {
                    return Ok(Response::new(csi::NodePublishVolumeResponse {}));
                }
                Err(refusal) => return Err(to_status(&RequestError::from(refusal))),
            }
        } else {
            asked
        };
        // Who writes a pod would have root change a directory that is not theirs.
        let group = requested.capability.group().filter(|_| self.gives_groups && !is_inline);
        // One for both: kubelet gives the call up after two minutes.
        let deadline = self.node.deadline();
        if let Some(group) = group {
            self.node.give(&publish, group, deadline).await.map_err(|error| to_status(&error))?;
        }
        self.node.publish_until(publish, deadline).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(csi::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        required(&request.volume_id, "volume_id")?;
        let target = required(&request.target_path, "target_path")?;
        self.node.unpublish(Path::new(target)).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(csi::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<csi::NodeGetVolumeStatsResponse>, Status> {
        let request = request.into_inner();
        let volume = required(&request.volume_id, "volume_id")?;
        let path = required(&request.volume_path, "volume_path")?;
        let found = self.node.stats(volume, Path::new(path)).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(csi::NodeGetVolumeStatsResponse { usage: usage(found) }))
    }

    async fn node_get_capabilities(
        &self,
        _request: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<csi::NodeGetCapabilitiesResponse>, Status> {
        let capability =
            |kind: RpcType| csi::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
        let of_groups = self.gives_groups.then_some(RpcType::VolumeMountGroup);
        let capabilities = CAPABILITIES.into_iter().chain(of_groups).map(capability).collect();
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(
        &self,
        _request: Request<csi::NodeGetInfoRequest>,
    ) -> Result<Response<csi::NodeGetInfoResponse>, Status> {
        // No bound on volumes: a publish costs the node one mount table entry.
        let info =
            csi::NodeGetInfoResponse { node_id: self.id.clone(), max_volumes_per_node: 0, accessible_topology: None };
        Ok(Response::new(info))
    }

    async fn node_stage_volume(
        &self,
        _request: Request<csi::NodeStageVolumeRequest>,
    ) -> Result<Response<csi::NodeStageVolumeResponse>, Status> {
        Err(not_offered("NodeStageVolume"))
    }

    async fn node_unstage_volume(
        &self,
        _request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Result<Response<csi::NodeUnstageVolumeResponse>, Status> {
        Err(not_offered("NodeUnstageVolume"))
    }

    async fn node_expand_volume(
        &self,
        _request: Request<csi::NodeExpandVolumeRequest>,
    ) -> Result<Response<csi::NodeExpandVolumeResponse>, Status> {
        Err(not_offered("NodeExpandVolume"))
    }

    async fn node_get_volume_health(
        &self,
        _request: Request<csi::NodeGetVolumeHealthRequest>,
    ) -> Result<Response<csi::NodeGetVolumeHealthResponse>, Status> {
        Err(not_offered("NodeGetVolumeHealth"))
    }

    async fn node_get_storage_health(
        &self,
        _request: Request<csi::NodeGetStorageHealthRequest>,
    ) -> Result<Response<csi::NodeGetStorageHealthResponse>, Status> {
        Err(not_offered("NodeGetStorageHealth"))
    }
}

fn not_offered(method: &str) -> Status {
    Status::unimplemented(format!("{method} is not among the capabilities of this node"))
}

#[cfg(test)]
mod tests {
    use csi_runtime::decode::DecodeError;

    use super::*;

    #[test]
    fn figures_that_do_not_fit_are_cut_and_unknown_inodes_left_out() {
        let efs = Usage { total_bytes: 1 << 63, available_bytes: 1 << 63, used_bytes: 6144, ..Usage::default() };
        let figures = usage(efs);
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].total, figures[0].used), (i64::MAX, 6144));
        let figures = usage(Usage { total_inodes: 10, free_inodes: 4, ..Usage::default() });
        assert_eq!((figures[1].total, figures[1].used, figures[1].available), (10, 6, 4));
    }

    #[test]
    fn a_request_is_decoded_field_by_field() {
        let decoded = Requested::decode(csi::NodePublishVolumeRequest::default());
        assert!(matches!(decoded, Err(RequestError::Decode(DecodeError::Missing("volume_id")))));
    }
}
