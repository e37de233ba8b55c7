//! The controller that provisions claims: what it knows, and what follows from it; no calls, no clock of its own.
//!
//! It joins what the watches show with what only we know: that a volume may be in the making for a claim (even one that
//! is gone), that a volume exists whose object is not saved, that a claim is infeasible. So each volume is created once as
//! long as nothing fails: what we finished is remembered until a watch shows it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ::volume::ShareIdentity;
use ::volume::names::context;
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::attempt::{self, Attempt, ClaimOutcome, Unsaved};
use super::claim::{self, ClaimError};
use super::request::{self, volume_name};
use crate::kubernetes::api::objects::{Claim, Class, CsiSource, Volume};
use crate::kubernetes::api::watch::{Change, Kind};
use crate::kubernetes::config::Config;
use crate::kubernetes::context::Context;
use crate::kubernetes::places::share_of_class;
use crate::kubernetes::runner::{Controller, Decision, Lane, News, Store, Verdict};
use crate::operations::{Created, Finality, Volumes};

/// What we know of a claim and nobody else does.
#[derive(Debug)]
enum Progress {
    /// A volume may be in the making by each of these classes: one, unless the class was replaced meanwhile. The one that
    /// was attempted last comes last.
    InBackground(Vec<Attempt>),
    /// A volume exists; its object is not saved. These attempts by other classes may have begun something besides.
    Unsaved(Unsaved, Vec<Attempt>),
    /// The claim has this volume, and what these attempts by other classes may have begun is still to be ended.
    Ending(Vec<Attempt>, Box<Created>),
    /// No call until then, as long as the class is this one.
    Infeasible { class_uid: String, until: Instant },
}

/// What is kept of a volume object. One with the same UID is the same.
#[derive(Debug)]
struct Known {
    uid: Box<str>,
    /// The backing volume's id, if it is one of our driver's.
    handle: Option<Box<str>>,
    /// The share on which that was made, where the object says so.
    made_on: Option<ShareIdentity>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}

impl Known {
    fn of(volume: &Volume, driver: &str) -> Self {
        let csi = volume.spec.csi.as_ref().filter(|csi| csi.driver == driver);
        Self {
            uid: volume.uid().into(),
            handle: csi.map(|csi| csi.volume_handle.as_str().into()),
            made_on: csi.and_then(CsiSource::made_on),
        }
    }

    /// One that we have saved.
    fn saved(uid: String, created: &Created) -> Self {
        let made_on = created.context.get(context::SHARE_IDENTITY).and_then(|text| text.parse().ok());
        Self { uid: uid.into(), handle: Some(created.id.as_str().into()), made_on }
    }

    /// What is to stay when other attempts are ended; `None` where nobody can tell it from what they have begun.
    fn kept(&self) -> Option<Box<Created>> {
        let (id, made_on) = (self.handle.as_deref()?, self.made_on?);
        let context = BTreeMap::from([(context::SHARE_IDENTITY.to_owned(), made_on.to_string())]);
        Some(Box::new(Created { id: id.to_owned(), capacity_bytes: 0, context }))
    }
}

/// Work on a claim.
#[derive(Debug)]
pub(crate) enum ClaimStep {
    Refuse(Arc<Claim>, ClaimError),
    Provision(Attempt),
    Save(Unsaved),
    /// End what the attempt may have begun, because the claim has another volume.
    End(Attempt, Box<Created>),
}

/// The controller; an item is the UID of a claim.
#[derive(Debug)]
pub(crate) struct Provisioner {
    config: Config,
    /// By UID: claims that are delegated to us and have no volume yet.
    claims: Store<Arc<Claim>>,
    classes: Store<Arc<Class>>,
    /// The volumes that there are.
    volumes: Store<Known>,
    /// By UID of the claim.
    progress: HashMap<String, Progress>,
}

impl Provisioner {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            claims: Store::default(),
            classes: Store::default(),
            volumes: Store::default(),
            progress: HashMap::new(),
        }
    }

    /// A claim is gone or needs no volume any more. What may be in the making for it still needs us.
    fn note_claims(&mut self, news: News<Arc<Claim>>) -> Vec<String> {
        match news {
            News::Nothing => Vec::new(),
            News::Here(uid, _) => vec![uid],
            News::Gone(gone) => {
                gone.into_iter().map(|(uid, _)| uid).filter(|uid| self.progress.contains_key(uid)).collect()
            }
        }
    }

    /// A class that was missing or is another one now: its claims need not wait for their next turn.
    fn note_classes(&self, news: News<Arc<Class>>) -> Vec<String> {
        let News::Here(name, before) = news else { return Vec::new() };
        let after = self.classes.get(&name);
        if before.as_deref().map(Class::uid) == after.map(|class| class.uid()) {
            return Vec::new();
        }
        let of_class = |claim: &Claim| claim::class_name(claim) == name;
        let claims = self.claims.items().iter().filter(|(_, claim)| of_class(claim));
        claims.map(|(uid, _)| uid.clone()).collect()
    }

    /// A claim whose volume object is gone before it was bound needs another one.
    fn note_volumes(&self, news: &News<Known>) -> Vec<String> {
        let News::Gone(gone) = news else { return Vec::new() };
        let uids = gone.iter().filter_map(|(name, _)| request::claim_uid(name));
        uids.filter(|uid| self.claims.get(uid).is_some()).map(str::to_owned).collect()
    }

    /// Whether this object had its name before that which we have saved since, and which the watch will show later.
    fn is_past(&self, volume: &Volume) -> bool {
        let name = volume.name();
        self.volumes.is_unseen(name) && self.volumes.get(name).is_some_and(|known| *known.uid != *volume.uid())
    }

    /// The class of the claim, if both are there.
    fn class(&self, uid: &str) -> Option<&Arc<Class>> {
        self.claims.get(uid).and_then(|claim| self.classes.get(claim::class_name(claim)))
    }

    /// Whether the claim is there and its class is the one with this UID.
    fn is_class(&self, uid: &str, class_uid: &str) -> bool {
        self.class(uid).is_some_and(|class| class.uid() == class_uid)
    }

    /// Whether the claim is there and has no volume object, be it that it had one.
    fn needs_volume(&self, uid: &str) -> bool {
        self.claims.get(uid).is_some() && self.volumes.get(&volume_name(uid)).is_none()
    }

    /// By what to provision: the claim and its class as they are now, or, when the claim is gone and a volume may be in
    /// the making for it, as they were then.
    fn attempt(&self, uid: &str) -> Result<Option<Attempt>, (Arc<Claim>, ClaimError)> {
        let Some(claim) = self.claims.get(uid) else {
            return Ok(match self.progress.get(uid) {
                Some(Progress::InBackground(attempts)) => attempts.first().cloned(),
                _ => None,
            });
        };
        let class = claim::should_provision(claim, &self.config.driver_name, self.classes.items())
            .map_err(|error| (Arc::clone(claim), error))?;
        Ok(class.map(|class| Attempt { claim: Arc::clone(claim), class: Arc::clone(class) }))
    }

    /// Takes the attempts out that other classes than that of `attempt` may have begun something with: an answer about this
    /// one says nothing of them, and once the claim is gone each is repeated as it was.
    fn by_other_classes(&mut self, uid: &str, attempt: &Attempt) -> Vec<Attempt> {
        let Some(Progress::InBackground(mut attempts)) = self.progress.remove(uid) else { return Vec::new() };
        attempts.retain(|earlier| earlier.class.uid() != attempt.class.uid());
        attempts
    }

    /// The claim has this volume: what other attempts may have begun, if anything, is to be ended.
    fn end(&mut self, uid: &str, begun: Vec<Attempt>, kept: Box<Created>) -> Option<ClaimStep> {
        let step = ClaimStep::End(begun.first()?.clone(), kept.clone());
        self.progress.insert(uid.to_owned(), Progress::Ending(begun, kept));
        Some(step)
    }

    /// The object of the claim's volume is there, whoever saved it. Without the identity of its share nothing is ended by it:
    /// the same share may have two names, and what was begun under the other one be the volume in use.
    fn found(&mut self, uid: &str) -> Option<ClaimStep> {
        let Some(Progress::InBackground(mut begun)) = self.progress.remove(uid) else { return None };
        begun.retain(|attempt| !self.is_class(uid, attempt.class.uid()));
        let kept = self.volumes.get(&volume_name(uid))?.kept()?;
        self.end(uid, begun, kept)
    }
}

impl<V: Volumes> Controller<Context<V>> for Provisioner {
    const ITEMS: &'static str = "claims";
    const WORK: &'static str = "work on a claim";
    const INTERESTS: &'static [Kind] = &[Kind::Claim, Kind::Class, Kind::Volume];

    type Step = ClaimStep;
    type Outcome = ClaimOutcome;

    fn note(&mut self, change: &Change) -> Vec<String> {
        match change {
            Change::Claim(event) => {
                let driver = &self.config.driver_name;
                let waits = |claim: &Claim| !claim::has_volume(claim) && claim::is_delegated(claim, driver);
                let news = self.claims.follow(event, Claim::uid, |claim| waits(claim).then(|| Arc::new(claim.clone())));
                self.note_claims(news)
            }
            Change::Class(event) => {
                let news = self.classes.follow(event, Class::name, |class| Some(Arc::new(class.clone())));
                self.note_classes(news)
            }
            Change::Volume(Event::Apply(volume) | Event::Delete(volume)) if self.is_past(volume) => Vec::new(),
            Change::Volume(event) => {
                let driver = &self.config.driver_name;
                let news = self.volumes.follow(event, Volume::name, |volume| Some(Known::of(volume, driver)));
                self.note_volumes(&news)
            }
            Change::Node(_) | Change::CsiNode(_) | Change::Notice(_) => Vec::new(),
        }
    }

    fn lane(&self, uid: &str) -> Lane {
        let begun = match self.progress.get(uid) {
            Some(Progress::InBackground(attempts)) if self.claims.get(uid).is_none() => attempts.first(),
            Some(Progress::Ending(attempts, _)) if !self.needs_volume(uid) => attempts.first(),
            _ => None,
        };
        let class = begun.map(|attempt| &attempt.class).or_else(|| self.class(uid));
        let share = class.and_then(|class| share_of_class(class));
        share.map(|(server, _)| server.to_string()).unwrap_or_default().into()
    }

    fn decide(&mut self, uid: &str, now: Instant) -> Decision<ClaimStep> {
        match self.progress.remove(uid) {
            Some(Progress::Unsaved(unsaved, others)) => {
                if !others.is_empty() {
                    self.progress.insert(uid.to_owned(), Progress::InBackground(others));
                }
                return Decision::Act(ClaimStep::Save(unsaved));
            }
            Some(Progress::Infeasible { class_uid, until }) if now < until && self.is_class(uid, &class_uid) => {
                self.progress.insert(uid.to_owned(), Progress::Infeasible { class_uid, until });
                return Decision::Rest(Verdict::At(until));
            }
            // Its object is gone before it was bound: a server that does not answer keeps nobody from another volume.
            Some(Progress::Ending(attempts, _)) if self.needs_volume(uid) => {
                self.progress.insert(uid.to_owned(), Progress::InBackground(attempts));
            }
            Some(Progress::Ending(attempts, created)) => {
                return self.end(uid, attempts, created).map_or(Decision::Rest(Verdict::Done), Decision::Act);
            }
            // Kept until an outcome says otherwise.
            Some(background @ Progress::InBackground(_)) => {
                self.progress.insert(uid.to_owned(), background);
            }
            Some(Progress::Infeasible { .. }) | None => {}
        }
        let attempt = match self.attempt(uid) {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return Decision::Rest(Verdict::Done),
            Err((claim, error)) => return Decision::Act(ClaimStep::Refuse(claim, error)),
        };
        if self.volumes.get(&volume_name(uid)).is_some() {
            return self.found(uid).map_or(Decision::Rest(Verdict::Done), Decision::Act);
        }
        // It may have been made again for another driver since the claim was delegated.
        if !attempt.class.is_of(&self.config.driver_name) {
            return Decision::Rest(Verdict::Done);
        }
        Decision::Act(ClaimStep::Provision(attempt))
    }

    async fn act(context: Arc<Context<V>>, step: ClaimStep) -> ClaimOutcome {
        match step {
            ClaimStep::Refuse(claim, error) => attempt::refuse_claim(&context, &claim, &error),
            ClaimStep::Provision(attempt) => attempt::provision(context, attempt).await,
            ClaimStep::Save(unsaved) => attempt::save(context, unsaved).await,
            ClaimStep::End(begun, kept) => attempt::end(context, begun, kept).await,
        }
    }

    /// Nobody knows how far it came, be it that the claim is gone by now.
    fn panicked(step: &ClaimStep) -> ClaimOutcome {
        match step {
            ClaimStep::Refuse(..) => ClaimOutcome::NoChange,
            ClaimStep::End(..) => ClaimOutcome::Ended(false),
            ClaimStep::Provision(attempt) | ClaimStep::Save(Unsaved { attempt, .. }) => {
                ClaimOutcome::Failed(attempt.clone(), Finality::InBackground)
            }
        }
    }

    fn settle(&mut self, uid: &str, outcome: ClaimOutcome, now: Instant) -> Verdict {
        match outcome {
            ClaimOutcome::Saved { name, uid: volume_uid, attempt, created } => {
                self.volumes.put_unseen(name, Known::saved(volume_uid, &created));
                let others = self.by_other_classes(uid, &attempt);
                self.end(uid, others, created).map_or(Verdict::Done, |_| Verdict::At(now))
            }
            ClaimOutcome::Ended(true) => {
                let Some(Progress::Ending(mut attempts, created)) = self.progress.remove(uid) else {
                    return Verdict::Done;
                };
                attempts.remove(0);
                self.end(uid, attempts, created).map_or(Verdict::Done, |_| Verdict::At(now))
            }
            ClaimOutcome::Unsaved(unsaved) => {
                let others = self.by_other_classes(uid, &unsaved.attempt);
                self.progress.insert(uid.to_owned(), Progress::Unsaved(unsaved, others));
                Verdict::Retry
            }
            ClaimOutcome::Ended(false) => {
                // The next one's turn.
                if let Some(Progress::Ending(attempts, _)) = self.progress.get_mut(uid) {
                    attempts.rotate_left(1);
                }
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
}

#[cfg(test)]
#[path = "provisioner_tests.rs"]
mod tests;
