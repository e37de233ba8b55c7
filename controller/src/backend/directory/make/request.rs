//! Reading a request for a directory.

use volume::mount_options::MountOptions;
use volume::{Capability, ClaimRef, Parameters, Record, Terms, VolumeContext, VolumeId};

use super::wanted::Wanted;
use crate::backend::Request;
use crate::error::OperationError;

/// A directory that is to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) wanted: Wanted,
    /// What the node plugin will need, but for the share's identity.
    pub(crate) context: VolumeContext,
}

impl Plan {
    /// The plan for a request to the driver of this name, without asking a server.
    pub(crate) fn new(request: &Request, driver_name: &str) -> Result<Self, OperationError> {
        let parameters = Parameters::parse(&request.parameters).map_err(OperationError::Parameters)?;
        for capability in &request.capabilities {
            let port = parameters.server.port();
            MountOptions::parse(capability.mount_flags(), port).map_err(OperationError::MountOptions)?;
        }
        let id = VolumeId::new(&parameters.server, &parameters.share, &request.name).map_err(OperationError::Id)?;
        let path = match &parameters.sub_dir {
            Some(template) => template.render(&parameters.metadata).map_err(OperationError::SubDir)?,
            None => id.key().default_place(),
        };
        let claim = match (&parameters.metadata.pvc_namespace, &parameters.metadata.pvc_name) {
            (Some(namespace), Some(name)) => Some(ClaimRef { namespace: namespace.clone(), name: name.clone() }),
            _ => None,
        };
        let record = Record {
            size_bytes: request.size_bytes,
            on_delete: parameters.on_delete,
            claim,
            made_by: driver_name.to_owned(),
            ..Record::new(request.name.clone(), path.clone())
        };
        let text = record.to_text().map_err(OperationError::Unrecordable)?;
        let (mode, uid, gid) = (parameters.mode(), parameters.uid, parameters.gid);
        let (server, share) = (parameters.server, parameters.share);
        // kubelet tells a node the first mode only, so the volume carries all of them.
        let mut terms = Terms { fs_group_change: parameters.fs_group_change, ..Terms::default() };
        for mode in request.capabilities.iter().map(Capability::mode) {
            if !terms.modes.contains(&mode) {
                terms.modes.push(mode);
            }
        }
        let context = VolumeContext { server, share, sub_dir: Some(path), identity: None, terms };
        Ok(Self { wanted: Wanted { id, record, text, range: request.range, mode, uid, gid }, context })
    }

    /// The id that the volume will have.
    pub(crate) fn id(&self) -> String {
        self.wanted.id.to_string()
    }
}
