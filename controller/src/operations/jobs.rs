//! Jobs that outlive whoever asked for them.

use std::future::Future;
use std::sync::Arc;

use csi_runtime::{InFlight, panics};
use tonic::Code;

use super::counts::{Counts, Operation};
use crate::backend::Backends;
use crate::error::OperationError;
use crate::servers::Servers;

/// Makes, deletes and validates volumes on NFS shares; see [`Volumes`](super::Volumes). Clones share everything.
#[derive(Debug, Clone)]
pub struct Operations {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) driver_name: String,
    pub(super) backends: Backends,
    jobs: InFlight<String>,
    counts: Counts,
}

impl Operations {
    /// Operations under a driver's name, which records carry, on servers of a pool.
    pub fn new(driver_name: impl Into<String>, servers: Servers, counts: Counts) -> Self {
        let driver_name = driver_name.into();
        let backends = Backends::new(driver_name.clone(), servers);
        let inner = Inner { driver_name, backends, jobs: InFlight::new(), counts };
        Self { inner: Arc::new(inner) }
    }

    /// How many jobs are running.
    pub fn running(&self) -> usize {
        self.inner.jobs.len()
    }

    /// Runs `work` to its end, whatever becomes of the caller; nothing else runs on `volume` meanwhile.
    pub(super) async fn job<T: Send + 'static>(
        &self,
        operation: Operation,
        volume: String,
        work: impl Future<Output = Result<T, OperationError>> + Send + 'static,
    ) -> Result<T, OperationError> {
        let Some(guard) = self.inner.jobs.try_acquire(volume.clone()) else {
            return Err(OperationError::InProgress(format!("volume {volume}")));
        };
        let started = std::time::Instant::now();
        let (name, crashed) = (volume.clone(), format!("volume {volume}"));
        let task = tokio::spawn(async move {
            let result = panics::contained("a job", work).await;
            let result = result.unwrap_or_else(|_| Err(OperationError::Crashed(crashed)));
            drop(guard);
            match &result {
                Ok(_) => tracing::debug!(volume = name, ?operation, took = ?started.elapsed(), "done"),
                // Whoever waits logs it too; but nobody may be waiting any more.
                Err(error) => tracing::debug!(volume = name, ?operation, error = error.message(), "failed"),
            }
            result
        });
        // A runtime that ends drops its tasks.
        task.await.unwrap_or_else(|_| Err(OperationError::Crashed(format!("volume {volume}"))))
    }

    /// Counts a call by its result.
    pub(super) fn counted<T>(
        &self,
        operation: Operation,
        started: std::time::Instant,
        result: Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        let code = result.as_ref().map_or_else(OperationError::code, |_| Code::Ok);
        self.inner.counts.observe(operation, code, started.elapsed());
        result
    }
}

#[cfg(test)]
mod tests {
    use nfs_client::SourcePort;
    use tokio::sync::oneshot;

    use super::*;
    use crate::servers::Settings;

    fn operations() -> Operations {
        let servers = Servers::new(Settings::new("test", SourcePort::Any));
        Operations::new("csi.example", servers, Counts::new(&csi_runtime::metrics::Metrics::new()))
    }

    #[tokio::test]
    async fn a_job_outlives_its_caller_and_keeps_its_volume_busy() {
        let operations = operations();
        let (release, released) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let job = operations.job(Operation::CreateVolume, "v".to_owned(), async move {
            released.await.expect("not dropped");
            done.send(()).expect("the test listens");
            Ok(())
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), job).await.is_err(), "the caller left");
        assert_eq!(operations.running(), 1);
        let repeated = operations.job(Operation::DeleteVolume, "v".to_owned(), async { Ok(()) }).await.unwrap_err();
        assert_eq!(repeated.code(), Code::Aborted);
        assert!(operations.job(Operation::CreateVolume, "w".to_owned(), async { Ok(()) }).await.is_ok());
        release.send(()).unwrap();
        finished.await.unwrap();
        while operations.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(operations.job(Operation::DeleteVolume, "v".to_owned(), async { Ok(()) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_job_that_panics_is_a_bug_and_frees_its_volume() {
        let operations = operations();
        let job = async { panic!("on purpose") };
        let error = operations.job::<()>(Operation::CreateVolume, "v".to_owned(), job).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "it may have left something");
        assert_eq!(operations.running(), 0);
    }
}
