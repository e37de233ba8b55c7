//! To whom files on the servers belong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;

use node_plugin::mounter::{Fault, Kind, Owned, Ownership};
use rustix::io::Errno;

use super::{FakeMounter, FakeTree, World, host_of};

#[derive(Default)]
pub(super) struct Owners {
    /// What was said of files and directories; directories of which nothing was said are root's and open to all.
    known: BTreeMap<String, Owned>,
    /// Calls that changed something, in order: `chgrp GROUP LOCATION`, `chmod MODE LOCATION`.
    changes: Vec<String>,
    /// Whether the server takes the node for nobody.
    is_squashed: bool,
    /// After so many changes the server stops.
    stops_after: Option<usize>,
    /// What cannot be changed.
    faults: BTreeMap<String, Errno>,
}

const OPEN: Owned = Owned { group: 0, mode: 0o777, kind: Kind::Directory };

impl FakeMounter {
    /// Makes something below a directory of a server.
    pub(crate) fn make_entry(&self, location: &str, kind: Kind, group: u32, mode: u32) {
        self.lock().owners.known.insert(location.to_owned(), Owned { group, mode, kind });
    }

    /// Group and permissions.
    pub(crate) fn owned(&self, location: &str) -> (u32, u32) {
        let world = self.lock();
        let owned = world.owners.known.get(location).copied().unwrap_or(OPEN);
        (owned.group, owned.mode)
    }

    /// What has been changed since the last question.
    pub(crate) fn owner_changes(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().owners.changes)
    }

    /// Lets the servers take the node for nobody.
    pub(crate) fn squash(&self) {
        self.lock().owners.is_squashed = true;
    }

    /// Lets the servers stop after so many changes; none: not at all.
    pub(crate) fn stop_after_changes(&self, changes: Option<usize>) {
        self.lock().owners.stops_after = changes;
    }

    /// Lets an entry refuse every change.
    pub(crate) fn fail_at(&self, location: &str, errno: Errno) {
        self.lock().owners.faults.insert(location.to_owned(), errno);
    }

    /// Waits for the server, and for an entry that hangs by itself.
    fn wait_at(&self, location: &str) -> MutexGuard<'_, World> {
        let waits = |world: &mut World| [host_of(location), location].iter().any(|name| world.hung.contains(*name));
        self.world.1.wait_while(self.lock(), waits).unwrap()
    }

    fn change(&self, location: &str, what: &str, change: impl FnOnce(&mut Owned)) -> Result<(), Fault> {
        let mut world = self.wait_at(location);
        if world.owners.is_squashed {
            return Err(Fault::new("fchownat", Errno::PERM));
        }
        if let Some(errno) = world.owners.faults.get(location) {
            return Err(Fault::new("fchownat", *errno));
        }
        if world.owners.stops_after.is_some_and(|most| world.owners.changes.len() >= most) {
            return Err(Fault::new("fchownat", Errno::TIMEDOUT));
        }
        world.owners.changes.push(format!("{what} {location}"));
        change(world.owners.known.entry(location.to_owned()).or_insert(OPEN));
        Ok(())
    }
}

impl World {
    fn find(&self, location: &str) -> Option<Owned> {
        let is_directory = || self.directories.contains_key(location).then_some(OPEN);
        self.owners.known.get(location).copied().or_else(is_directory)
    }
}

impl Ownership for FakeMounter {
    /// Where it is.
    type Entry = String;
    /// Where the directory is, and what is left of its names.
    type Listing = (String, Vec<String>);

    fn root(&self, tree: &FakeTree) -> Result<(String, Owned), Fault> {
        let at = |world: &World| world.directories.iter().find(|(_, of)| **of == tree.object).map(|(at, _)| at.clone());
        let location = at(&self.lock()).ok_or_else(|| Fault::new("statx", Errno::STALE))?;
        let owned = self.look(&location)?;
        Ok((location, owned))
    }

    fn look(&self, entry: &String) -> Result<Owned, Fault> {
        Ok(self.wait_at(entry).find(entry).unwrap_or(OPEN))
    }

    fn list(&self, directory: &String) -> Result<(String, Vec<String>), Fault> {
        let world = self.wait_at(directory);
        let all = world.owners.known.keys().chain(world.directories.keys());
        let below = all.filter_map(|at| at.strip_prefix(directory.as_str())?.strip_prefix('/'));
        let names: BTreeSet<String> = below.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()).collect();
        Ok((directory.clone(), names.into_iter().rev().collect()))
    }

    fn next_name(&self, (_, names): &mut (String, Vec<String>)) -> Result<Option<Vec<u8>>, Fault> {
        Ok(names.pop().map(String::into_bytes))
    }

    fn entry(&self, (directory, _): &(String, Vec<String>), name: &[u8]) -> Result<Option<(String, Owned)>, Fault> {
        let location = format!("{directory}/{}", std::str::from_utf8(name).unwrap());
        let found = self.wait_at(&location).find(&location);
        found.map(|owned| Some((location, owned))).ok_or_else(|| Fault::new("openat", Errno::NOENT))
    }

    fn set_group(&self, entry: &String, group: u32) -> Result<(), Fault> {
        self.change(entry, &format!("chgrp {group}"), |owned| {
            owned.group = group;
            // As a server does it.
            if owned.kind == Kind::File {
                owned.mode &= 0o1777;
            }
        })
    }

    fn set_mode(&self, entry: &String, mode: u32) -> Result<(), Fault> {
        self.change(entry, &format!("chmod {mode:o}"), |owned| owned.mode = mode)
    }
}
