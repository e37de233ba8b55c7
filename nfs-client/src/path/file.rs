//! Small files: written or read whole, in one round trip where the session's limits allow it, with an open that lives
//! inside the first compound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Found, MAX_ATTEMPTS, interrupted};
use crate::{
    Attributes, Client, Compound, Error, FileHandle, NfsStatus, OpCode, Replies, Reply, SetAttributes,
    protocol::{Claim, StateId},
    random,
};

/// Most bytes of a file that [`Client::read_file`] reads and [`Client::create_file`] writes.
pub const MAX_FILE: u32 = 32 * 1024;

/// Bytes of a request or reply with data that are kept for everything else in it: headers, names, handle, attributes.
const DATA_OVERHEAD: u32 = 1024;

impl Client {
    /// [`call`](Self::call) for a compound that may make small files ([`Compound::create_file`], [`Compound::fill`]).
    ///
    /// Where an operation between the two fails, the file is there, closed, and perhaps without its text. A WRITE that took less
    /// than it was given, as RFC 8881 §18.32 lets a server do, counts as one that failed with NOSPC, and nothing that follows it
    /// but the CLOSE has been done.
    pub async fn call_whole(&self, compound: Compound) -> Result<Replies, Error> {
        let (called, nothing) = (self.call(compound.clone()).await, Replies::default());
        let completed = match &called {
            Ok(replies) => replies,
            Err(error) => error.completed().unwrap_or(&nothing),
        };
        if let Some(closing) = compound.closing(completed) {
            self.close(closing).await;
        }
        let Some(index) = compound.cut_short(completed) else { return called };
        let (server, op, status) = (self.engine.server.clone(), OpCode::Write, NfsStatus::NoSpc);
        let completed = Replies(completed.0[..index].to_vec());
        Err(Error::Status { server, op, index, status, completed })
    }

    /// Makes a file with a mode and its whole content, at most [`MAX_FILE`] bytes.
    ///
    /// Exclusive: EXIST if there is anything of that name. If it cannot be written, it is removed again. If the
    /// session is lost in the middle, a file made by this very call is completed, and one with exactly this content
    /// counts as ours. Where the session's limits make several requests of it, the file is there before it is whole.
    pub async fn create_file(
        &self,
        parent: &FileHandle,
        name: impl AsRef<[u8]>,
        mode: u32,
        content: &[u8],
    ) -> Result<Found, Error> {
        let name = name.as_ref();
        self.check_size(content.len())?;
        // The server tells repetitions of this call from other creators by the verifier.
        let claim = Claim::Create { verifier: random::u64().to_be_bytes(), attributes: SetAttributes::mode(mode) };
        let owner = self.open_owner();
        let first = content.len().min(self.block().await?);
        let (mut attempt, mut was_interrupted) = (1, false);
        loop {
            let request = Compound::new()
                .put_handle(parent)
                .open(name, owner.clone(), claim.clone())
                .get_handle()
                .write(StateId::CURRENT, 0, content[..first].to_vec())
                .close(StateId::CURRENT)
                .get_attr();
            let error = match self.call(request).await {
                Ok(replies) => {
                    let found = self.found(&replies)?;
                    return self.written(parent, name, found, written_bytes(&replies), content).await;
                }
                Err(error) => error,
            };
            let again = interrupted(&error) || error.status().is_some_and(NfsStatus::asks_to_wait);
            if again && attempt < MAX_ATTEMPTS {
                was_interrupted |= interrupted(&error);
                attempt += 1;
                continue;
            }
            if was_interrupted && error.is_status(NfsStatus::Exist) {
                let ours = matches!(self.read_file(parent, name).await, Ok(found) if found == content[..first]);
                if !ours {
                    return Err(error);
                }
                let found = self.entry(parent, name).await?;
                return self.written(parent, name, found, first, content).await;
            }
            if let Some(made) = self.close_after(&error).await {
                self.discard(parent, name, &made).await;
            }
            return Err(error);
        }
    }

    /// The content of a regular file of at most [`MAX_FILE`] bytes; [`Error::TooLarge`] if it is longer. A symbolic
    /// link is [`Error::Symlink`].
    pub async fn read_file(&self, parent: &FileHandle, name: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let name = name.as_ref();
        let block = u32::try_from(self.block().await?).unwrap_or(MAX_FILE);
        let request = Compound::new()
            .put_handle(parent)
            .open(name, self.open_owner(), Claim::Existing)
            .get_handle()
            .read(StateId::CURRENT, 0, block)
            .close(StateId::CURRENT)
            .get_attr();
        let replies = match self.call(request).await {
            Ok(replies) => replies,
            Err(error) if error.is_status(NfsStatus::Symlink) => {
                return Err(self.symlink(String::from_utf8_lossy(name).into_owned()));
            }
            Err(error) => {
                self.close_after(&error).await;
                return Err(error);
            }
        };
        let found = self.found(&replies)?;
        let size = usize::try_from(found.attributes.size.unwrap_or(0)).unwrap_or(usize::MAX);
        self.check_size(size)?;
        let mut content = read_bytes(&replies);
        while content.len() < size {
            let offset = u64::try_from(content.len()).unwrap_or(u64::MAX);
            let request = Compound::new().put_handle(&found.handle).read(StateId::ANONYMOUS, offset, block).get_attr();
            let replies = self.call(request).await?;
            let more = read_bytes(&replies);
            // Of a file that is being changed nobody can read a whole.
            let changed = replies.attributes(0).map(Attributes::state) != Some(found.attributes.state());
            if more.is_empty() || changed {
                break;
            }
            content.extend(more);
        }
        // What is not the whole file is not a result.
        if content.len() == size { Ok(content) } else { Err(self.incomplete(OpCode::Read)) }
    }

    /// Most bytes that one READ or WRITE of the current session carries.
    async fn block(&self) -> Result<usize, Error> {
        let limits = self.limits().await?;
        let bytes = limits.max_request.min(limits.max_response).saturating_sub(DATA_OVERHEAD).clamp(1, MAX_FILE);
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn check_size(&self, given: usize) -> Result<(), Error> {
        let limit = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
        if given > limit {
            return Err(Error::TooLarge { server: self.engine.server.clone(), unit: "bytes", given, limit });
        }
        Ok(())
    }

    /// Writes what the first WRITE has left over, because it was too much for one request, or because the file system is
    /// full: then to learn that, or to complete it after all.
    async fn written(
        &self,
        parent: &FileHandle,
        name: &[u8],
        mut found: Found,
        mut done: usize,
        content: &[u8],
    ) -> Result<Found, Error> {
        let mut attempt = 1;
        while done < content.len() {
            let rest = &content[done..];
            let part = rest[..rest.len().min(self.block().await?)].to_vec();
            let offset = u64::try_from(done).unwrap_or(u64::MAX);
            let request = Compound::new()
                .put_handle(&found.handle)
                .write(StateId::ANONYMOUS, offset, part)
                .get_handle()
                .get_attr();
            let result = self.call(request).await.and_then(|replies| match written_bytes(&replies) {
                0 => Err(self.incomplete(OpCode::Write)),
                more => Ok((more, self.found(&replies)?)),
            });
            match result {
                Ok((more, now)) => {
                    done += more;
                    found = now;
                }
                // The same bytes in the same place: written twice is as good as once.
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => attempt += 1,
                Err(error) => {
                    self.discard(parent, name, &found.handle).await;
                    return Err(error);
                }
            }
        }
        Ok(found)
    }

    /// Closes an open whose compound failed after OPEN; returns the file.
    async fn close_after(&self, error: &Error) -> Option<FileHandle> {
        let completed = error.completed()?;
        let opened =
            completed.iter().find_map(|reply| if let Reply::Opened(open) = reply { Some(open.0) } else { None });
        let handle = completed.handle(0)?;
        self.close(Compound::new().put_handle(handle).close(opened?)).await;
        Some(handle.clone())
    }

    async fn close(&self, closing: Compound) {
        if let Err(error) = self.call(closing).await {
            tracing::debug!(server = self.server(), %error, "an open is left to the lease");
        }
    }

    /// A name for an open that no other open of this client has, so that the server keeps them apart.
    fn open_owner(&self) -> Vec<u8> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}/{count}", self.engine.config.client_owner).into_bytes()
    }
}

fn read_bytes(replies: &Replies) -> Vec<u8> {
    let data = replies.iter().find_map(|reply| if let Reply::Data { bytes, .. } = reply { Some(bytes) } else { None });
    data.cloned().unwrap_or_default()
}

fn written_bytes(replies: &Replies) -> usize {
    let count = replies.iter().find_map(|reply| if let Reply::Written(count) = reply { Some(*count) } else { None });
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}
