//! Where a server is by its name, asked beside the share's thread: a resolver takes its time, and what waits behind it has deadlines of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Inside, LOOK_IN_DOUBT, Pool, Slot};
use crate::mounter::Mounter;
use crate::server::Servers;
use crate::share::{Share, Wanted};
use crate::worker::{Lane, Purpose};

/// A look that is due: whether a share is still what its server's name and its path lead to. It is made in the share's lane; of those that wait there
/// for one, the first makes it.
pub(crate) struct Look {
    /// Where the name leads. Empty where the resolver says nothing, which tells nothing of the path: that is looked at where the share is mounted from.
    pub(super) addresses: Vec<SocketAddr>,
    /// When it was found to be due. One that was made since then is as good.
    since: Instant,
    /// Whether a volume is missing.
    in_doubt: bool,
}

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// A look at the share, if it is mounted and it is time for one. A resolver that does not answer until then says nothing about the server.
    pub(crate) async fn look(&self, wanted: &Wanted, in_doubt: bool, until: Instant) -> Option<Look> {
        let is_refused = self.slot(wanted.share.pool_name(), |slot| slot.is_refused(Instant::now()));
        let share = if is_refused { wanted.alone()? } else { wanted.share.clone() };
        let (lane, since) = (self.lane(&share), Instant::now());
        let is_due = |slot: &mut Slot<M::Root>| slot.root().is_some() && slot.is_to_be_looked_at(in_doubt, self.look);
        self.current(&lane, is_due).filter(|is_due| *is_due)?;
        let asking = Lane { purpose: Purpose::Ask, ..lane };
        let pool = self.clone();
        let ask = move || pool.where_is(&share, since);
        let until = until.min(since + self.resolve);
        let told = self.workers.run_until(&asking, "a question to the resolver", self.resolve, until, ask).await;
        Some(Look { addresses: told.ok().flatten().unwrap_or_default(), since, in_doubt })
    }
}

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// Where the name of the share's server leads, as the resolver says, or has said since then to somebody else. May hang.
    fn where_is(&self, share: &Share, since: Instant) -> Option<Vec<SocketAddr>> {
        let name = share.pool_name();
        let told = self.slot(name, |slot| slot.told.clone());
        if let Some((_, addresses)) = told.filter(|(at, _)| *at >= since) {
            return Some(addresses);
        }
        let addresses = self.servers.addresses(&share.server).ok()?;
        self.slot(name, |slot| slot.told = Some((Instant::now(), addresses.clone())));
        Some(addresses)
    }
}

impl<R> Slot<R> {
    /// Whether it is time to look whether name and path still lead to what is mounted, which they are believed to do for a while.
    fn is_to_be_looked_at(&self, in_doubt: bool, belief: Duration) -> bool {
        let (last, pause) = if in_doubt { (self.doubted, LOOK_IN_DOUBT) } else { (self.looked, belief) };
        last.is_none_or(|last| last.elapsed() >= pause)
    }

    /// Whether nobody has made the look meanwhile.
    pub(super) fn is_due(&self, look: &Look) -> bool {
        self.looked.is_none_or(|last| last < look.since)
    }

    /// Remembers that name and path lead to what is mounted, as far as can be told.
    pub(super) fn was_looked_at(&mut self, look: &Look) {
        let now = Some(Instant::now());
        self.looked = now;
        self.doubted = if look.in_doubt { now } else { self.doubted };
    }
}
