//! `CreateVolume`

use std::sync::Arc;

use volume::mount_options::MountOptions;
use volume::{ClaimRef, Parameters, Record, VolumeContext, VolumeId};

use super::jobs::Operations;
use super::{CreateVolume, Created};
use crate::backend::directory::{self, Doubt, Volume, Wanted};
use crate::error::OperationError;

/// Everything that can be said of a request without asking a server.
pub(super) fn wanted(request: &CreateVolume, driver_name: &str) -> Result<(Wanted, VolumeContext), OperationError> {
    if request.name.is_empty() {
        return Err(OperationError::Missing("name"));
    }
    if request.capabilities.is_empty() {
        return Err(OperationError::Missing("volume_capabilities"));
    }
    let size_bytes = request.capacity.resolve().map_err(OperationError::Capacity)?;
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
        size_bytes,
        on_delete: parameters.on_delete,
        claim,
        made_by: driver_name.to_owned(),
        ..Record::new(request.name.clone(), path.clone())
    };
    let text = record.to_text().map_err(OperationError::Unrecordable)?;
    let (mode, uid, gid) = (parameters.mode(), parameters.uid, parameters.gid);
    let context =
        VolumeContext { server: parameters.server, share: parameters.share, sub_dir: Some(path), identity: None };
    Ok((Wanted { id, record, text, range: request.capacity, mode, uid, gid }, context))
}

impl Operations {
    pub(super) async fn make(&self, request: CreateVolume) -> Result<Created, OperationError> {
        let (wanted, mut context) = wanted(&request, &self.inner.driver_name)?;
        let (id, operation) = (wanted.id.to_string(), super::counts::Operation::CreateVolume);
        let share = self.share(wanted.id.server(), wanted.id.share());
        let (inner, volume) = (Arc::clone(&self.inner), id.clone());
        let work = async move {
            let mut doubt = inner.doubts.of(&volume);
            // On the heap: whoever waits for a volume need not be as large as what makes it.
            let made = share.run(Box::pin(directory::create(&share, &wanted, &mut doubt))).await;
            inner.doubts.note(volume, if made.is_ok() { Doubt::default() } else { doubt });
            made.map_err(|error| if doubt.is_raised() && !error.is_retried() { error.in_doubt() } else { error })
        };
        let Volume { record, identity } = self.job(operation, id.clone(), work).await?;
        context.identity = identity;
        Ok(Created { id, capacity_bytes: record.size_bytes, context: context.to_map() })
    }
}
