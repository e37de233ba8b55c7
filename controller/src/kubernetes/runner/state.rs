//! What the provisioner knows, and what follows from it: no calls, no clock of its own.
//!
//! It joins what the watches show with what only we know: that a volume may be in the making for a claim (even one that
//! is gone), that a volume exists whose object is not saved, that a claim is infeasible, that a backing volume is deleted.
//! Together they make each volume created once and deleted once as long as nothing fails: what we finished is remembered
//! until a watch shows it.

#[path = "places.rs"]
mod places;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ::volume::{Server, SharePath};
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use self::places::{share_of_class, share_of_volume};
use super::queue::Verdict;
use super::store::Store;
use crate::kubernetes::api::objects::{Claim, Class, Volume};
use crate::kubernetes::api::watch::Change;
use crate::kubernetes::config::Config;
use crate::kubernetes::provision::attempt::{Attempt, ClaimOutcome, Finality, Unsaved, is_our_class};
use crate::kubernetes::provision::claim::{self, ClaimError};
use crate::kubernetes::provision::request::volume_name;
use crate::kubernetes::release::delete::{self, Step, VolumeOutcome};

/// What a volume in the cluster is to us.
#[derive(Debug)]
struct Known {
    uid: Box<str>,
    /// The backing volume's id, if it is one of our driver's.
    handle: Option<Box<str>>,
    step: Step,
    /// We saved it and no watch has shown it yet.
    unseen: bool,
    /// Its backing volume is deleted.
    deleted: bool,
    /// We are done with it.
    gone: bool,
}

/// What we know of a claim and nobody else does.
#[derive(Debug)]
enum Progress {
    /// A volume may be in the making by each of these classes: one, unless the class was replaced meanwhile. The one that
    /// was attempted last comes last.
    InBackground(Vec<Attempt>),
    /// A volume exists; its object is not saved.
    Unsaved(Unsaved),
    /// No call until then, as long as the class is this one.
    Infeasible { class_uid: String, until: Instant },
}

/// Work on a claim.
#[derive(Debug)]
pub(crate) enum ClaimStep {
    Nothing,
    Wait(Instant),
    Refuse(ClaimError),
    Provision(Attempt),
    Save(Unsaved),
}

/// Work on a volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumeStep {
    pub(crate) step: Step,
    pub(crate) uid: String,
    /// For [`Step::Delete`]: whether the backing volume is deleted already.
    pub(crate) deleted: bool,
    /// For [`Step::Delete`]: another object that stands for the same backing volume, and is to stay.
    pub(crate) kept_by: Option<String>,
}

/// Items that need a look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// UID of a claim.
    Claim(String),
    /// Name of a volume.
    Volume(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    /// By UID: claims that are delegated to us and have no volume yet.
    claims: Store<Arc<Claim>>,
    classes: Store<Arc<Class>>,
    volumes: Store<Known>,
    /// By UID of the claim.
    progress: HashMap<String, Progress>,
    /// Shares that our classes and volumes have named.
    shares: HashSet<(Server, SharePath)>,
    /// Those of them that [`State::take_new_shares`] has not told yet.
    new_shares: Vec<(Server, SharePath)>,
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            claims: Store::default(),
            classes: Store::default(),
            volumes: Store::default(),
            progress: HashMap::new(),
            shares: HashSet::new(),
            new_shares: Vec::new(),
        }
    }

    /// Whether every watch has shown everything once: before that, nothing may be decided.
    pub(crate) fn is_complete(&self) -> bool {
        self.claims.is_complete() && self.classes.is_complete() && self.volumes.is_complete()
    }

    /// Notes news of a watch; returns what needs a look because of it.
    pub(crate) fn apply(&mut self, change: Change) -> Vec<Key> {
        match change {
            Change::Claim(event) => self.apply_claim(event),
            Change::Class(event) => self.apply_class(event),
            Change::Volume(event) => self.apply_volume(event),
        }
    }

    /// Shares with volumes of ours that were not told before.
    pub(crate) fn take_new_shares(&mut self) -> Vec<(Server, SharePath)> {
        std::mem::take(&mut self.new_shares)
    }

    fn note_share(&mut self, share: (Server, SharePath)) {
        if self.shares.insert(share.clone()) {
            self.new_shares.push(share);
        }
    }

    fn apply_claim(&mut self, event: Event<Claim>) -> Vec<Key> {
        match event {
            Event::Init => self.claims.begin(),
            Event::InitDone => {
                let gone = self.claims.end(|_| false);
                return gone.into_iter().filter(|uid| self.progress.contains_key(uid)).map(Key::Claim).collect();
            }
            Event::InitApply(claim) | Event::Apply(claim) => {
                let uid = claim.uid().to_owned();
                if !claim::has_volume(&claim) && claim::is_delegated(&claim, &self.config.driver_name) {
                    self.claims.put(uid.clone(), Arc::new(claim));
                    return vec![Key::Claim(uid)];
                }
                return self.forget_claim(uid);
            }
            Event::Delete(claim) => return self.forget_claim(claim.uid().to_owned()),
        }
        Vec::new()
    }

    /// A claim is gone or needs no volume any more. What may be in the making for it still needs us.
    fn forget_claim(&mut self, uid: String) -> Vec<Key> {
        self.claims.remove(&uid);
        if self.progress.contains_key(&uid) { vec![Key::Claim(uid)] } else { Vec::new() }
    }

    fn apply_class(&mut self, event: Event<Class>) -> Vec<Key> {
        match event {
            Event::Init => self.classes.begin(),
            Event::InitDone => {
                self.classes.end(|_| false);
            }
            Event::InitApply(class) | Event::Apply(class) => {
                let name = class.name().to_owned();
                if is_our_class(&class, &self.config.driver_name)
                    && let Some(share) = share_of_class(&class)
                {
                    self.note_share(share);
                }
                let before = self.classes.put(name.clone(), Arc::new(class));
                let after = self.classes.get(&name);
                // A class that was missing or is another one now: its claims need not wait for their next turn.
                if before.as_deref().map(Class::uid) != after.map(|class| class.uid()) {
                    let of_class = |claim: &Claim| claim::class_name(claim) == name;
                    let claims = self.claims.items().iter().filter(|(_, claim)| of_class(claim));
                    return claims.map(|(uid, _)| Key::Claim(uid.clone())).collect();
                }
            }
            Event::Delete(class) => {
                self.classes.remove(class.name());
            }
        }
        Vec::new()
    }

    fn apply_volume(&mut self, event: Event<Volume>) -> Vec<Key> {
        match event {
            Event::Init => self.volumes.begin(),
            Event::InitDone => {
                // One that we saved while the list was on its way is not in it.
                self.volumes.end(|known| std::mem::take(&mut known.unseen));
            }
            Event::InitApply(volume) | Event::Apply(volume) => return self.note_volume(&volume),
            Event::Delete(volume) => {
                let gone = self.volumes.remove(volume.name());
                // Another object may have waited for that.
                let Some(handle) = gone.and_then(|known| known.handle) else { return Vec::new() };
                let waits = |known: &Known| known.step == Step::Delete && known.handle.as_ref() == Some(&handle);
                let others = self.volumes.items().iter().filter(|(_, known)| waits(known));
                return others.map(|(name, _)| Key::Volume(name.clone())).collect();
            }
        }
        Vec::new()
    }

    fn note_volume(&mut self, volume: &Volume) -> Vec<Key> {
        let step = delete::step(volume, &self.config.driver_name);
        let csi = volume.spec.csi.as_ref().filter(|csi| csi.driver == self.config.driver_name);
        let handle = csi.map(|csi| csi.volume_handle.as_str().into());
        let known = Known { uid: volume.uid().into(), handle, step, unseen: false, deleted: false, gone: false };
        let name = volume.name().to_owned();
        if delete::is_ours(volume, &self.config.driver_name)
            && let Some(share) = share_of_volume(volume)
        {
            self.note_share(share);
        }
        let before = self.volumes.put(name.clone(), known);
        if let (Some(before), Some(known)) = (before, self.volumes.get_mut(&name))
            && before.uid == known.uid
        {
            known.deleted = before.deleted;
            known.gone = before.gone;
        }
        if step == Step::Leave { Vec::new() } else { vec![Key::Volume(name)] }
    }

    /// The claim with this UID, if it is there and ours to provision.
    pub(crate) fn claim(&self, uid: &str) -> Option<&Claim> {
        self.claims.get(uid).map(Arc::as_ref)
    }

    /// What to do about a claim now.
    pub(crate) fn claim_step(&mut self, uid: &str, now: Instant) -> ClaimStep {
        match self.progress.remove(uid) {
            Some(Progress::Unsaved(unsaved)) => return ClaimStep::Save(unsaved),
            Some(Progress::Infeasible { class_uid, until }) if now < until && self.is_class(uid, &class_uid) => {
                self.progress.insert(uid.to_owned(), Progress::Infeasible { class_uid, until });
                return ClaimStep::Wait(until);
            }
            // Kept until an outcome says otherwise.
            Some(background @ Progress::InBackground(_)) => {
                self.progress.insert(uid.to_owned(), background);
            }
            Some(Progress::Infeasible { .. }) | None => {}
        }
        let attempt = match self.attempt(uid) {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return ClaimStep::Nothing,
            Err(error) => return ClaimStep::Refuse(error),
        };
        if self.volumes.get(&volume_name(uid)).is_some() {
            self.progress.remove(uid);
            return ClaimStep::Nothing;
        }
        if !is_our_class(&attempt.class, &self.config.driver_name) {
            return ClaimStep::Nothing;
        }
        ClaimStep::Provision(attempt)
    }

    /// Whether the claim is there and its class is the one with this UID.
    fn is_class(&self, uid: &str, class_uid: &str) -> bool {
        let class = self.claims.get(uid).and_then(|claim| self.classes.get(claim::class_name(claim)));
        class.is_some_and(|class| class.uid() == class_uid)
    }

    /// By what to provision: the claim and its class as they are now, or, when the claim is gone and a volume may be in
    /// the making for it, as they were then.
    fn attempt(&self, uid: &str) -> Result<Option<Attempt>, ClaimError> {
        let Some(claim) = self.claims.get(uid) else {
            return Ok(match self.progress.get(uid) {
                Some(Progress::InBackground(attempts)) => attempts.first().cloned(),
                _ => None,
            });
        };
        let class = claim::should_provision(claim, &self.config.driver_name, self.classes.items())?;
        Ok(class.map(|class| Attempt { claim: Arc::clone(claim), class: Arc::clone(class) }))
    }

    /// Notes what came of the work on a claim.
    pub(crate) fn claim_done(&mut self, uid: &str, outcome: ClaimOutcome, now: Instant) -> Verdict {
        match outcome {
            ClaimOutcome::Saved { name, uid: volume_uid } => {
                self.progress.remove(uid);
                let known = Known {
                    uid: volume_uid.into(),
                    handle: None,
                    step: Step::Leave,
                    unseen: true,
                    deleted: false,
                    gone: false,
                };
                self.volumes.put_unseen(name, known);
                Verdict::Done
            }
            ClaimOutcome::Unsaved(unsaved) => {
                self.progress.insert(uid.to_owned(), Progress::Unsaved(unsaved));
                Verdict::Retry
            }
            ClaimOutcome::NoChange => Verdict::Retry,
            ClaimOutcome::Stopped => {
                self.progress.remove(uid);
                Verdict::Done
            }
            ClaimOutcome::Failed(attempt, Finality::InBackground) => {
                let mut attempts = self.by_other_classes(uid, &attempt);
                attempts.push(attempt);
                self.progress.insert(uid.to_owned(), Progress::InBackground(attempts));
                Verdict::Retry
            }
            ClaimOutcome::Failed(attempt, finality) => {
                let others = self.by_other_classes(uid, &attempt);
                if !others.is_empty() {
                    self.progress.insert(uid.to_owned(), Progress::InBackground(others));
                    return Verdict::Retry;
                }
                if finality != Finality::Infeasible {
                    return Verdict::Retry;
                }
                let until = now + self.config.retry_interval_max;
                let class_uid = attempt.class.uid().to_owned();
                self.progress.insert(uid.to_owned(), Progress::Infeasible { class_uid, until });
                Verdict::At(until)
            }
        }
    }

    /// Takes the attempts out that other classes than that of `attempt` may have begun something with: an answer about this
    /// one says nothing of them, and once the claim is gone each is repeated as it was.
    fn by_other_classes(&mut self, uid: &str, attempt: &Attempt) -> Vec<Attempt> {
        let Some(Progress::InBackground(mut attempts)) = self.progress.remove(uid) else { return Vec::new() };
        attempts.retain(|earlier| earlier.class.uid() != attempt.class.uid());
        attempts
    }

    /// What to do about a volume now.
    pub(crate) fn volume_step(&self, name: &str) -> Option<VolumeStep> {
        let known = self.volumes.get(name)?;
        if known.gone || known.step == Step::Leave {
            return None;
        }
        let kept_by = self.kept_by(name, known).map(str::to_owned);
        Some(VolumeStep { step: known.step, uid: known.uid.to_string(), deleted: known.deleted, kept_by })
    }

    /// Another object for the same backing volume that is not to be deleted: people copy an object to use a volume in
    /// two namespaces.
    fn kept_by(&self, name: &str, known: &Known) -> Option<&str> {
        let handle = known.handle.as_ref().filter(|_| known.step == Step::Delete && !known.deleted)?;
        let keeps = |other: &Known| other.handle.as_ref() == Some(handle) && other.step != Step::Delete && !other.gone;
        let mut others = self.volumes.items().iter().filter(|(other, known)| *other != name && keeps(known));
        others.next().map(|(other, _)| other.as_str())
    }

    /// Notes what came of the work on the volume `name` with this UID.
    pub(crate) fn volume_done(&mut self, name: &str, uid: &str, outcome: &VolumeOutcome) -> Verdict {
        let known = self.volumes.get_mut(name).filter(|known| *known.uid == *uid);
        match (outcome, known) {
            (VolumeOutcome::Nothing, _) | (VolumeOutcome::Gone | VolumeOutcome::Changed(_), None) => Verdict::Done,
            (VolumeOutcome::Gone, Some(known)) => {
                known.gone = true;
                Verdict::Done
            }
            (VolumeOutcome::Changed(volume), Some(known)) => {
                known.step = delete::step(volume, &self.config.driver_name);
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
#[path = "state_tests.rs"]
mod tests;
