//! Where a server is by its name, asked beside the share's thread: a resolver takes its time, and what waits behind it has deadlines of its own.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Pool, Slot};
use crate::mounter::Mounter;
use crate::server::Servers;
use crate::share::Wanted;
use crate::worker::{Lane, Purpose};

impl<M: Mounter, S: Servers> Pool<M, S> {
    /// Where the server's name leads, if the share is mounted and it is time to look whether it is still what its name and path lead to. A resolver that
    /// does not answer says nothing about the server.
    pub(crate) async fn whereabouts(&self, wanted: &Wanted, in_doubt: bool) -> Option<Vec<SocketAddr>> {
        let is_refused = self.slot(wanted.share.pool_name(), |slot| slot.is_refused(Instant::now()));
        let share = if is_refused { wanted.alone()? } else { wanted.share.clone() };
        let lane = self.lane(&share);
        let is_due = |slot: &mut Slot<M::Root>| slot.root().is_some() && slot.is_to_be_looked_at(in_doubt, self.look);
        self.current(&lane, is_due).filter(|is_due| *is_due)?;
        let asking = Lane { purpose: Purpose::Ask, ..lane };
        let (pool, server) = (self.clone(), share.server);
        let ask = move || pool.servers.addresses(&server);
        self.workers.run(&asking, "a question to the resolver", self.resolve, ask).await.ok()?.ok()
    }
}
