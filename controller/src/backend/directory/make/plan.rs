//! What is still to be done of a volume.

use nfs_client::{Compound, FileHandle, SetAttributes};

use super::observe::{Draft, Made, Stage};
use super::wanted::Wanted;
use crate::backend::directory::step::Step;
use crate::backend::directory::steps::{At, Steps};
use crate::backend::directory::store::{BEGUN_MODE, PARENT_MODE, Store};

/// The steps from what there is to the volume.
pub(super) fn steps(store: &Store, wanted: &Wanted, draft: &Draft) -> Steps {
    let (key, path) = (wanted.id.key().as_str(), &wanted.record.path);
    let at = |handle: &FileHandle| At::Handle(handle.clone());
    let mut steps = Steps::default().alone_until(Step::Mode);
    if let Some(Made { handle, state: Some(seen), .. }) = &draft.place {
        // Another controller may have completed it meanwhile, and somebody may use it.
        steps = steps.only_if(Compound::new().put_handle(handle).verify(*seen), Some(Step::Mode));
    }
    if let Some(hold) = draft.key.as_ref().filter(|_| !draft.held) {
        let making = store.places.create(hold.as_str(), key, Compound::new().get_attr());
        steps = steps.enter((Step::Hold, Step::HoldText), store.places.handle(), making);
    }
    if draft.place.is_none() {
        let mut parent = at(&draft.parent);
        for name in &draft.missing {
            let compound = Compound::new().create_dir(name, SetAttributes::mode(PARENT_MODE));
            steps = steps.make(Step::Parents, std::mem::replace(&mut parent, At::Made), compound);
        }
        // Its state is of use where a later request goes on: the server may end this one at any step.
        let compound = Compound::new().create_dir(path.leaf(), SetAttributes::mode(BEGUN_MODE)).get_attr();
        steps = steps.make(Step::Place, parent, compound);
    }
    if !draft.recorded {
        let making = store.records.create(key, &wanted.text, Compound::new());
        steps = steps.enter((Step::Record, Step::RecordText), store.records.handle(), making);
    }
    if draft.stage() != Some(Stage::Complete) {
        let place = || draft.place.as_ref().map_or(At::Made, |place| at(&place.handle));
        // Where the mode cannot be set, the directory stays as it was seen, so that it can be taken back.
        let owner = wanted.owner().filter(|_| draft.place.as_ref().is_none_or(|place| !place.is_owned));
        if let Some(owner) = owner {
            steps = steps.then(Step::Owner, place(), Compound::new().set_attr(owner));
        }
        steps = steps.then(Step::Mode, place(), Compound::new().set_attr(SetAttributes::mode(wanted.mode)).get_attr());
        if owner.is_some() {
            // A directory whose owner was changed is not as it was made any more.
            steps = steps.together();
        }
    }
    // Last of all, whose hold it is by now: another controller may have taken it for abandoned.
    match &draft.key {
        Some(hold) => {
            steps.then(Step::Created, at(store.places.handle()), Compound::new().lookup(hold.as_str()).get_attr())
        }
        None => steps.finally(Step::Created),
    }
}
