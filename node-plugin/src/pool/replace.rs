//! A share's mount that has gone bad: its server has moved, forgot it, or shows another directory in its place.
//!
//! Such a mount is retired: taken off the pool, whatever still waits in it, and the share goes on in a new generation. Nothing is done to the clones
//! that pods have, and what waits for the old server waits on.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use volume::server::DEFAULT_PORT;

use super::sweep::has_clones;
use super::{Inside, LOOK_IN_DOUBT, Look, MountError, Pool, State, name_and_generation};
use crate::mounter::{Cause, Mounter, Unmount};
use crate::mountinfo::MountTable;
use crate::recognise::server_of;
use crate::server::Servers;
use crate::share::Share;
use crate::worker::{Lane, Purpose, WorkError};

/// So many threads of one share may be stuck, in as many generations.
const MOST_STUCK: usize = 3;

/// Why a mount is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The name leads elsewhere, and a server answers there.
    Moved,
    /// `NFS4ERR_STALE`.
    Forgotten,
    /// The path leads to another directory.
    Replaced,
    /// Its thread waits, no pod uses it, and the server answers.
    Unused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Moved => "its server has moved to another address",
            Self::Forgotten => "its server does not know its file handles any more",
            Self::Replaced => "another directory has taken its place on the server",
            Self::Unused => "its server answers, and no pod uses it",
        })
    }
}

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// The lane for the next work on a share. If its thread is stuck, and waits for what nobody needs any more, or for a server that is somewhere else by
    /// now, that is the lane of a new generation.
    pub(crate) async fn usable_lane(&self, share: &Share, patience: Duration) -> Result<Lane, WorkError> {
        let lane = self.lane(share);
        let Some(stuck) = self.workers.stuck(&lane) else { return Ok(lane) };
        let is_asked = self.slot(share.pool_name(), |slot| {
            let is_due = slot.asked.is_none_or(|last| last.elapsed() >= LOOK_IN_DOUBT);
            if is_due {
                slot.asked = Some(Instant::now());
            }
            !is_due
        });
        if is_asked || !self.may_retire(share.pool_name()) {
            return Err(stuck);
        }
        let asking = Lane { purpose: Purpose::Ask, ..lane.clone() };
        let (pool, of) = (self.clone(), share.clone());
        let reason = self.workers.run(&asking, "a question to the server", patience, move || pool.is_replaceable(&of));
        // A resolver that does not answer in time says as little as one that says that all is as it was.
        let Ok(Some(reason)) = reason.await else { return Err(stuck) };
        self.retire(&lane, reason);
        Ok(self.lane(share))
    }
}

impl<M: Mounter, S> Inside<M, S> {
    /// Whether the share has gone on in another lane than this.
    pub(crate) fn is_retired(&self, lane: &Lane) -> bool {
        self.current(lane, |_| ()).is_none()
    }

    /// Whether one more thread of the share may come to be stuck.
    pub(super) fn may_retire(&self, name: &str) -> bool {
        self.count_stuck(name) < MOST_STUCK
    }

    /// How many threads of the share are stuck, in all its generations.
    pub(super) fn count_stuck(&self, name: &str) -> usize {
        self.workers.count_stuck(|key| name_and_generation(Path::new(key)).0 == name)
    }
}

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// Takes the share's mount off the pool, if it is still the one whose lane this is.
    pub(super) fn retire(&self, lane: &Lane, reason: Reason) {
        let path = self.root.join(&lane.key);
        let entry = self.mounter.table().ok().and_then(|table| table.top(&path).cloned());
        let retired = self.current(lane, |slot| {
            slot.generation += 1;
            slot.state = State::Absent;
            slot.retired = Some(reason);
            slot.past.extend(slot.address.map(|address| address.ip()));
            slot.past.extend(entry.as_ref().and_then(server_of));
            (slot.looked, slot.doubted, slot.asked) = (None, None, None);
        });
        if retired.is_some() {
            self.metrics.retired.inc();
            tracing::warn!(share = lane.label, %reason, "a share's mount is replaced; pods keep what they have mounted");
            self.remember_former(entry);
            self.take_off(&path, lane);
        }
    }

    /// Detaches a retired mount. Its thread may hang, where nobody else uses the superblock; nobody waits for it.
    pub(super) fn take_off(&self, path: &Path, lane: &Lane) {
        let lane = Lane { purpose: Purpose::Detach, ..lane.clone() };
        let (mounter, at) = (self.mounter.clone(), path.to_owned());
        let detach = move || {
            // Fails where nothing was mounted yet; then there may be no directory either.
            let _ = mounter.unmount(&at, Unmount::Detach);
            let _ = fs::remove_dir(&at);
        };
        if let Err(error) = self.workers.start_job(&lane, "detach", self.patience, detach) {
            tracing::warn!(share = lane.label, error = %error, "a retired mount stays in the pool for now");
        }
    }

    /// Why the mount of a share whose thread is stuck may be retired. Waits for the resolver, and for the answer to a question.
    fn is_replaceable(&self, share: &Share) -> Option<Reason> {
        let table = self.mounter.table().ok()?;
        let path = self.path(share);
        let addresses = self.servers.addresses(&share.server).ok()?;
        let is_elsewhere = |current: &SocketAddr| !addresses.iter().any(|new| new.ip() == current.ip());
        let former = self.address(share, &path, &table).filter(is_elsewhere);
        let is_used = table.top(&path).is_some() && has_clones(&path, &table, &self.root);
        // Before anybody is asked: a server that is silent takes its time.
        if former.is_none() && is_used {
            return None;
        }
        addresses.iter().find(|address| self.answers(share, **address))?;
        if former.is_some_and(|former| !self.answers(share, former)) {
            return Some(Reason::Moved);
        }
        (!is_used).then_some(Reason::Unused)
    }

    /// Whether a server of the share's kind answers at an address. One that is reached by RDMA is asked by TCP, at the port that it has for that.
    pub(super) fn answers(&self, share: &Share, address: SocketAddr) -> bool {
        let port = if share.options.is_rdma() { DEFAULT_PORT } else { address.port() };
        self.servers.ping(SocketAddr::new(address.ip(), port)).is_ok()
    }

    /// Where the share's mount has its server, or where it is being mounted from.
    fn address(&self, share: &Share, path: &Path, table: &MountTable) -> Option<SocketAddr> {
        let shown = table.top(path).and_then(server_of).map(|address| SocketAddr::new(address, share.server.port()));
        shown.or_else(|| self.slot(share.pool_name(), |slot| slot.address))
    }

    /// Whether the share's name or its path leads to something else than what is mounted; that is retired then. May hang.
    pub(super) fn has_gone_bad(
        &self,
        share: &Share,
        lane: &Lane,
        root: &M::Root,
        look: &Look,
    ) -> Result<bool, MountError> {
        let Some(reason) = self.what_is_wrong(share, lane, root, &look.addresses)? else {
            // Not before: what is published meanwhile must not pass it by.
            self.current(lane, |slot| slot.was_looked_at(look));
            return Ok(false);
        };
        self.retire(lane, reason);
        Ok(true)
    }

    /// `addresses`: none where nobody says where the name leads.
    fn what_is_wrong(
        &self,
        share: &Share,
        lane: &Lane,
        root: &M::Root,
        addresses: &[SocketAddr],
    ) -> Result<Option<Reason>, MountError> {
        let (path, Ok(table)) = (self.root.join(&lane.key), self.mounter.table()) else { return Ok(None) };
        let current = self.address(share, &path, &table);
        let addresses = if addresses.is_empty() { current.as_slice() } else { addresses };
        let as_before = addresses.iter().find(|new| current.is_none_or(|current| new.ip() == current.ip()));
        let Some(address) = as_before.or_else(|| addresses.iter().find(|address| self.answers(share, **address)))
        else {
            return Ok(None);
        };
        // One server may have more addresses than its name tells at a time: where it answers at the old one too, the directory decides.
        if as_before.is_none() && current.is_some_and(|current| !self.answers(share, current)) {
            return Ok(Some(Reason::Moved));
        }
        match self.mount_from(share, *address, addresses, true).and_then(|fresh| self.mounter.is_same(root, &fresh)) {
            Ok(true) => Ok(None),
            Ok(false) if as_before.is_none() => Ok(Some(Reason::Moved)),
            Ok(false) => Ok(Some(Reason::Replaced)),
            // The root's handle is still good, and its path leads nowhere: nothing may be published from what was moved away.
            Err(source) if matches!(source.cause(), Cause::NoSuchDirectory | Cause::AccessDenied) => {
                self.current(lane, |slot| (slot.looked, slot.doubted) = (None, None));
                Err(MountError::Directory { location: share.location(), source })
            }
            Err(fault) => {
                tracing::debug!(share = share.location(), error = %fault, "cannot look whether the share is the one that is mounted");
                Ok(None)
            }
        }
    }
}
