//! `CreateVolume`

use super::counts::Operation;
use super::jobs::Operations;
use super::{CreateVolume, Created};
use crate::backend::Request;
use crate::error::OperationError;

impl Operations {
    pub(super) async fn make(&self, asked: CreateVolume) -> Result<Created, OperationError> {
        let backends = self.inner.backends.clone();
        let plan = backends.plan(&request(asked)?)?;
        let id = plan.id();
        let work = async move { backends.create(plan).await };
        let volume = self.job(Operation::CreateVolume, id.clone(), work).await?;
        Ok(Created { id, capacity_bytes: volume.size_bytes, context: volume.context.to_map() })
    }
}

/// What a backend is asked for.
pub(super) fn request(asked: CreateVolume) -> Result<Request, OperationError> {
    let CreateVolume { name, capacity: range, capabilities, parameters } = asked;
    if name.is_empty() {
        return Err(OperationError::Missing("name"));
    }
    if capabilities.is_empty() {
        return Err(OperationError::Missing("volume_capabilities"));
    }
    let size_bytes = range.resolve().map_err(OperationError::Capacity)?;
    Ok(Request { name, size_bytes, range, capabilities, parameters })
}
