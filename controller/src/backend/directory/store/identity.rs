//! The entry that tells which share this is.

use std::sync::Arc;

use nfs_client::{Compound, Error, Found, NfsStatus};
use volume::ShareIdentity;

use super::layout::{IDENTITY, ROOT};
use super::modes;
use super::registry::{About, Registry};
use super::site::Site;
use crate::error::OperationError;

/// What the driver's own folder holds beside its folders.
const ABOUT: About = About {
    folder: &[ROOT],
    reading: "read the share's identity in",
    not_one: "holds something that is no identity of a share",
};

/// The entry counts whosever it is: people may have to write it.
fn registry(site: &Arc<Site>, ours: &Found) -> Registry {
    Registry::new(site, ours.handle.clone(), None, ABOUT)
}

/// The identity of the share, by the entry in `.berth`; none where an earlier release made the folder.
pub(crate) async fn read(site: &Arc<Site>, ours: &Found) -> Result<Option<ShareIdentity>, OperationError> {
    let registry = registry(site, ours);
    let entry = registry.read(IDENTITY).await?;
    entry.map(|entry| entry.text.parse().map_err(|_| registry.foreign(IDENTITY))).transpose()
}

/// Gives the share an identity, unless it has one by now. Returns the one that it has.
pub(crate) async fn give(site: &Arc<Site>, ours: &Found) -> Result<ShareIdentity, OperationError> {
    let drawn = ShareIdentity::new(fastrand::u128(..));
    let failed = |error| site.failed("write the share's identity in", format!("{ROOT}/{IDENTITY}"), error);
    let request = Compound::new().put_handle(&ours.handle).append(Registry::create(IDENTITY, &drawn.to_string()));
    match site.client().call(request).await {
        Ok(_) => Ok(drawn),
        // Another controller was faster.
        Err(error) if error.is_status(NfsStatus::Exist) => read(site, ours).await?.ok_or_else(|| failed(error)),
        Err(error) if lacks_links(site, ours, &error).await => {
            Err(OperationError::NoLinks { location: site.location(), source: error })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether it is links that cannot be made there: each server has its own answer for that, but lets directories be made.
async fn lacks_links(site: &Site, ours: &Found, error: &Error) -> bool {
    let refused = [NfsStatus::Perm, NfsStatus::NotSupp, NfsStatus::BadType, NfsStatus::Inval];
    let is_refusal = error.status().is_some_and(|status| refused.contains(&status));
    is_refusal && modes::overruled(site, &ours.handle).await.is_ok()
}
