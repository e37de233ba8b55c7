//! Servers that the kernel knows under an address at which nobody answers any more.
//!
//! Linux recognises a server that it knows under another address by what it says of itself (`EXCHANGE_ID`), and goes on at the address that it had first,
//! dead or not: whatever is mounted from the new address hangs like what is mounted from the old one, for as long as anything uses that. Under another
//! client identity the server is another one to it. What has answered once, it tells: so this holds for a plugin that was started a moment ago, and for a share
//! that was never mounted before. It tells each server by the name that was mounted first, so addresses that are known to have been this server's count,
//! too.
//!
//! A server whose first mount waits for it is not told of, and no identity helps: before it compares any, Linux waits for the answer (`nfs4_match_client` in
//! `fs/nfs/nfs4client.c`), with every mount from a new address in the same minor version.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{Inside, lock};
use crate::mounter::{KernelClient, Mounter};
use crate::mountinfo::Entry;
use crate::recognise::{host_of, server_of};
use crate::server::Servers;
use crate::share::Share;

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// Sees to it that a mount from `address` asks there, and not at an address of the past. `addresses` is all that the server's name leads to.
    ///
    /// An address at which somebody answers is no past one: a server may have more of them than its name tells.
    pub(super) fn part_from_the_dead(&self, share: &Share, address: SocketAddr, addresses: &[SocketAddr]) {
        let location = share.server.to_string();
        let clients = match self.mounter.clients() {
            Ok(clients) => clients,
            Err(error) => {
                return tracing::warn!(server = location, error = %error, "cannot read which servers the kernel knows: if this one has moved, its mounts may hang");
            }
        };
        let is_at = |client: &KernelClient, place: &SocketAddr| client.address.ip() == place.ip();
        if clients.iter().any(|client| is_at(client, &address) && client.address.port() == address.port()) {
            return;
        }
        let is_elsewhere = |client: &&KernelClient| !addresses.iter().any(|place| is_at(client, place));
        let past = self.past_addresses(share);
        let is_of_server =
            |client: &&KernelClient| client.host == share.server.host() || past.contains(&client.address.ip());
        let is_parted = self.parted_from(&clients);
        let mut former = clients.iter().filter(is_of_server).filter(is_elsewhere);
        let is_dead = |client: &&KernelClient| !is_parted(client) && !self.answers(share, client.address);
        let Some(dead) = former.find(is_dead) else { return };
        match self.mounter.renew_client() {
            Ok(()) => {
                // All of them were made under the identities of the past.
                lock(&self.parted).extend(clients.iter().map(|client| client.address));
                tracing::info!(server = location, from = %dead.address, to = %address, "the server has moved: it is a new one to the kernel");
            }
            Err(error) => {
                tracing::warn!(server = location, from = %dead.address, error = %error, "the kernel may wait for the server at its old address");
            }
        }
    }

    /// Which of the kernel's clients cannot be taken for a server that is mounted from now on: the identity was renewed since they were made.
    ///
    /// A mount that is refused leaves no client behind, so that the next attempt looks as if nothing had been done.
    fn parted_from(&self, clients: &[KernelClient]) -> impl Fn(&KernelClient) -> bool {
        let mut parted = lock(&self.parted);
        // Another client of such an address will be made under the identity that is in force then.
        parted.retain(|address| clients.iter().any(|client| client.address == *address));
        let parted = parted.clone();
        move |client| parted.contains(&client.address)
    }

    /// Where the share's retired mounts had their server, and where mounts that are named after it have theirs. The kernel's client of such an address
    /// bears the name of whatever was mounted from there first.
    fn past_addresses(&self, share: &Share) -> BTreeSet<IpAddr> {
        let mut past = self.slot(share.pool_name(), |slot| slot.past.clone());
        let (location, table) = (share.location(), self.mounter.table().unwrap_or_default());
        let is_named_so = |entry: &&Entry| host_of(&entry.source) == host_of(&location);
        past.extend(table.entries().iter().filter(is_named_so).filter_map(server_of));
        past
    }
}
