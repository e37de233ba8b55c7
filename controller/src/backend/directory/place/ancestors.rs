//! No volume inside another, on the same share or on one that lies in it: deleting the outer one would delete the inner one too.

use futures::future::try_join;
use nfs_client::FileHandle;
use volume::{RecordKey, SubPath};

use crate::backend::directory::store::{Hold, Outer, Share, Store, is_share};
use crate::error::{Occupied, OperationError};

/// Refuses a place that lies in another volume's, existing or recorded, be it one of a share around this one, or in a share, which
/// keeps records of its own.
///
/// No round trip where the directories on the way are known; they are remembered, because a directory that is no volume
/// never becomes one.
///
/// `ancestors` are the directories on the way to the place that exist, outermost first; `ours` is the volume's record.
pub(crate) async fn check(
    share: &Share,
    store: &Store,
    (path, ours): (&SubPath, &RecordKey),
    ancestors: &[FileHandle],
) -> Result<(), OperationError> {
    let around = share.around().await;
    for outer in around.iter() {
        refuse_volume_at(outer, path, store, path).await?;
    }
    let above: Vec<SubPath> = std::iter::successors(path.parent(), SubPath::parent).collect();
    for (depth, prefix) in above.iter().rev().enumerate() {
        let directory = ancestors.get(depth);
        if directory.is_some_and(|directory| share.plain().contains(directory)) {
            continue;
        }
        let site = &store.site;
        let is_share = async {
            let Some(directory) = directory else { return Ok(false) };
            is_share(site, directory, |found| store.records.is_ours(found))
                .await
                .map_err(|error| site.failed("look into", prefix.as_str(), error))
        };
        let ((_, hold), is_share) = try_join(store.hold(prefix, ours), is_share).await?;
        let by = match &hold {
            _ if is_share => Some(Occupied::Share(prefix.to_string())),
            Hold::Other(Occupied::Unfinished(key)) => Some(Occupied::Unfinished(key.clone())),
            Hold::Begun(_) => Some(Occupied::Begun),
            Hold::Other(_) | Hold::Us(_) => Some(Occupied::Inside(prefix.to_string())),
            Hold::Nobody | Hold::Abandoned(_) => None,
        };
        let holder = store.default_holder(prefix).await?;
        if let Some(by) = by.or_else(|| holder.map(|_| Occupied::Inside(prefix.to_string()))) {
            return Err(OperationError::Occupied { location: store.site.at(path.as_str()), by });
        }
        for outer in around.iter() {
            refuse_volume_at(outer, prefix, store, path).await?;
        }
        // The volume that was begun in an abandoned place may be taken up again: that is looked at each time.
        if let (Some(directory), Hold::Nobody) = (directory, hold) {
            share.plain().insert(directory.clone());
        }
    }
    Ok(())
}

/// Refuses the place `path` where a share around this one has a volume at `prefix`, be it that its directory is missing.
async fn refuse_volume_at(
    outer: &Outer,
    prefix: &SubPath,
    store: &Store,
    path: &SubPath,
) -> Result<(), OperationError> {
    match outer.volume_at(prefix).await? {
        Some(volume) => {
            let (location, by) = (store.site.at(path.as_str()), Occupied::Inside(volume));
            Err(OperationError::Occupied { location, by })
        }
        None => Ok(()),
    }
}
