//! The entry that tells which share this is.

use std::sync::Arc;

use nfs_client::{Compound, Error, Found as Folder, NfsStatus, ObjectState};
use volume::ShareIdentity;

use super::form::{Form, Text};
use super::layout::{FILE_MODE, IDENTITY, PLACES, RECORDS, RETAINED, ROOT, TRASH};
use super::modes;
use super::registry::{About, Registry};
use super::site::Site;
use crate::error::OperationError;

/// How often a share is given an identity that others take away before it is whole.
const ATTEMPTS: u32 = 8;

/// What the driver's own folder holds beside its folders.
const ABOUT: About = About {
    folder: &[ROOT],
    reading: "read the share's identity in",
    not_one: "holds something that is no identity of a share",
};

/// The entry counts whosever it is: people may have to write it.
fn registry(site: &Arc<Site>, ours: &Folder, form: Form) -> Registry {
    Registry::new(site, ours.handle.clone(), None, form, ABOUT)
}

/// What there is of an identity: one, or an entry that was begun, in this state.
type Found = Option<Result<ShareIdentity, ObjectState>>;

/// The identity of the share, by the entry in `.berth`, and the form of that one, which all others have. None where an earlier
/// release made the folder, which made links alone, or where nothing was made since.
pub(crate) async fn read(site: &Arc<Site>, ours: &Folder) -> Result<(Form, Option<ShareIdentity>), OperationError> {
    let (form, found) = find(site, ours).await?;
    Ok((form, found.and_then(Result::ok)))
}

async fn find(site: &Arc<Site>, ours: &Folder) -> Result<(Form, Found), OperationError> {
    match entry(&registry(site, ours, Form::Link)).await {
        // It is no link.
        Err(OperationError::Untrusted { .. }) => Ok((Form::File, entry(&registry(site, ours, Form::File)).await?)),
        Ok(None) => Ok((kept(site, ours).await?.form.unwrap_or(Form::Link), None)),
        found => Ok((Form::Link, found?)),
    }
}

/// What lies in the driver's folders.
#[derive(Debug, Default)]
struct Kept {
    anything: bool,
    /// The form of what is there: without links among it nothing was ever kept in one.
    form: Option<Form>,
}

/// Tells by the first page of each folder. Where a folder is missing, so are those that are made after it.
async fn kept(site: &Site, ours: &Folder) -> Result<Kept, OperationError> {
    let mut kept = Kept::default();
    for name in [RECORDS, PLACES, RETAINED, TRASH] {
        let listed = async {
            let folder = site.client().lookup(&ours.handle, name).await?;
            site.client().read_dir_page(&folder.handle, None).await
        };
        let page = match listed.await {
            Ok(page) => page,
            Err(error) if error.is_status(NfsStatus::NoEnt) => break,
            Err(error) => return Err(site.failed("look into", format!("{ROOT}/{name}"), error)),
        };
        kept.anything |= !page.entries.is_empty();
        let types = || page.entries.iter().filter_map(|entry| entry.attributes.file_type);
        let has = |form: Form| types().any(|found| found == form.file_type());
        if has(Form::Link) {
            kept.form = Some(Form::Link);
        } else if kept.form.is_none() && has(Form::File) {
            kept.form = Some(Form::File);
        }
    }
    Ok(kept)
}

async fn entry(registry: &Registry) -> Result<Found, OperationError> {
    let Some(entry) = registry.read(IDENTITY).await? else { return Ok(None) };
    let foreign = || registry.foreign(IDENTITY);
    Ok(Some(match &entry.text {
        Text::Whole(text) => Ok(text.parse().map_err(|_| foreign())?),
        Text::Begun => Err(entry.state.ok_or_else(foreign)?),
    }))
}

/// Gives the share an identity, unless it has one by now. Returns the one that it has, and the form of its entry: `form`, or a file
/// where the server makes no links.
pub(crate) async fn give(
    site: &Arc<Site>,
    ours: &Folder,
    mut form: Form,
) -> Result<(Form, ShareIdentity), OperationError> {
    for _ in 0..ATTEMPTS {
        let (drawn, registry) = (ShareIdentity::new(fastrand::u128(..)), registry(site, ours, form));
        let making = registry.create(IDENTITY, &drawn.to_string(), Compound::new().get_attr()).whole();
        match site.client().call_whole(Compound::new().put_handle(&ours.handle).append(making)).await {
            Ok(_) if form == Form::Link => return Ok((form, drawn)),
            Ok(replies) => {
                if let Some(found) = replies.attributes(0).and_then(|made| form.changeable(made)) {
                    // So would every other one be.
                    let _either_way = site.client().remove(&ours.handle, IDENTITY).await;
                    let location = registry.location(IDENTITY);
                    return Err(OperationError::ModesOverruled { location, wanted: FILE_MODE, found });
                }
            }
            Err(error) if form == Form::Link && lacks_links(site, ours, &error).await => {
                let kept = kept(site, ours).await?;
                match find(site, ours).await? {
                    // Another controller was faster, be it that it has made volumes since.
                    (form, Some(Ok(identity))) => return Ok((form, identity)),
                    // A share of links stays one, whatever made its server refuse this one.
                    (_, None) if kept.anything => return Err(unwritten(site, error)),
                    _ => form = Form::File,
                }
                continue;
            }
            // Another controller was faster, or has begun one.
            Err(error) if error.is_status(NfsStatus::Exist) => {}
            Err(error) => return Err(unwritten(site, error)),
        }
        // What is there now counts: somebody may have taken a file of ours for one that nobody goes on with.
        match find(site, ours).await? {
            (form, Some(Ok(identity))) => return Ok((form, identity)),
            (_, Some(Err(begun))) => registry.discard(IDENTITY, begun).await?,
            (_, None) => {}
        }
    }
    Err(OperationError::Contended(site.location()))
}

/// Whether it is links that cannot be made there: each server has its own answer for that, but lets directories be made.
async fn lacks_links(site: &Site, ours: &Folder, error: &Error) -> bool {
    let refused = [NfsStatus::Perm, NfsStatus::NotSupp, NfsStatus::BadType, NfsStatus::Inval];
    let is_refusal = error.status().is_some_and(|status| refused.contains(&status));
    is_refusal && modes::overruled(site, &ours.handle).await.is_ok()
}

fn unwritten(site: &Site, error: Error) -> OperationError {
    site.failed("write the share's identity in", format!("{ROOT}/{IDENTITY}"), error)
}
