//! `DeleteVolume`

use std::sync::Arc;

use volume::VolumeId;

use super::counts::Operation;
use super::jobs::Operations;
use crate::backend;
use crate::error::OperationError;

impl Operations {
    pub(super) async fn remove(&self, id: &str) -> Result<(), OperationError> {
        if id.is_empty() {
            return Err(OperationError::Missing("volume_id"));
        }
        let id: VolumeId = match id.parse() {
            Ok(id) => id,
            Err(error) => {
                // No volume of ours can have such an id, so the volume does not exist, which is what was asked for.
                let reason = csi_runtime::status::message(&error);
                tracing::warn!(volume = id, reason, "nothing to delete: the id is none that this driver gives");
                return Ok(());
            }
        };
        let share = self.share(id.server(), id.share());
        let (inner, volume) = (Arc::clone(&self.inner), id.to_string());
        self.job(Operation::DeleteVolume, id.to_string(), async move {
            backend::delete(&share, &id).await?;
            inner.doubts.note(volume, false);
            Ok(())
        })
        .await
    }
}
