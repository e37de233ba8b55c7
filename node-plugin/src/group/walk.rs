//! A walk through all of a volume, several directories at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use csi_runtime::panics;
use rustix::io::Errno;

use super::{DIRECTORY, FILE, is_refusal};
use crate::mounter::{Fault, Kind, Owned, Ownership};
use crate::worker::WorkError;
use volume::names::layout;

/// Threads of one walk.
pub(super) const THREADS: usize = 4;

/// Directories in each other that one thread has open at a time. What lies deeper is left.
const DEEPEST: usize = 100;

/// A few small frames for each level.
const STACK: usize = 256 * 1024;

/// What a walk has done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Entries that were changed.
    pub(super) changed: u64,
    /// Entries that were left, because the server did not let them be changed or looked into.
    pub(super) left: u64,
    /// What it said of the first of them.
    pub(super) first_left: Option<String>,
}

impl Tally {
    /// One entry that was left.
    pub(super) fn of(fault: &Fault) -> Self {
        Self { changed: 0, left: 1, first_left: Some(fault.to_string()) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.left += other.left;
        self.first_left = self.first_left.take().or(other.first_left);
    }
}

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// The root is a whole share, in which the driver keeps something for itself.
    pub(super) is_share: bool,
    /// What is in the root and right has been walked through already.
    pub(super) is_again: bool,
}

/// What the threads of a walk have in common.
struct Shared<E> {
    state: Mutex<State<E>>,
    news: Condvar,
}

struct State<E> {
    /// Directories for whoever has nothing to do; never more than there are threads.
    offered: Vec<E>,
    /// Threads that have nothing to do.
    idle: usize,
    /// Why the walk is given up.
    failed: Option<Fault>,
    tally: Tally,
}

/// Runs `walk` on a thread of its own, which may wait for a server for ever.
pub(super) fn thread(group: u32, walk: impl FnOnce() + Send + 'static) -> Result<(), WorkError> {
    let run = move || drop(panics::contained_call("change of group", walk));
    builder(group).spawn(run).map_err(WorkError::Spawn)?;
    Ok(())
}

fn builder(group: u32) -> thread::Builder {
    thread::Builder::new().name(format!("group {group}")).stack_size(STACK)
}

/// Gives everything below `root` to a group, on this thread and some more. The root itself is left for the caller, and what the driver keeps in a share is nobody's.
/// What disappears meanwhile does not matter, and what cannot be changed by itself is counted. Nothing is changed any more once `is_past` says so.
pub(super) fn walk<M: Ownership>(
    mounter: &M,
    root: &M::Entry,
    group: u32,
    scope: Scope,
    is_past: &(dyn Fn() -> bool + Sync),
) -> Result<Tally, Fault> {
    let listing = match mounter.list(root) {
        Err(fault) if is_refusal(&fault) => {
            return Ok(Tally::of(&fault));
        }
        listing => listing?,
    };
    let state = State { offered: Vec::new(), idle: 0, failed: None, tally: Tally::default() };
    let walk = Walk { mounter, group, is_past, shared: Shared { state: Mutex::new(state), news: Condvar::new() } };
    thread::scope(|threads| {
        for _ in 1..THREADS {
            if let Err(error) = builder(group).spawn_scoped(threads, || walk.help()) {
                // Whoever is there waits for all: this one counts as idle for good.
                walk.shared.lock().idle += 1;
                tracing::warn!(%error, "a walk goes on with fewer threads");
            }
        }
        walk.go(vec![listing], Some(scope));
        walk.help();
    });
    let state = walk.shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.failed.map_or(Ok(state.tally), Err)
}

/// Why a walk ends before its end, other than by what a server answers.
pub(super) fn given_up() -> Fault {
    Fault::new("a walk that was given up", Errno::CANCELED)
}

struct Walk<'a, M: Ownership> {
    mounter: &'a M,
    group: u32,
    is_past: &'a (dyn Fn() -> bool + Sync),
    shared: Shared<M::Entry>,
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a directory to a thread that has nothing to do, if there is one.
    fn offer(&self, directory: E) -> Option<E> {
        let mut state = self.lock();
        if state.offered.len() >= state.idle {
            return Some(directory);
        }
        state.offered.push(directory);
        self.news.notify_one();
        None
    }

    /// A directory that somebody has offered; none if the walk is over.
    fn take(&self) -> Option<E> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if let Some(directory) = state.offered.pop().filter(|_| state.failed.is_none()) {
                state.idle -= 1;
                return Some(directory);
            }
            if state.idle >= THREADS || state.failed.is_some() {
                self.news.notify_all();
                return None;
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<M: Ownership> Walk<'_, M> {
    /// Takes directories until nobody has any.
    fn help(&self) {
        while let Some(directory) = self.shared.take() {
            match self.mounter.list(&directory) {
                Ok(listing) => self.go(vec![listing], None),
                Err(fault) => self.note(fault),
            }
        }
    }

    /// Walks through these directories, each in the one before, to their ends. The first one is the root if there is a scope.
    fn go(&self, mut open: Vec<M::Listing>, scope: Option<Scope>) {
        let _ends = Ends(&self.shared);
        while let Some(listing) = open.last_mut() {
            if self.shared.lock().failed.is_some() {
                return;
            }
            let name = match self.mounter.next_name(listing) {
                Ok(Some(name)) => name,
                Ok(None) => {
                    open.pop();
                    continue;
                }
                Err(fault) => {
                    open.pop();
                    self.note(fault);
                    continue;
                }
            };
            let in_root = scope.filter(|_| open.len() == 1);
            if in_root.is_some_and(|scope| scope.is_share) && name.eq_ignore_ascii_case(layout::ROOT.as_bytes()) {
                continue;
            }
            match self.entry(&open, &name, in_root.is_some_and(|scope| scope.is_again)) {
                Ok(None) => {}
                Ok(Some(below)) => open.push(below),
                Err(fault) => self.note(fault),
            }
        }
    }

    /// Gives one entry to the group; what comes back is to be walked through next.
    fn entry(&self, open: &[M::Listing], name: &[u8], is_again: bool) -> Result<Option<M::Listing>, Fault> {
        let Some(listing) = open.last() else { return Ok(None) };
        let Some((entry, owned)) = self.mounter.entry(listing, name)? else { return Ok(None) };
        let changed = self.give(&entry, owned).unwrap_or_else(|fault| {
            self.note(fault);
            false
        });
        self.shared.lock().tally.changed += u64::from(changed);
        if owned.kind != Kind::Directory || is_again && !changed {
            return Ok(None);
        }
        let Some(entry) = self.shared.offer(entry) else { return Ok(None) };
        if open.len() >= DEEPEST {
            self.note(Fault::new(format!("a directory {DEEPEST} levels deep"), Errno::ACCESS));
            return Ok(None);
        }
        self.mounter.list(&entry).map(Some)
    }

    /// As kubelet does, and only where it makes a difference.
    fn give(&self, entry: &M::Entry, now: Owned) -> Result<bool, Fault> {
        let mode = match now.kind {
            Kind::Directory => now.mode | DIRECTORY,
            Kind::File => now.mode | FILE,
            Kind::Link => now.mode,
        };
        // Here, and not before the entry was looked at: that may have waited for a server that was gone.
        if (self.is_past)() {
            return Err(given_up());
        }
        let changes_hands = now.group != self.group;
        if changes_hands {
            self.mounter.set_group(entry, self.group)?;
        }
        // A file that changes hands loses setuid and set-gid.
        let is_stripped = changes_hands && now.kind == Kind::File && now.mode & 0o6000 != 0;
        if mode != now.mode || is_stripped {
            self.mounter.set_mode(entry, mode)?;
        }
        Ok(changes_hands || mode != now.mode)
    }

    fn note(&self, fault: Fault) {
        let mut state = self.shared.lock();
        match fault.errno {
            // It is gone.
            Errno::NOENT | Errno::STALE => {}
            // Of this entry alone: no room in the group's quota, a broken sector.
            Errno::DQUOT | Errno::NOSPC | Errno::IO => state.tally.add(Tally::of(&fault)),
            _ if is_refusal(&fault) => state.tally.add(Tally::of(&fault)),
            _ => {
                state.failed.get_or_insert(fault);
                self.shared.news.notify_all();
            }
        }
    }
}

/// Ends the walk for all threads where one panics: they wait for each other.
struct Ends<'a, E>(&'a Shared<E>);

impl<E> Drop for Ends<'_, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failed.get_or_insert_with(given_up);
            self.0.news.notify_all();
        }
    }
}
