//! Where the options make a difference to what an operation does.

use nfs_client::{
    NfsStatus, SetAttributes,
    protocol::{ChannelLimits, Operation, Sequence},
};
use tokio::time::Instant;

use super::{
    State,
    options::Chmod,
    tree::{Content, ROOT},
    users::{SEARCH, User, WRITE},
};

const SETGID: u32 = 0o2000;
const DEFAULT_MODE: u32 = 0o755;

/// Room that is kept for the result of any change, in bytes: more than the largest there is, OPEN's.
const LARGEST_CHANGE: usize = 80;

impl State {
    /// What SEQUENCE answers to a request that is larger than its session allows.
    pub(super) fn check_request(limits: ChannelLimits, bytes: usize, operations: usize) -> Result<(), NfsStatus> {
        if exceeds(bytes, limits.max_request) {
            return Err(NfsStatus::ReqTooBig);
        }
        if exceeds(operations, limits.max_operations) {
            return Err(NfsStatus::TooManyOps);
        }
        Ok(())
    }

    /// Refuses an operation whose result might not fit behind `used` bytes of reply: a change must not be executed when its
    /// result cannot be told. Of READLINK Linux believes that it takes a page, which no reply cache has.
    pub(super) fn check_room(
        limits: ChannelLimits,
        sequence: &Sequence,
        operation: &Operation,
        used: usize,
    ) -> Result<(), NfsStatus> {
        if sequence.cache_this && matches!(operation, Operation::ReadLink) {
            return Err(NfsStatus::RepTooBigToCache);
        }
        if operation.is_mutation() { Self::check_reply(limits, sequence, used + LARGEST_CHANGE) } else { Ok(()) }
    }

    /// Refuses a reply that is longer than the session allows.
    pub(super) fn check_reply(limits: ChannelLimits, sequence: &Sequence, bytes: usize) -> Result<(), NfsStatus> {
        if exceeds(bytes, limits.max_response) {
            return Err(NfsStatus::RepTooBig);
        }
        if sequence.cache_this && exceeds(bytes, limits.max_cached) {
            return Err(NfsStatus::RepTooBigToCache);
        }
        Ok(())
    }

    /// Refuses what could undo a state that its owner has not reclaimed yet.
    pub(super) fn require_no_grace(&self) -> Result<(), NfsStatus> {
        let in_grace = self.grace_until.is_some_and(|end| Instant::now() < end);
        if in_grace { Err(NfsStatus::Grace) } else { Ok(()) }
    }

    pub(super) fn set_attributes(
        &mut self,
        user: &User,
        object: u64,
        attributes: &SetAttributes,
    ) -> Result<(), NfsStatus> {
        self.require_may_set(user, object, attributes)?;
        let mut attributes = *attributes;
        match self.options.chmod {
            Chmod::Applied => {}
            Chmod::Refused(status) if attributes.mode.is_some() => return Err(status),
            Chmod::Refused(_) | Chmod::Ignored => attributes.mode = None,
        }
        if self.options.ignores_owners {
            (attributes.owner, attributes.group) = (None, None);
        }
        self.tree.set(object, &attributes)
    }

    pub(super) fn create(
        &mut self,
        user: &User,
        directory: u64,
        name: &[u8],
        content: Content,
        attributes: &SetAttributes,
    ) -> Result<u64, NfsStatus> {
        self.require(user, directory, WRITE | SEARCH)?;
        if let (Content::Symlink(_), Some(refusal)) = (&content, self.options.refuses_symlinks) {
            return Err(refusal);
        }
        let asked = attributes.mode.unwrap_or(DEFAULT_MODE);
        let asked = if self.options.drops_setgid { asked & !SETGID } else { asked };
        let mode = match (&content, self.options.created_mode) {
            (Content::Directory(_) | Content::File { .. }, Some(inherited)) => inherited,
            _ => asked,
        };
        let created = self.tree.create(directory, name, content, mode)?;
        self.tree.set(created, &SetAttributes::owner(Some(user.uid), Some(user.gid)))?;
        let owner = SetAttributes { owner: attributes.owner, group: attributes.group, ..SetAttributes::default() };
        if !owner.is_empty() {
            self.set_attributes(user, created, &owner)?;
        }
        Ok(created)
    }

    pub(super) fn rename(
        &mut self,
        user: &User,
        (from, old): (u64, &[u8]),
        (to, new): (u64, &[u8]),
    ) -> Result<(), NfsStatus> {
        self.require_no_grace()?;
        self.require_may_rename(user, (from, old), (to, new))?;
        if !self.options.quota_trees.is_empty() {
            let moved = self.tree.lookup(from, old)?;
            if self.quota_tree(moved) != self.quota_tree(to) {
                return Err(NfsStatus::XDev);
            }
        }
        self.tree.rename(from, old, to, new)
    }

    /// The root of the innermost quota tree that an object lies in.
    fn quota_tree(&self, object: u64) -> u64 {
        let roots = self.options.quota_trees.iter().filter_map(|path| Some((path.len(), self.tree.find(path).ok()?)));
        let around = roots.filter(|(_, root)| self.tree.is_below(object, *root));
        // Of two paths around one object the longer leads to the inner tree.
        around.max().map_or(ROOT, |(_, root)| root)
    }
}

fn exceeds(value: usize, limit: u32) -> bool {
    usize::try_from(limit).is_ok_and(|limit| value > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients of ours send nothing that is too large, so nobody else sees these answers.
    #[test]
    fn a_request_beyond_its_sessions_limits_is_refused() {
        let limits =
            ChannelLimits { max_request: 4096, max_response: 1, max_cached: 1, max_operations: 8, max_slots: 1 };
        assert_eq!(State::check_request(limits, 4096, 8), Ok(()));
        assert_eq!(State::check_request(limits, 4097, 8), Err(NfsStatus::ReqTooBig));
        assert_eq!(State::check_request(limits, 4096, 9), Err(NfsStatus::TooManyOps));
    }
}
