//! Walking to a volume's place, component by component, without ever following a symbolic link.

use nfs_client::{Attributes, Compound, Error, FileHandle, NfsStatus, OpCode, Replies};
use volume::SubPath;

use crate::backend::directory::store::{PERMISSIONS, Site, Store};
use crate::error::{Occupied, OperationError};

/// What is in a place.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// Nothing.
    Free,
    /// A directory.
    Directory(FileHandle, Box<Attributes>),
    /// Something else.
    Other(Occupied),
}

/// A place, as far as it exists.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The deepest directory on the way that exists; with nothing missing, the one that holds the place.
    pub(crate) parent: FileHandle,
    /// The directories on the way that exist, outermost first, without the share itself.
    pub(crate) ancestors: Vec<FileHandle>,
    /// Names of the directories on the way that do not exist.
    pub(crate) missing: Vec<String>,
    /// What is there.
    pub(crate) leaf: Leaf,
}

/// Looks what is in a place. One round trip, or as many as the server's limit of operations demands.
pub(crate) async fn walk(store: &Store, path: &SubPath) -> Result<Walk, OperationError> {
    let site = &*store.site;
    let names: Vec<&str> = path.components().collect();
    let refused = |error| site.failed("look up", path.as_str(), error);
    let mut found: Vec<FileHandle> = Vec::new();
    let leaf = loop {
        let limits = site.client().limits().await.map_err(refused)?;
        let (from, left) = (found.last().unwrap_or(&store.root), &names[found.len()..]);
        let request = |count: usize| {
            let request = Compound::new().put_handle(from);
            left[..count].iter().fold(request, |request, name| request.lookup(name).get_handle()).get_attr()
        };
        let count = (1..=left.len()).rev().find(|count| limits.admits(&request(*count))).unwrap_or(1);
        let (replies, error) = match site.client().call(request(count)).await {
            Ok(replies) => (replies, None),
            Err(error) => (error.completed().cloned().unwrap_or_default(), Some(error)),
        };
        found.extend((0..count).map_while(|nth| replies.handle(nth).cloned()));
        match error {
            None if names.len() == found.len() => {
                let handle = found.pop();
                break leaf(handle, &replies).ok_or_else(|| incomplete(site, path))?;
            }
            // A server that leaves handles out would be asked for ever.
            None if left.len() - count != names.len() - found.len() => return Err(incomplete(site, path)),
            None => {}
            Some(error) => {
                let Some((_, OpCode::Lookup)) = error.failed_op() else { return Err(refused(error)) };
                misled(site, &names, found.len(), error)?;
                break Leaf::Free;
            }
        }
    };
    let missing = names[found.len()..names.len() - 1].iter().map(|&name| name.to_owned()).collect();
    Ok(Walk { parent: found.last().unwrap_or(&store.root).clone(), ancestors: found, missing, leaf })
}

/// Whether the directory has the mark of one that was begun and not completed.
pub(crate) fn is_begun(attributes: &Attributes) -> bool {
    attributes.mode.is_some_and(|mode| mode & PERMISSIONS == 0)
}

fn leaf(handle: Option<FileHandle>, replies: &Replies) -> Option<Leaf> {
    let (handle, attributes) = (handle?, replies.attributes(0)?.clone());
    Some(if attributes.is_directory() {
        Leaf::Directory(handle, Box::new(attributes))
    } else if attributes.is_symlink() {
        Leaf::Other(Occupied::Symlink)
    } else {
        Leaf::Other(Occupied::Other)
    })
}

/// Nothing of that name is what a walk hopes for; every other failure of a LOOKUP is an error.
fn misled(site: &Site, names: &[&str], found: usize, error: Error) -> Result<(), OperationError> {
    let by = match error.status() {
        Some(NfsStatus::NoEnt) => return Ok(()),
        Some(NfsStatus::Symlink) => Occupied::Symlink,
        Some(NfsStatus::NotDir) => Occupied::Other,
        _ => return Err(site.failed("look up", names[..=found].join("/"), error)),
    };
    Err(OperationError::Occupied { location: site.at(names[..found].join("/")), by })
}

fn incomplete(site: &Site, path: &SubPath) -> OperationError {
    let error = Error::Protocol {
        server: site.server().to_string().into(),
        detail: "a reply lacks the result of GETATTR".to_owned(),
    };
    site.failed("look up", path.as_str(), error)
}
