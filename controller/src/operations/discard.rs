//! Ending what was begun for a request that nobody repeats any more.

use volume::{ShareIdentity, names::context};

use super::counts::Operation;
use super::create::request;
use super::jobs::Operations;
use super::{CreateVolume, Created};
use crate::error::OperationError;

impl Operations {
    pub(super) async fn end(&self, begun: CreateVolume, kept: &Created) -> Result<(), OperationError> {
        let backends = self.inner.backends.clone();
        // What cannot be planned was never begun.
        let Ok(plan) = request(begun).and_then(|request| backends.plan(&request)) else { return Ok(()) };
        let id = plan.id();
        if id == kept.id {
            return Ok(());
        }
        let made_on: Option<ShareIdentity> =
            kept.context.get(context::SHARE_IDENTITY).and_then(|identity| identity.parse().ok());
        let work = async move { backends.discard(plan, made_on).await };
        self.job(Operation::DeleteVolume, id, work).await
    }
}
