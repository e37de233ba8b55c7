//! A share's mount in the pool: how it is made, and looked at before volumes are cloned from it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use volume::Server;
use volume::mount_options::MountAttributes;

use super::replace::Reason;
use super::{Inside, MountError};
use crate::mounter::{Cause, Fault, MountRequest, Mounter, Unmount};
use crate::recognise::{Weaker, path_of};
use crate::server::{Attempt, Attempts, Others, Servers};
use crate::share::{Share, Wanted};
use crate::worker::Lane;

/// The kernel reads ahead this many times `rsize`, as Amazon's driver sets it for EFS.
const READ_AHEAD_FACTOR: u64 = 15;

impl<M: Mounter, S: Servers> Inside<M, S> {
    /// Opens the share's mount in the pool, if it is what the table shows, where it was asked for, and protected as was asked for. May hang.
    pub(super) fn open_pooled(&self, share: &Share, wanted: &Wanted, path: &Path) -> Result<M::Root, MountError> {
        let failed = |source| MountError::Pool { path: path.to_owned(), source };
        let of_share = |source| MountError::Directory { location: share.location(), source };
        let root = self.mounter.open(path).map_err(of_share)?;
        let opened = self.mounter.device(&root).map_err(of_share)?;
        let table = self.mounter.table().map_err(failed)?;
        // A publish must never reach the node's own directory, which is what lies there when the mount is gone.
        let Some(entry) = table.top(path).filter(|entry| entry.device == opened) else {
            return Err(failed(io::Error::other("the mount has changed meanwhile")));
        };
        // The kernel shows where the path has led.
        let led = entry.location();
        let refused = if !share.follows_links && path_of(&led) != share.path.as_str() {
            let below = wanted.below.as_ref().map_or_else(String::new, |below| format!("/{below}"));
            let real_share = path_of(&led).strip_suffix(&below).map(|real| if real.is_empty() { "/" } else { real });
            let real_share = real_share.map(str::to_owned);
            MountError::Astray { location: share.location(), led, real_share }
        } else if let Some(weaker) = Weaker::find(&share.options, &entry.options) {
            MountError::Weaker { location: share.location(), weaker }
        } else {
            return Ok(root);
        };
        drop(root);
        if let Err(error) = self.mounter.unmount(path, Unmount::Plain) {
            tracing::warn!(share = share.location(), error = %error, "a mount that was refused stays in the pool, unused");
        }
        Err(refused)
    }

    /// Asks the addresses of the server one after the other, and mounts from the first that lets us. May hang; what was retired meanwhile is not mounted.
    pub(super) fn mount_fresh(&self, share: &Share, lane: &Lane, at: &Path) -> Result<(), MountError> {
        let location = share.location();
        let retired = self.current(lane, |slot| slot.retired).flatten();
        let is_distrusted = matches!(retired, Some(Reason::Forgotten | Reason::Replaced));
        let mut attempts = Attempts::default();
        let addresses = self.addresses(&share.server, &location)?;
        for &address in &addresses {
            // The question goes by TCP, and a port of RDMA takes none.
            if !share.options.is_rdma()
                && let Err(fault) = self.servers.ping(address)
            {
                attempts.push(address, Attempt::Asked(fault));
                continue;
            }
            self.current(lane, |slot| slot.address = Some(address));
            let attach = |tree| if self.is_retired(lane) { Ok(()) } else { self.mounter.attach(tree, at) };
            match self.mount_from(share, address, &addresses, is_distrusted).and_then(attach) {
                Ok(()) => {
                    self.metrics.fresh_mounts.inc();
                    return Ok(());
                }
                Err(fault) => {
                    self.metrics.failed_mounts.inc();
                    if fault.cause() != Cause::Unreachable {
                        // The server has answered: its other addresses would say the same.
                        return Err(MountError::of(location, (Attempt::Mounted(fault), attempts.others())));
                    }
                    attempts.push(address, Attempt::Mounted(fault));
                }
            }
        }
        Err(MountError::of(location, attempts.none_of(share.server.host())))
    }

    /// Mounts the share from one of its server's addresses, attached nowhere. May hang.
    ///
    /// Where the kernel's memory of the share's names is distrusted, it is asked for as the server has it at this moment: a mount on a superblock that
    /// others use is led by what was seen up to a minute ago. On one of its own every name is asked for.
    pub(super) fn mount_from(
        &self,
        share: &Share,
        address: SocketAddr,
        addresses: &[SocketAddr],
        is_distrusted: bool,
    ) -> Result<M::Tree, Fault> {
        self.part_from_the_dead(share, address, addresses);
        let mut options = share.options.superblock();
        if is_distrusted {
            options.push(("nosharecache".to_owned(), None));
        }
        let attributes = MountAttributes::default();
        self.mounter.mount(&MountRequest { source: share.location(), address, options, attributes })
    }

    fn addresses(&self, server: &Server, location: &str) -> Result<Vec<SocketAddr>, MountError> {
        let found = self.servers.addresses(server);
        found.map_err(|source| MountError::Server { location: location.to_owned(), others: Others::default(), source })
    }

    /// Best effort: a smaller read-ahead is slower, not wrong.
    pub(super) fn set_read_ahead(&self, share: &Share, path: &Path) {
        let kib = READ_AHEAD_FACTOR * u64::from(share.options.rsize()) / 1024;
        let set = self.mounter.table().and_then(|table| match table.top(path) {
            Some(entry) => self.mounter.set_read_ahead(entry.device, kib),
            None => Ok(()),
        });
        if let Err(error) = set {
            tracing::debug!(share = share.location(), kib, error = %error, "cannot set the read-ahead");
        }
    }
}
