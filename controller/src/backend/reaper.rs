//! Removing what was moved to the trash of a share, in the background.
//!
//! The trash is the only state: whatever is in it is removed, whoever put it there and whenever, so a crash costs
//! nothing. Symbolic links are removed and never followed, and no other file system of the server is entered.

mod forest;
mod work;

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::share::Share;
use crate::error::OperationError;

/// The trash of a share in use is looked at so often, even if nothing rang.
const PERIOD: Duration = Duration::from_mins(5);

/// First pause after a pass that left something; it doubles with each further one, up to [`PERIOD`].
const RETRY: Duration = Duration::from_millis(500);

/// How often a pass starts over because a handle leads nowhere any more.
const ATTEMPTS: u32 = 4;

/// Volumes that are deleted together are removed together, and those deletes go first.
const GATHER: Duration = Duration::from_millis(200);

/// What one pass through the trash has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Trees that are gone.
    pub(super) removed: usize,
    /// Trees that could not be removed.
    pub(super) left: usize,
    /// One reason for the latter: path in the trash, and what the server said.
    pub(super) reason: Option<String>,
}

/// Empties the trash of a share as long as the share is in use: now, whenever something is put into it, and every few
/// minutes.
pub(crate) fn spawn(share: &Arc<Share>) {
    let trashed = share.trashed();
    let share = Arc::downgrade(share);
    tokio::spawn(async move {
        let mut pause = PERIOD;
        loop {
            let Some(left) = pass(&share).await else { return };
            pause = match left {
                false => PERIOD,
                true if pause >= PERIOD => RETRY,
                true => (pause * 2).min(PERIOD),
            };
            // A failed pass is not repeated at once because something else was put into the trash.
            let ring = async {
                if left {
                    std::future::pending::<()>().await;
                }
                trashed.notified().await;
                tokio::time::sleep(GATHER).await;
            };
            let _either = tokio::time::timeout(pause, ring).await;
        }
    });
}

/// One pass; whether it has to be repeated. `None` if nobody uses the share any more.
async fn pass(share: &Weak<Share>) -> Option<bool> {
    let share = share.upgrade()?;
    let (location, began) = (share.location(), std::time::Instant::now());
    match empty(&share).await {
        Ok(Pass { removed: 0, left: 0, .. }) => Some(false),
        Ok(Pass { removed, left: 0, .. }) => {
            tracing::info!(share = location, trees = removed, took = ?began.elapsed(), "emptied the trash");
            Some(false)
        }
        Ok(Pass { removed, left, reason }) => {
            let reason = reason.unwrap_or_default();
            tracing::warn!(share = location, trees = removed, left, reason, "cannot empty the trash");
            Some(true)
        }
        Err(error) => {
            tracing::warn!(share = location, error = error.message(), "cannot empty the trash");
            Some(true)
        }
    }
}

/// Removes what is in the trash now.
async fn empty(share: &Share) -> Result<Pass, OperationError> {
    let mut attempt = 1;
    loop {
        let Some(folders) = share.existing_folders().await? else { return Ok(Pass::default()) };
        match forest::clear(share, &folders).await {
            // The server has other handles now, or another replica removes the same trees: look at what is left.
            Err(error) if error.is_lost_handle() && attempt < ATTEMPTS => share.forget(&folders).await,
            result => return result,
        }
        attempt += 1;
    }
}
