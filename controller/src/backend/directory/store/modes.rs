//! Folders of the driver on servers that may not let the driver say who may use them.
//!
//! Where an access control list is inherited, or the file system has no modes, a directory can come out with another mode than was
//! asked for, and SETATTR of the mode can be refused, or succeed and change nothing.

use nfs_client::{Compound, Error, FileHandle, Found, NfsStatus, OpCode, SetAttributes};

use super::layout::{FOLDER_MODE, unique_tree};
use super::site::Site;

/// Whether the server lets nobody set a mode.
pub(crate) fn refuses_mode(status: NfsStatus) -> bool {
    status.is_refusal() || matches!(status, NfsStatus::NotSupp | NfsStatus::AttrNotSupp | NfsStatus::Inval)
}

/// The folder of this name, made if there is none, with the mode of the driver's folders as far as the server keeps it.
pub(crate) async fn ensure(site: &Site, parent: &FileHandle, name: &str) -> Result<Found, Error> {
    match site.client().ensure_dir(parent, name, FOLDER_MODE).await {
        Err(error) if is_about_mode(&error) => make(site, parent, name).await,
        result => result,
    }
}

fn is_about_mode(error: &Error) -> bool {
    matches!(error.failed_op(), Some((_, OpCode::SetAttr))) && error.status().is_some_and(refuses_mode)
}

/// Makes the folder with the mode that the server gives it.
async fn make(site: &Site, parent: &FileHandle, name: &str) -> Result<Found, Error> {
    let request = Compound::new().put_handle(parent).create_dir(name, SetAttributes::mode(FOLDER_MODE));
    match site.client().call(request).await {
        Err(error) if !error.is_status(NfsStatus::Exist) => Err(error),
        _ => site.client().lookup(parent, name).await,
    }
}

/// The mode with which the server makes a folder in another, where that is not the one that was asked for: one is made and
/// removed, so that what is there already stays as it is.
pub(crate) async fn overruled(site: &Site, parent: &FileHandle) -> Result<Option<u32>, Error> {
    let name = unique_tree();
    let made = ensure(site, parent, &name).await?;
    site.client().remove(parent, &name).await?;
    Ok(made.attributes.mode.filter(|mode| *mode != FOLDER_MODE))
}
