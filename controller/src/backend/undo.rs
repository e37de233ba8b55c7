//! Taking back what an attempt has made and no repetition will go on from.

use nfs_client::{Compound, NfsStatus};
use volume::PlaceKey;

use super::faults::Step;
use super::folders::Folders;
use super::observe::Site;
use super::place::{Leaf, is_begun, walk};
use super::records::{self, Claim};
use super::share::Share;
use super::wanted::Wanted;

/// Removes directory, record and claim as far as they exist at `site` or `done` made them. The directory goes first: if
/// it holds something, all of it stays. What cannot be removed stays too, and a repetition of the create finds it.
pub(super) async fn undo(share: &Share, folders: &Folders, wanted: &Wanted, site: &Site, done: &[Step]) {
    let made = |step| done.contains(&step);
    if site.complete {
        return;
    }
    if (site.place.is_some() || made(Step::Place)) && !remove_place(share, folders, wanted).await {
        return;
    }
    if site.recorded || made(Step::Record) {
        discard(share, &folders.records, wanted.id.key().as_str()).await;
    }
    if let Some(claim) = wanted.claim().filter(|_| site.claimed || made(Step::Claim)) {
        discard(share, &folders.places, claim.as_str()).await;
    }
}

/// Gives up a place that turned out not to be the volume's: removes the claim and what was begun there.
pub(super) async fn release(share: &Share, folders: &Folders, wanted: &Wanted) {
    let (key, path) = (wanted.id.key(), &wanted.record.path);
    match records::record(share, folders, key).await {
        Ok(record) if record.as_ref().is_none_or(|record| record.path != *path) => {}
        _ => return,
    }
    let custom = wanted.claim();
    let holder = records::claim(share, folders, &PlaceKey::new(path), key).await;
    if !matches!((holder, &custom), (Ok(Claim::Us), Some(_)) | (Ok(Claim::Nobody), None)) {
        return;
    }
    let begun = match walk(share, folders, path).await {
        Ok(walk) => matches!(walk.leaf, Leaf::Directory(_, attributes) if is_begun(&attributes)),
        Err(_) => false,
    };
    let gone = !begun || remove_place(share, folders, wanted).await;
    if let Some(claim) = custom.filter(|_| gone) {
        discard(share, &folders.places, claim.as_str()).await;
    }
}

/// Removes the directory, if it is empty. Whether it is gone.
async fn remove_place(share: &Share, folders: &Folders, wanted: &Wanted) -> bool {
    let path = &wanted.record.path;
    let request = Compound::new().put_handle(&folders.root);
    let parents = path.components().rev().skip(1).collect::<Vec<_>>();
    let request = parents.iter().rev().fold(request, Compound::lookup);
    match share.client().call(request.remove(path.leaf())).await {
        Ok(_) => true,
        Err(error) if error.is_status(NfsStatus::NoEnt) => true,
        Err(error) => {
            tracing::warn!(directory = share.at(path.as_str()), %error, "a directory that was begun stays behind");
            false
        }
    }
}

async fn discard(share: &Share, folder: &nfs_client::FileHandle, name: &str) {
    match share.client().remove(folder, name).await {
        Err(error) if !error.is_status(NfsStatus::NoEnt) => {
            tracing::warn!(share = share.location(), name, %error, "what was begun stays behind");
        }
        _ => {}
    }
}
