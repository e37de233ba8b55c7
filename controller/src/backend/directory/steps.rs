//! The steps of an operation, sent in as few requests as the server allows.
//!
//! What the steps before one have done is a state that a crash may leave as well, so a request may end after any of them.
//! Most servers take all of them in one; some take 16 operations in a compound, or 8.

use nfs_client::protocol::Reply;
use nfs_client::{Attributes, Compound, Error, FileHandle, NfsStatus, ObjectState, Replies};

use super::faults::Faults;
use super::step::Step;
use super::store::{Making, Site};

/// Where a step begins.
#[derive(Debug, Clone)]
pub(crate) enum At {
    /// In this directory.
    Handle(FileHandle),
    /// In the directory that a step before it made last.
    Made,
    /// Where the step before it, in the same request, has ended.
    There,
}

/// A step, and what it does once it is where it begins.
#[derive(Debug, Clone)]
struct Planned {
    step: Step,
    /// None: it asks the server for nothing.
    at: Option<At>,
    compound: Compound,
    /// Whether it ends in a directory that it has made.
    makes: bool,
}

impl Planned {
    /// Whether it makes nothing but an entry that says what is to come.
    fn announces(&self) -> bool {
        matches!(self.step, Step::Hold | Step::Note)
    }
}

/// What has to hold before a request does anything.
#[derive(Debug, Clone)]
struct Guard {
    compound: Compound,
    /// The step that ends it, if any does.
    until: Option<Step>,
}

/// Steps of one operation, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    guard: Option<Guard>,
    /// The step up to which nobody else touches what was made.
    alone_until: Option<Step>,
    /// Each group goes to the server in one request.
    groups: Vec<Vec<Planned>>,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The step that failed; none: the server saw nothing of it, or nobody knows what it did.
    pub(crate) step: Option<Step>,
    /// The steps that have been done before it.
    pub(crate) done: Vec<Step>,
    /// The state of the directory that was made, if no step has changed it since.
    pub(crate) made: Option<ObjectState>,
    pub(crate) error: Error,
}

impl Failure {
    fn new(step: Option<Step>, done: Vec<Step>, answers: &Answers, error: Error) -> Self {
        let is_changed = done.iter().any(|step| matches!(step, Step::Owner | Step::Mode));
        let made = answers.attributes(Step::Place).and_then(Attributes::state).filter(|_| !is_changed);
        Self { step, done, made, error }
    }

    /// Whether the server may have done a part of the step that failed: it found no room for what the part was to answer.
    pub(crate) fn is_half_done(&self) -> bool {
        is_too_long(&self.error)
    }

    /// Whether nobody knows what the server did.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        matches!(self.error, Error::OutcomeUnknown { .. } | Error::Protocol { .. })
    }
}

/// What the server answered to the steps.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    attributes: Vec<(Step, Attributes)>,
    made: Vec<(Step, FileHandle)>,
}

impl Answers {
    /// The attributes that a step asked for.
    pub(crate) fn attributes(&self, step: Step) -> Option<&Attributes> {
        self.attributes.iter().find(|(of, _)| *of == step).map(|(_, attributes)| attributes)
    }

    /// The directories that a step made.
    pub(crate) fn made(&self, step: Step) -> impl Iterator<Item = &FileHandle> {
        self.made.iter().filter(move |(of, _)| *of == step).map(|(_, handle)| handle)
    }

    /// What proves that nobody has touched the directory that was made last; none if its step did not ask for its state.
    fn untouched(&self) -> Option<Compound> {
        let (step, handle) = self.made.last()?;
        let state = self.attributes(*step).and_then(Attributes::state)?;
        Some(Compound::new().put_handle(handle).verify(state))
    }
}

impl Steps {
    /// What has to hold before any step is taken, and before each that goes in a later request, until one was taken that
    /// ends it.
    pub(crate) fn only_if(mut self, compound: Compound, until: Option<Step>) -> Self {
        self.guard = Some(Guard { compound, until });
        self
    }

    /// Where the steps need several requests, what one has made has to be as it was for the next, until this step is taken.
    /// The step that makes it asks for its attributes.
    pub(crate) fn alone_until(mut self, step: Step) -> Self {
        self.alone_until = Some(step);
        self
    }

    /// Adds a step.
    pub(crate) fn then(self, step: Step, at: At, compound: Compound) -> Self {
        self.group(Planned { step, at: Some(at), compound, makes: false })
    }

    /// Adds a step whose compound ends with the making of a directory.
    pub(crate) fn make(self, step: Step, at: At, compound: Compound) -> Self {
        self.group(Planned { step, at: Some(at), compound: compound.get_handle(), makes: true })
    }

    /// Adds the making of an entry in the folder `at`, in one request: a step, and another one where its text comes after it.
    pub(crate) fn enter(self, (entry, text): (Step, Step), at: &FileHandle, making: Making) -> Self {
        let steps = self.then(entry, At::Handle(at.clone()), making.entry);
        match making.text {
            Some(compound) => steps.then(text, At::There, compound).together(),
            None => steps,
        }
    }

    /// Adds a step that asks the server for nothing.
    pub(crate) fn finally(self, step: Step) -> Self {
        self.group(Planned { step, at: None, compound: Compound::new(), makes: false })
    }

    fn group(mut self, planned: Planned) -> Self {
        self.groups.push(vec![planned]);
        self
    }

    /// Lets the last step go in the same request as the one before it.
    pub(crate) fn together(mut self) -> Self {
        if let (Some(last), Some(before)) = (self.groups.pop(), self.groups.last_mut()) {
            before.extend(last);
        }
        self
    }

    /// Sends the steps, in one request if the server takes it.
    pub(crate) async fn send(mut self, site: &Site) -> Result<Answers, Failure> {
        let (mut answers, mut done) = (Answers::default(), Vec::new());
        let mut left = self.groups.as_slice();
        while !left.is_empty() {
            let limits = match site.client().limits().await {
                Ok(limits) => limits,
                Err(error) => return Err(Failure::new(None, done, &answers, error)),
            };
            let made = answers.made.last().map(|(_, handle)| handle);
            let request = |groups: usize| Request::new(site.faults(), self.guard.as_ref(), &left[..groups], made);
            // A single group that is too long for the server is refused by the client, which names the limit.
            let fits = |request: &Request| request.groups == 1 || limits.admits(&request.compound);
            let Some(request) = (1..=left.len()).rev().map(request).find(fits) else { break };
            // What only announces a step, and is exclusive, needs no guard where there is no room for one.
            let announces = left.first().and_then(|group| group.first()).is_some_and(Planned::announces);
            let request = if announces && !limits.admits(&request.compound) {
                Request::new(site.faults(), None, &left[..1], made)
            } else {
                request
            };
            let called = if request.is_empty() {
                Ok(Replies::default())
            } else {
                site.client().call_whole(request.compound.clone()).await
            };
            if request.stopped {
                site.faults().die().await;
            }
            let groups = match called {
                Ok(replies) => {
                    request.read(&replies, &mut answers, &mut done);
                    request.groups
                }
                Err(error) => {
                    let nothing = Replies::default();
                    let taken = request.read(error.completed().unwrap_or(&nothing), &mut answers, &mut done);
                    let step = error.failed_op().and_then(|_| request.ends.get(taken)).map(|(step, _)| *step);
                    // What is before it is done, and what is left may fit into a reply of its own.
                    let groups = if is_too_long(&error) { whole_groups(left, taken) } else { 0 };
                    if groups == 0 {
                        return Err(Failure::new(step, done, &answers, error));
                    }
                    groups
                }
            };
            left = &left[groups..];
            self.guard = self.guard.filter(|guard| guard.until.is_none_or(|until| !done.contains(&until)));
            let alone = self.alone_until.filter(|until| self.guard.is_none() && !done.contains(until));
            if let Some((until, compound)) = alone.zip(answers.untouched()) {
                self.guard = Some(Guard { compound, until: Some(until) });
            }
        }
        Ok(answers)
    }
}

/// How many whole groups the first steps are.
fn whole_groups(groups: &[Vec<Planned>], steps: usize) -> usize {
    let ends = groups.iter().scan(0, |end, group| {
        *end += group.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= steps).count()
}

/// Whether the server has not done an operation because its reply would be too long.
fn is_too_long(error: &Error) -> bool {
    matches!(error.status(), Some(NfsStatus::RepTooBig | NfsStatus::RepTooBigToCache))
}

/// The first groups of steps, as they are sent.
struct Request {
    compound: Compound,
    /// Operations of the guard.
    guard: usize,
    /// Each step with the number of operations before its end.
    ends: Vec<(Step, usize)>,
    groups: usize,
    /// Whether a fault strikes at its end.
    stopped: bool,
}

/// Where the directory is that was made last.
enum Last<'a> {
    /// Made by an earlier request, or not at all.
    Kept(Option<&'a FileHandle>),
    Current,
    Saved,
}

impl Request {
    fn new(faults: &Faults, guard: Option<&Guard>, groups: &[Vec<Planned>], made: Option<&FileHandle>) -> Self {
        let mut compound = guard.map_or_else(Compound::new, |guard| guard.compound.clone());
        let (guard, mut ends, mut stopped, mut last) = (compound.len(), Vec::new(), false, Last::Kept(made));
        let steps: Vec<&Planned> = groups.iter().flatten().collect();
        for (index, planned) in steps.iter().enumerate() {
            stopped = faults.is_before(planned.step);
            if stopped {
                break;
            }
            compound = match &planned.at {
                None | Some(At::There) => compound,
                Some(At::Handle(handle)) => {
                    let needed = steps[index..].iter().any(|step| matches!(step.at, Some(At::Made)));
                    if matches!(last, Last::Current) && needed {
                        last = Last::Saved;
                        compound = compound.save_handle();
                    }
                    compound.put_handle(handle)
                }
                Some(At::Made) => {
                    let there = match last {
                        Last::Current => compound,
                        Last::Kept(Some(handle)) => compound.put_handle(handle),
                        Last::Saved | Last::Kept(None) => compound.restore_handle(),
                    };
                    last = Last::Current;
                    there
                }
            };
            compound = compound.append(planned.compound.clone());
            if planned.makes {
                last = Last::Current;
            }
            ends.push((planned.step, compound.len()));
        }
        Self { compound, guard, ends, groups: groups.len(), stopped }
    }

    /// Whether it asks the server for nothing.
    fn is_empty(&self) -> bool {
        self.ends.is_empty() || self.compound.is_empty()
    }

    /// Takes in what the server answered; says how many steps are done.
    fn read(&self, replies: &Replies, answers: &mut Answers, done: &mut Vec<Step>) -> usize {
        let mut begin = self.guard;
        let whole = self.ends.iter().take_while(|(_, end)| *end <= replies.len());
        for &(step, end) in whole.clone() {
            for reply in replies.iter().take(end).skip(begin) {
                match reply {
                    Reply::Attributes(attributes) => answers.attributes.push((step, (**attributes).clone())),
                    Reply::Handle(handle) => answers.made.push((step, handle.clone())),
                    _ => {}
                }
            }
            done.push(step);
            begin = end;
        }
        whole.count()
    }
}
