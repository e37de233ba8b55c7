//! The controller that looks after the end of volumes: what it knows, and what follows from it; no calls, no clock of its own.
//!
//! It joins what the watch shows with what only we know: that a backing volume is deleted, that we are done with an object.
//! So each volume is deleted once as long as nothing fails.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::delete::{self, VolumeOutcome, VolumeStep};
use super::step::{self, Step};
use crate::kubernetes::api::objects::Volume;
use crate::kubernetes::api::watch::{Change, Kind};
use crate::kubernetes::context::Context;
use crate::kubernetes::places::share_of_handle;
use crate::kubernetes::runner::{Controller, Decision, Lane, News, Store, Verdict};
use crate::operations::Volumes;

/// What a volume in the cluster is to us.
#[derive(Debug)]
struct Known {
    uid: Box<str>,
    /// The backing volume's id, if it is one of our driver's.
    handle: Option<Box<str>>,
    step: Step,
    /// Its backing volume is deleted.
    deleted: bool,
    /// We are done with it.
    gone: bool,
}

/// The controller; an item is the name of a volume.
#[derive(Debug)]
pub(crate) struct Releaser {
    driver: String,
    volumes: Store<Known>,
}

impl Releaser {
    /// Of the volumes of `driver`.
    pub(crate) fn new(driver: &str) -> Self {
        Self { driver: driver.to_owned(), volumes: Store::default() }
    }

    fn note_here(&mut self, name: String, before: Option<Known>) -> Vec<String> {
        let Some(known) = self.volumes.get_mut(&name) else { return Vec::new() };
        if let Some(before) = before.filter(|before| before.uid == known.uid) {
            known.deleted = before.deleted;
            known.gone = before.gone;
        }
        if known.step == Step::Leave { Vec::new() } else { vec![name] }
    }

    /// Other objects that may have waited for one of these to go.
    fn note_gone(&self, gone: &[(String, Known)]) -> Vec<String> {
        let handles: HashSet<&str> = gone.iter().filter_map(|(_, known)| known.handle.as_deref()).collect();
        let waits = |known: &Known| {
            known.step == Step::Delete && known.handle.as_deref().is_some_and(|handle| handles.contains(handle))
        };
        if handles.is_empty() {
            return Vec::new();
        }
        self.volumes.items().iter().filter(|(_, known)| waits(known)).map(|(name, _)| name.clone()).collect()
    }

    /// Another object for the same backing volume that is not to be deleted: people copy an object to use a volume in
    /// two namespaces.
    fn kept_by(&self, name: &str, known: &Known) -> Option<&str> {
        let handle = known.handle.as_ref().filter(|_| known.step == Step::Delete && !known.deleted)?;
        let keeps = |other: &Known| other.handle.as_ref() == Some(handle) && other.step != Step::Delete && !other.gone;
        let mut others = self.volumes.items().iter().filter(|(other, known)| *other != name && keeps(known));
        others.next().map(|(other, _)| other.as_str())
    }

    /// What to do about a volume now.
    fn step(&self, name: &str) -> Option<VolumeStep> {
        let known = self.volumes.get(name)?;
        if known.gone || known.step == Step::Leave {
            return None;
        }
        Some(VolumeStep {
            name: name.to_owned(),
            uid: known.uid.to_string(),
            step: known.step,
            deleted: known.deleted,
            kept_by: self.kept_by(name, known).map(str::to_owned),
        })
    }
}

impl<V: Volumes> Controller<Context<V>> for Releaser {
    const ITEMS: &'static str = "volumes";
    const WORK: &'static str = "work on a volume";
    const INTERESTS: &'static [Kind] = &[Kind::Volume];

    type Step = VolumeStep;
    /// Of the object with this UID.
    type Outcome = (String, VolumeOutcome);

    fn note(&mut self, change: &Change) -> Vec<String> {
        let Change::Volume(event) = change else { return Vec::new() };
        let driver = &self.driver;
        let known = |volume: &Volume| {
            let csi = volume.spec.csi.as_ref().filter(|csi| csi.driver == *driver);
            let handle = csi.map(|csi| csi.volume_handle.as_str().into());
            let step = step::step(volume, driver);
            Some(Known { uid: volume.uid().into(), handle, step, deleted: false, gone: false })
        };
        match self.volumes.follow(event, Volume::name, known) {
            News::Nothing => Vec::new(),
            News::Here(name, before) => self.note_here(name, before),
            News::Gone(gone) => self.note_gone(&gone),
        }
    }

    fn lane(&self, name: &str) -> Lane {
        let share = self.volumes.get(name).and_then(|known| share_of_handle(known.handle.as_ref()?));
        share.map(|(server, _)| server.to_string()).unwrap_or_default().into()
    }

    fn decide(&mut self, name: &str, _now: Instant) -> Decision<VolumeStep> {
        self.step(name).map_or(Decision::Rest(Verdict::Done), Decision::Act)
    }

    async fn act(context: Arc<Context<V>>, work: VolumeStep) -> (String, VolumeOutcome) {
        let outcome = match work.step {
            Step::Delete => delete::delete(&context, &work).await,
            _ => delete::patch_finalizer(&context, &work).await,
        };
        (work.uid, outcome)
    }

    fn panicked(work: &VolumeStep) -> (String, VolumeOutcome) {
        (work.uid.clone(), VolumeOutcome::Failed { deleted: work.deleted })
    }

    fn settle(&mut self, name: &str, (uid, outcome): (String, VolumeOutcome), _now: Instant) -> Verdict {
        let known = self.volumes.get_mut(name).filter(|known| *known.uid == *uid);
        match (outcome, known) {
            (VolumeOutcome::Nothing, _) | (VolumeOutcome::Gone | VolumeOutcome::Changed(_), None) => Verdict::Done,
            (VolumeOutcome::Gone, Some(known)) => {
                known.gone = true;
                Verdict::Done
            }
            (VolumeOutcome::Changed(volume), Some(known)) => {
                known.step = step::step(&volume, &self.driver);
                if known.step == Step::Leave { Verdict::Done } else { Verdict::Retry }
            }
            (VolumeOutcome::Failed { deleted }, known) => {
                if let Some(known) = known {
                    known.deleted |= deleted;
                }
                Verdict::Retry
            }
        }
    }
}

#[cfg(test)]
#[path = "releaser_tests.rs"]
mod tests;
