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
    /// A handle led nowhere: what is left may be other than what was seen.
    pub(super) lost: bool,
}

/// Empties the trash of a share as long as the share is in use: now, whenever something is put into it, and every few
/// minutes.
pub(crate) fn spawn(share: &Arc<Share>) {
    let trashed = share.trashed();
    let share = Arc::downgrade(share);
    tokio::spawn(async move {
        let mut failures = 0;
        loop {
            let Some(left) = pass(&share).await else { return };
            failures = if left { failures + 1 } else { 0 };
            let pause = pause_after(failures);
            let ring = async {
                trashed.notified().await;
                tokio::time::sleep(GATHER).await;
            };
            let _either = tokio::time::timeout(pause, ring).await;
        }
    });
}

/// How long nothing is done after so many failures in a row, unless something rings.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => PERIOD,
        Some(doubled) => RETRY.saturating_mul(2u32.saturating_pow(doubled)).min(PERIOD),
    }
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
        Ok(Pass { removed, left, reason, .. }) => {
            let reason = reason.unwrap_or_else(|| "it changes while it is emptied".to_owned());
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
            // The server has other handles now: look at what is left.
            Err(error) if error.is_lost_handle() && attempt < ATTEMPTS => share.forget(&folders).await,
            // If the server has other handles, that of the trash is lost too.
            Ok(pass) if pass.lost && attempt < ATTEMPTS => {}
            result => return result,
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_period_and_stay_there() {
        assert_eq!([1, 2, 3].map(|failures| pause_after(failures).as_millis()), [500, 1000, 2000]);
        for rest in [0, 11, 12, 100, u32::MAX] {
            assert_eq!(pause_after(rest), PERIOD, "{rest} failures");
        }
    }
}
