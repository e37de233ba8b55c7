//! Two compounds of which the second is executed only after the first.

use nfs_client::{Compound, Error, Replies};

use super::site::Site;

/// Sends both in one request if the server takes it, in two otherwise. Returns the results of the first, as far as it got,
/// and what ended either.
pub(crate) async fn call_both(site: &Site, first: Compound, second: Compound) -> (Replies, Option<Error>) {
    let client = site.client();
    let whole = first.clone().append(second.clone());
    let split = match client.limits().await {
        Ok(limits) => !first.is_empty() && !second.is_empty() && !limits.admits(&whole),
        Err(error) => return (Replies::default(), Some(error)),
    };
    match client.call_whole(if split { first } else { whole }).await {
        Ok(replies) if split => (replies, client.call(second).await.err()),
        Ok(replies) => (replies, None),
        Err(error) => (error.completed().cloned().unwrap_or_default(), Some(error)),
    }
}
