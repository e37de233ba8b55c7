//! Shares that lie in one another. Each keeps records of its own, so that nobody would notice a volume of one inside a volume
//! of the other: deleting the outer one would delete the inner one too.

use std::sync::Arc;

use futures::future::try_join_all;
use nfs_client::{Attributes, Error, FileHandle, NfsStatus};
use volume::{RecordKey, SharePath, SubPath};

use super::folders::Store;
use super::holds::Hold;
use super::layout::ROOT;
use super::site::Site;
use crate::error::OperationError;

/// A share that lies around another one.
pub(crate) struct Outer {
    store: Store,
    /// The inner share, as seen from the outer one.
    inner: SubPath,
}

impl Outer {
    /// The volume of this share, if there is one, in a directory that the inner share has at this path.
    pub(crate) async fn volume_at(&self, path: &SubPath) -> Result<Option<String>, OperationError> {
        let Ok(place) = format!("{}/{path}", self.inner).parse::<SubPath>() else { return Ok(None) };
        Ok(is_volume(&self.store, &place).await?.then(|| self.store.site.at(place.as_str())))
    }
}

/// The shares that lie around one, none of whose volumes does. Two round trips, for all directories above at once, and a few more
/// for each of them that is a share.
pub(crate) async fn around(site: &Site) -> Result<Vec<Outer>, OperationError> {
    let names: Vec<&str> = site.path().components().collect();
    let above = (0..names.len()).map(|depth| is_share_at(site, &names[..depth]));
    let shares = try_join_all(above).await?;
    let mut around = Vec::new();
    for (depth, _) in shares.iter().enumerate().filter(|(_, is_share)| **is_share) {
        let (outer, inner) = names.split_at(depth);
        let Ok(outer) = format!("/{}", outer.join("/")).parse::<SharePath>() else { continue };
        let outer = Arc::new(site.beside(outer));
        let store = match Store::find(&outer).await {
            Ok(Some(store)) => store,
            Ok(None) => continue,
            // An answer, whatever it is, is the outer share's trouble and not this one's.
            Err(error) if error.is_retried() && error.nfs_status().is_none_or(NfsStatus::asks_to_wait) => {
                return Err(error);
            }
            Err(error) => {
                // Nothing can be deleted there either, as long as that is so.
                let (share, outer, error) = (site.location(), outer.location(), error.message());
                tracing::warn!(
                    share,
                    outer,
                    error,
                    "nobody can tell whether the share lies in a volume of another one"
                );
                continue;
            }
        };
        for length in 1..=inner.len() {
            let Ok(place) = inner[..length].join("/").parse::<SubPath>() else { break };
            if is_volume(&store, &place).await? {
                let volume = outer.at(place.as_str());
                return Err(OperationError::ShareInVolume { location: site.location(), volume });
            }
        }
        if let Ok(inner) = inner.join("/").parse() {
            around.push(Outer { store, inner });
        }
    }
    Ok(around)
}

/// Whether a directory, by the way to it from the server's root, holds the driver's folders, as far as the controller may see.
async fn is_share_at(site: &Site, names: &[&str]) -> Result<bool, OperationError> {
    let found = match site.client().open_dir(names).await {
        Ok(directory) => is_share(site, &directory, |_| true).await,
        Err(error) => Err(error),
    };
    match found {
        Err(error) if is_told(&error) => Ok(false),
        found => found.map_err(|source| OperationError::Storage {
            doing: "open the share",
            location: site.location(),
            source,
        }),
    }
}

/// Whether a directory holds the driver's folders, by what `is_ours` says of whose they are.
pub(crate) async fn is_share(
    site: &Site,
    directory: &FileHandle,
    is_ours: impl Fn(&Attributes) -> bool,
) -> Result<bool, Error> {
    match site.client().entry(directory, ROOT).await {
        Ok(found) => Ok(found.attributes.is_directory() && is_ours(&found.attributes)),
        Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the server has answered, be it that the controller may not look.
fn is_told(error: &Error) -> bool {
    matches!(error, Error::Status { .. } | Error::Symlink { .. } | Error::NotDirectory { .. }) && !error.is_transient()
}

/// Whether a volume is recorded, or is being made, in a place.
async fn is_volume(store: &Store, place: &SubPath) -> Result<bool, OperationError> {
    // Nobody asks for this one: whoever holds the place, it is a volume.
    let nobody: RecordKey = "nobody".parse().unwrap_or_else(|_| unreachable!("a legal key"));
    let default = match store.default_holder(place).await {
        Err(OperationError::NotBelieved { .. }) => None,
        holder => holder?,
    };
    match store.hold(place, &nobody).await {
        Err(OperationError::NotBelieved { .. }) => Ok(default.is_some()),
        hold => Ok(default.is_some() || matches!(hold?.1, Hold::Us(_) | Hold::Begun(_) | Hold::Other(_))),
    }
}
