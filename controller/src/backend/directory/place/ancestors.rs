//! No volume inside another: deleting the outer one would delete the inner one too.

use nfs_client::FileHandle;
use volume::{PlaceKey, RecordKey, SubPath};

use crate::backend::directory::store::{Hold, Share, Store};
use crate::error::{Occupied, OperationError};

/// Refuses a place that lies in another volume's, existing or recorded.
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
    let above: Vec<SubPath> = std::iter::successors(path.parent(), SubPath::parent).collect();
    for (depth, prefix) in above.iter().rev().enumerate() {
        let directory = ancestors.get(depth);
        if directory.is_some_and(|directory| share.is_plain(directory)) {
            continue;
        }
        let hold = store.hold(&PlaceKey::new(prefix), ours).await?;
        let by = match &hold {
            Hold::Other(Occupied::Unfinished(key)) => Some(Occupied::Unfinished(key.clone())),
            Hold::Other(_) | Hold::Us(_) => Some(Occupied::Inside(prefix.to_string())),
            Hold::Nobody | Hold::Abandoned(_) => None,
        };
        let holder = store.default_holder(prefix).await?;
        if let Some(by) = by.or_else(|| holder.map(|_| Occupied::Inside(prefix.to_string()))) {
            return Err(OperationError::Occupied { location: store.site.at(path.as_str()), by });
        }
        // The volume that was begun in an abandoned place may be taken up again: that is looked at each time.
        if let (Some(directory), Hold::Nobody) = (directory, hold) {
            share.remember_plain(directory.clone());
        }
    }
    Ok(())
}
