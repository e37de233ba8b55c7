//! Moving what lies too deep in a tree of the trash to a higher directory.

use std::sync::Arc;

use nfs_client::{Client, Error, NfsStatus};

use super::inside::{Inside, Trouble, is_refusal};
use super::work::{Directory, Emptied, failed, of_one};
use crate::backend::directory::store::{Share, Store, unique_tree};
use crate::error::OperationError;

/// What became of a directory that lay too deep.
pub(super) enum Hoisted {
    /// It lies at the top of the trash now, and is found there.
    ToTheTop,
    /// It lies higher in its tree, and is found there; or it was gone.
    Elsewhere,
    /// The server does not let it be moved.
    Stuck(String),
}

/// Moves a directory that lies too deep to the top of the trash, or, where that is refused, to the first of `above` that its
/// owner may write to: nobody but the controller may write to the trash itself.
pub(super) async fn hoist(
    share: &Share,
    store: &Store,
    directory: &Directory,
    above: &[Arc<Inside>],
) -> Result<Hoisted, OperationError> {
    let name = unique_tree();
    let from = (&directory.parent.handle, &directory.name);
    let moved = share.site().client().rename(from, (&store.trash, &name)).await;
    let error = match moved {
        Ok(()) => return Ok(Hoisted::ToTheTop),
        Err(error) if is_refusal(&error) => error,
        // Nothing can be moved from there to the trash.
        Err(error) if error.is_status(NfsStatus::XDev) => {
            return match rename_within(share.site().client(), share, directory, above, &name).await {
                Ok(true) => Ok(Hoisted::Elsewhere),
                Ok(false) => not_hoisted(share, directory, error),
                Err(trouble) => not_moved(trouble),
            };
        }
        Err(error) => return not_hoisted(share, directory, error),
    };
    match hoist_within(share, directory, above, &name).await {
        Ok(true) => Ok(Hoisted::Elsewhere),
        Ok(false) => not_hoisted(share, directory, error),
        Err(trouble) => not_moved(trouble),
    }
}

/// Moves a directory higher within its tree, for the owner of the one that it lies in. Whether it was.
async fn hoist_within(
    share: &Share,
    directory: &Directory,
    above: &[Arc<Inside>],
    name: &str,
) -> Result<bool, Trouble> {
    // Who moves a directory writes to it, because its entry for the one above changes.
    for needed in [&directory.parent, &directory.inside] {
        let speaker = needed.speaker();
        if !speaker.is_owner {
            needed.open(share, &speaker, NfsStatus::Access).await?;
        }
    }
    rename_within(&directory.parent.speaker().client, share, directory, above, name).await
}

/// Moves a directory to the first of those above it to which this client may write. Whether there was one.
async fn rename_within(
    client: &Client,
    share: &Share,
    directory: &Directory,
    above: &[Arc<Inside>],
    name: &str,
) -> Result<bool, Trouble> {
    let from = (&directory.parent.handle, &directory.name);
    for to in above {
        match client.rename(from, (&to.handle, name)).await {
            Ok(()) => return Ok(true),
            Err(error) if is_refusal(&error) => {}
            Err(error) => {
                return Err(failed(share, "move to a higher directory", directory.path(), error).into());
            }
        }
    }
    Ok(false)
}

fn not_hoisted(share: &Share, directory: &Directory, error: Error) -> Result<Hoisted, OperationError> {
    not_moved(failed(share, "move to the top of the trash", directory.path(), error).into())
}

fn not_moved(trouble: Trouble) -> Result<Hoisted, OperationError> {
    match of_one(trouble)? {
        Emptied::Stuck(reason) => Ok(Hoisted::Stuck(reason)),
        // It was there a moment ago, so the next pass finds it where it is now.
        _ => Ok(Hoisted::Elsewhere),
    }
}
