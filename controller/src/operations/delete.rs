//! `DeleteVolume`

use volume::{ShareIdentity, VolumeId};

use super::counts::Operation;
use super::jobs::Operations;
use crate::backend::directory;
use crate::error::OperationError;

impl Operations {
    pub(super) async fn remove(&self, id: &str, made_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        if id.is_empty() {
            return Err(OperationError::Missing("volume_id"));
        }
        let id: VolumeId = match id.parse() {
            Ok(id) => id,
            // "Deleted" would take the PersistentVolume away and leave the data behind.
            Err(error) if VolumeId::is_ours(id) => return Err(OperationError::UnreadableId(error)),
            Err(error) => {
                // No release gives such an id, so the volume does not exist, which is what was asked for.
                let reason = csi_runtime::status::message(&error);
                tracing::warn!(volume = id, reason, "nothing to delete: the id is none that this driver gives");
                return Ok(());
            }
        };
        let share = self.share(id.server(), id.share());
        let name = id.to_string();
        // On the heap: whoever waits for it need not be as large as what does it.
        let work = async move { share.run(Box::pin(directory::delete(&share, &id, made_on))).await };
        self.job(Operation::DeleteVolume, name, work).await
    }
}
