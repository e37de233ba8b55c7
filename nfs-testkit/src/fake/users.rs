//! Users: for whom a caller is taken, and what that user may do, as POSIX and Linux have it.

use nfs_client::{Credential, NfsStatus, SetAttributes};

use super::{
    State,
    options::Options,
    tree::{Content, Object},
};

/// Whom a squashed caller is taken for, and his group.
const NOBODY: u32 = 65534;

/// Permission bits of one class of users.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

/// Only owners may remove or rename what lies in such a directory: its own, and those of what lies there.
const STICKY: u32 = 0o1000;

/// For whom the server takes a caller.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    groups: Vec<u32>,
}

impl User {
    pub(super) fn of(caller: Option<&Credential>, options: &Options) -> Self {
        let nobody = Self { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
        let Some(Credential::Sys(caller)) = caller.filter(|_| !options.squashes_all) else { return nobody };
        let squashed = |id: u32| if options.squashes_root && id == 0 { NOBODY } else { id };
        let groups = caller.groups().iter().copied().map(squashed);
        Self { uid: squashed(caller.uid()), gid: squashed(caller.gid()), groups: groups.collect() }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }

    /// Whether the mode gives this user these permissions.
    pub(super) fn may(&self, object: &Object, wanted: u32) -> bool {
        let class = match object {
            _ if self.is_root() => return true,
            Object { owner, .. } if *owner == self.uid => 6,
            Object { group, .. } if self.is_in(*group) => 3,
            _ => 0,
        };
        object.mode >> class & wanted == wanted
    }

    /// Whether this user may set these attributes: nobody but root gives something away, and nobody but the owner sets a
    /// mode.
    fn may_set(&self, object: &Object, attributes: &SetAttributes) -> Result<(), NfsStatus> {
        let SetAttributes { size, mode, owner, group } = attributes;
        let owns = self.uid == object.owner;
        let gives_away = owner.is_some_and(|owner| owner != object.owner)
            || group.is_some_and(|group| group != object.group && !self.is_in(group));
        let owners_alone = mode.is_some() || owner.is_some() || group.is_some();
        if !self.is_root() && (gives_away || owners_alone && !owns) {
            return Err(NfsStatus::Perm);
        }
        if size.is_some() && !owns && !self.may(object, WRITE) {
            return Err(NfsStatus::Access);
        }
        Ok(())
    }
}

impl State {
    /// Refuses who does not have these permissions on an object.
    pub(super) fn require(&self, user: &User, number: u64, wanted: u32) -> Result<(), NfsStatus> {
        if user.may(self.tree.object(number)?, wanted) { Ok(()) } else { Err(NfsStatus::Access) }
    }

    pub(super) fn require_may_set(
        &self,
        user: &User,
        number: u64,
        attributes: &SetAttributes,
    ) -> Result<(), NfsStatus> {
        user.may_set(self.tree.object(number)?, attributes)
    }

    /// Refuses who may not take an entry out of a directory: who may not write there, or owns neither if it is sticky.
    fn require_may_take(&self, user: &User, directory: u64, entry: u64) -> Result<(), NfsStatus> {
        self.require(user, directory, WRITE | SEARCH)?;
        let (around, inside) = (self.tree.object(directory)?, self.tree.object(entry)?);
        let owns = user.is_root() || user.uid == around.owner || user.uid == inside.owner;
        if around.mode & STICKY != 0 && !owns { Err(NfsStatus::Perm) } else { Ok(()) }
    }

    /// What is missing is missing for everybody who may look, as on Ganesha; Linux looks at the directory's permissions first.
    pub(super) fn require_may_remove(&self, user: &User, directory: u64, name: &[u8]) -> Result<(), NfsStatus> {
        self.require(user, directory, SEARCH)?;
        self.require_may_take(user, directory, self.tree.lookup(directory, name)?)
    }

    /// A directory that comes to lie in another one is written to: its entry `..` changes.
    pub(super) fn require_may_rename(
        &self,
        user: &User,
        (from, old): (u64, &[u8]),
        (to, new): (u64, &[u8]),
    ) -> Result<(), NfsStatus> {
        self.require_may_remove(user, from, old)?;
        self.require(user, to, WRITE | SEARCH)?;
        if let Ok(replaced) = self.tree.lookup(to, new) {
            self.require_may_take(user, to, replaced)?;
        }
        let moved = self.tree.lookup(from, old)?;
        let is_directory = matches!(self.tree.object(moved)?.content, Content::Directory(_));
        if is_directory && from != to { self.require(user, moved, WRITE) } else { Ok(()) }
    }
}
