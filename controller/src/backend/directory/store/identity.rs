//! The link that tells which share this is.

use nfs_client::{Compound, Error, FileHandle, NfsStatus};
use volume::ShareIdentity;

use super::layout::{IDENTITY, ROOT};
use super::modes;
use super::site::Site;
use crate::error::OperationError;

/// The identity of the share, by the link in `.berth`; none where an earlier release made the folder.
pub(crate) async fn read(site: &Site, ours: &FileHandle) -> Result<Option<ShareIdentity>, OperationError> {
    match site.client().read_link(ours, IDENTITY).await {
        Ok(text) => match String::from_utf8_lossy(&text).parse() {
            Ok(identity) => Ok(Some(identity)),
            Err(_) => Err(unusable(site)),
        },
        Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
        Err(error) => match error.status() {
            Some(NfsStatus::Inval | NfsStatus::BadType | NfsStatus::WrongType) => Err(unusable(site)),
            _ => Err(site.failed("read the share's identity in", path(), error)),
        },
    }
}

/// Gives the share an identity, unless it has one by now. Returns the one that it has.
pub(crate) async fn give(site: &Site, ours: &FileHandle) -> Result<ShareIdentity, OperationError> {
    let drawn = ShareIdentity::new(fastrand::u128(..));
    let request = Compound::new().put_handle(ours).create_symlink(IDENTITY, drawn.to_string().as_bytes());
    match site.client().call(request).await {
        Ok(_) => Ok(drawn),
        // Another controller was faster.
        Err(error) if error.is_status(NfsStatus::Exist) => {
            read(site, ours).await?.ok_or_else(|| site.failed("write the share's identity in", path(), error))
        }
        Err(error) if lacks_links(site, ours, &error).await => {
            Err(OperationError::NoLinks { location: site.location(), source: error })
        }
        Err(error) => Err(site.failed("write the share's identity in", path(), error)),
    }
}

/// Whether it is links that cannot be made there: each server has its own answer for that, but lets directories be made.
async fn lacks_links(site: &Site, ours: &FileHandle, error: &Error) -> bool {
    let refused = [NfsStatus::Perm, NfsStatus::NotSupp, NfsStatus::BadType, NfsStatus::Inval];
    error.status().is_some_and(|status| refused.contains(&status)) && modes::overruled(site, ours).await.is_ok()
}

fn path() -> String {
    format!("{ROOT}/{IDENTITY}")
}

fn unusable(site: &Site) -> OperationError {
    OperationError::Untrusted { location: site.at(path()), problem: "holds something that is no identity of a share" }
}
