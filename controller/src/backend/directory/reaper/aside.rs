//! Trees that could not be moved to the trash, and are emptied where they were put aside.

use super::inside::Inside;
use super::work::Directory;
use crate::backend::directory::place::{Leaf, walk};
use crate::backend::directory::store::{Note, Store};
use crate::error::OperationError;

/// What becomes of a link in the trash.
pub(super) enum Link {
    /// It is removed: it names nothing, or nothing that is there.
    Removed,
    /// It goes after the directory that it names.
    After(Directory),
    /// Nothing is there yet: whoever made the link may be about to put something there.
    Waits,
}

/// Follows a link in the trash, if it is one of ours about a directory that was put aside.
pub(super) async fn follow(store: &Store, name: &[u8]) -> Result<Link, OperationError> {
    let (path, written) = match store.note(name).await? {
        Note::Nothing => return Ok(Link::Removed),
        Note::Begun { written } => return Ok(waits(store, written).await),
        Note::Aside { path, written } => (path, written),
    };
    match walk(store, &path).await {
        Ok(found) => match found.leaf {
            Leaf::Directory(handle, _) => {
                let parent = path.parent().map_or_else(String::new, |parent| format!("/{parent}"));
                // As seen from the trash, so that messages name it.
                let parent = Inside::beside_trash(store, format!("../..{parent}"), found.parent);
                Ok(Link::After(Directory::new(&parent, path.leaf().as_bytes().to_vec(), handle)))
            }
            Leaf::Free => Ok(waits(store, written).await),
            Leaf::Other(_) => Ok(Link::Removed),
        },
        // Somebody has put something else in the way: what was there is his business.
        Err(OperationError::Occupied { .. }) => Ok(Link::Removed),
        Err(error) => Err(error),
    }
}

/// Whether whoever has written a note may still be at work.
async fn waits(store: &Store, written: Option<i64>) -> Link {
    match written {
        Some(written) if !store.is_given_up(written).await => Link::Waits,
        _ => Link::Removed,
    }
}
