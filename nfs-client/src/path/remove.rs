//! Removing entries, one or many.

use tokio::time::{Instant, sleep};

use super::{MAX_ATTEMPTS, fitting, interrupted};
use crate::{Client, Compound, Error, FileHandle, NfsStatus, OpCode, backoff::Backoff, name};

/// Bytes of REMOVE's result. Its server must be able to keep all results of a batch (`ca_maxresponsesize_cached`).
const REMOVE_RESULT: u32 = 28;

/// What [`Client::remove_many`] has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Names that are gone: removed now, or not there any more.
    pub gone: usize,
    /// Names that the server did not remove, and why.
    pub kept: Vec<(Vec<u8>, NfsStatus)>,
}

impl Client {
    /// Removes a file, a link or an empty directory. NOENT if there is none, NOTEMPTY if it is not empty.
    ///
    /// If the session is lost in the middle, the name counts as removed when it is gone; it is removed again when it
    /// is still there.
    pub async fn remove(&self, parent: &FileHandle, name: impl AsRef<[u8]>) -> Result<(), Error> {
        let name = name.as_ref();
        let mut attempt = 1;
        loop {
            match self.call(Compound::new().put_handle(parent).remove(name)).await {
                Ok(_) => return Ok(()),
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => {
                    if self.look(parent, name).await?.is_none() {
                        return Ok(());
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes many entries of one directory, as many in one round trip as the server allows. A name that is not
    /// there counts as gone; one that cannot be removed does not stop the others. If an error ends it, some of the
    /// names may have been removed; calling it again is safe.
    pub async fn remove_many(&self, parent: &FileHandle, names: &[impl AsRef<[u8]> + Sync]) -> Result<Removed, Error> {
        self.remove_unless(parent, names, |_status| false).await
    }

    /// The same in the order of the names, and no further than the first one that the server refuses this user
    /// ([`NfsStatus::is_refusal`]): it most likely refuses all, each in a round trip of its own. That one is the last of those
    /// kept then; `gone` and those kept are as many as were tried.
    pub async fn remove_until_refused(
        &self,
        parent: &FileHandle,
        names: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Removed, Error> {
        self.remove_unless(parent, names, NfsStatus::is_refusal).await
    }

    async fn remove_unless(
        &self,
        parent: &FileHandle,
        names: &[impl AsRef<[u8]> + Sync],
        ends: impl Fn(NfsStatus) -> bool + Send,
    ) -> Result<Removed, Error> {
        for one in names {
            name::check(one.as_ref())?;
        }
        let deadline = Instant::now() + self.engine.config.retry_budget;
        let mut removed = Removed::default();
        let mut backoff = Backoff::asked_to_wait();
        let (mut next, mut attempt) = (0, 1);
        while next < names.len() {
            let left = &names[next..];
            let lengths = left.iter().map(|name| name.as_ref().len());
            let part = &left[..fitting(self.limits().await?, 1, lengths, REMOVE_RESULT)];
            let request = Compound::new().put_handle(parent);
            let Err(error) = self.call(part.iter().fold(request, Compound::remove)).await else {
                removed.gone += part.len();
                next += part.len();
                continue;
            };
            if interrupted(&error) && attempt < MAX_ATTEMPTS {
                // Those that are gone answer NOENT in the next round.
                attempt += 1;
                continue;
            }
            let (Some((index, OpCode::Remove)), Some(status)) = (error.failed_op(), error.status()) else {
                return Err(error);
            };
            // Operation 0 is PUTFH.
            let done = index - 1;
            removed.gone += done;
            next += done;
            match status {
                NfsStatus::NoEnt => {
                    removed.gone += 1;
                    next += 1;
                }
                status if status.asks_to_wait() => {
                    let pause = backoff.next();
                    if Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    sleep(pause).await;
                }
                status => {
                    removed.kept.push((names[next].as_ref().to_vec(), status));
                    if ends(status) {
                        break;
                    }
                    next += 1;
                }
            }
        }
        Ok(removed)
    }
}
