//! `DeleteVolume`

use volume::{HandleError, ShareIdentity, VolumeHandle};

use super::counts::Operation;
use super::jobs::Operations;
use crate::error::OperationError;

impl Operations {
    pub(super) async fn remove(&self, id: &str, made_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        if id.is_empty() {
            return Err(OperationError::Missing("volume_id"));
        }
        let handle = match VolumeHandle::parse(&self.inner.driver_name, id) {
            Ok(handle) => handle,
            // "Deleted" would take the PersistentVolume away and leave the data behind.
            Err(HandleError::Unreadable(error)) => return Err(OperationError::UnreadableId(error)),
            Err(error @ HandleError::Foreign { .. }) => {
                // No release gives such an id, so the volume does not exist, which is what was asked for.
                let reason = csi_runtime::status::message(&error);
                tracing::warn!(volume = id, reason, "nothing to delete: the id is none that this driver gives");
                return Ok(());
            }
        };
        let backends = self.inner.backends.clone();
        let work = async move { backends.delete(handle, made_on).await };
        self.job(Operation::DeleteVolume, id.to_owned(), work).await
    }
}

#[cfg(test)]
mod tests {
    use csi_runtime::metrics::Metrics;
    use nfs_client::SourcePort;
    use tonic::Code;

    use super::*;
    use crate::operations::Counts;
    use crate::servers::{Servers, Settings};

    #[tokio::test]
    async fn a_volume_of_the_driver_whose_name_this_one_has_is_not_counted_as_deleted() {
        let handles = ["fs-0123abcd::fsap-0123abcd", "nfs.example#export#pvc-1##"];
        for (driver, refused) in [("efs.csi.aws.com", Some(0)), ("nfs.csi.k8s.io", Some(1)), ("csi.berth.dev", None)] {
            let servers = Servers::new(Settings::new("test", SourcePort::Any));
            let operations = Operations::new(driver, servers, Counts::new(&Metrics::new()));
            for (nth, handle) in handles.into_iter().enumerate() {
                match operations.remove(handle, None).await {
                    Err(error) => {
                        assert_eq!((refused, error.code()), (Some(nth), Code::FailedPrecondition));
                        assert!(error.message().contains(driver) && error.message().contains("Retain"));
                    }
                    Ok(()) => assert_ne!(refused, Some(nth), "{driver} {handle}"),
                }
            }
        }
    }
}
