//! No volume inside another: deleting the outer one would delete the inner one too.

use volume::{PlaceKey, SubPath};

use super::folders::Folders;
use super::observe::Site;
use super::records::{self, Claim};
use super::share::Share;
use super::wanted::Wanted;
use crate::error::{Occupied, OperationError};

/// Refuses a place that lies in another volume's, existing or recorded.
///
/// No round trip where the directories on the way are known; they are remembered, because a directory that is no volume
/// never becomes one.
pub(super) async fn check(
    share: &Share,
    folders: &Folders,
    wanted: &Wanted,
    site: &Site,
) -> Result<(), OperationError> {
    let above: Vec<SubPath> = std::iter::successors(wanted.record.path.parent(), SubPath::parent).collect();
    for (depth, prefix) in above.iter().rev().enumerate() {
        let directory = site.ancestors.get(depth);
        if directory.is_some_and(|directory| share.is_plain(directory)) {
            continue;
        }
        let claim = records::claim(share, folders, &PlaceKey::new(prefix), wanted.id.key()).await?;
        let by = match &claim {
            Claim::Other(Occupied::Unfinished(key)) => Some(Occupied::Unfinished(key.clone())),
            Claim::Other(_) | Claim::Us(_) => Some(Occupied::Inside(prefix.to_string())),
            Claim::Nobody | Claim::Abandoned(_) => None,
        };
        let holder = records::default_holder(share, folders, prefix).await?;
        if let Some(by) = by.or_else(|| holder.map(|_| Occupied::Inside(prefix.to_string()))) {
            return Err(OperationError::Occupied { location: share.at(wanted.record.path.as_str()), by });
        }
        // The volume that was begun in an abandoned place may be taken up again: that is looked at each time.
        if let (Some(directory), Claim::Nobody) = (directory, claim) {
            share.remember_plain(directory.clone());
        }
    }
    Ok(())
}
