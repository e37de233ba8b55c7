//! Small files: written or read whole in one round trip, with an open that lives inside the compound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Found, MAX_ATTEMPTS, interrupted};
use crate::{
    Client, Compound, Error, FileHandle, NfsStatus, OpCode, Replies, Reply, SetAttributes,
    protocol::{Claim, StateId},
    random,
};

/// Most bytes of a file that [`Client::read_file`] reads and [`Client::create_file`] writes.
pub const MAX_FILE: u32 = 32 * 1024;

impl Client {
    /// Makes a file with a mode and its whole content, at most [`MAX_FILE`] bytes.
    ///
    /// Exclusive: EXIST if there is anything of that name. If it cannot be written, it is removed again. If the
    /// session is lost in the middle, a file made by this very call is completed, and one with exactly this content
    /// counts as ours.
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
        let (mut attempt, mut was_interrupted) = (1, false);
        loop {
            let request = Compound::new()
                .put_handle(parent)
                .open(name, owner.clone(), claim.clone())
                .get_handle()
                .write(StateId::CURRENT, 0, content.to_vec())
                .close(StateId::CURRENT)
                .get_attr();
            let error = match self.call(request).await {
                Ok(replies) => return self.written(parent, name, &replies, content).await,
                Err(error) => error,
            };
            let again = interrupted(&error) || error.status().is_some_and(NfsStatus::asks_to_wait);
            if again && attempt < MAX_ATTEMPTS {
                was_interrupted |= interrupted(&error);
                attempt += 1;
                continue;
            }
            if was_interrupted && error.is_status(NfsStatus::Exist) {
                let same = matches!(self.read_file(parent, name).await, Ok(found) if found == content);
                return if same { self.entry(parent, name).await } else { Err(error) };
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
        let request = Compound::new()
            .put_handle(parent)
            .open(name, self.open_owner(), Claim::Existing)
            .get_handle()
            .read(StateId::CURRENT, 0, MAX_FILE)
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
        let size = replies.attributes(0).and_then(|attributes| attributes.size).unwrap_or(0);
        self.check_size(usize::try_from(size).unwrap_or(usize::MAX))?;
        let data =
            replies.iter().find_map(|reply| if let Reply::Data { bytes, .. } = reply { Some(bytes) } else { None });
        // Servers may return less than was asked for; what is not the whole file is not a result.
        let whole = data.filter(|bytes| u64::try_from(bytes.len()).ok() == Some(size));
        Ok(whole.ok_or_else(|| self.incomplete(OpCode::Read))?.clone())
    }

    fn check_size(&self, given: usize) -> Result<(), Error> {
        let limit = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
        if given > limit {
            return Err(Error::TooLarge { server: self.engine.server.clone(), unit: "bytes", given, limit });
        }
        Ok(())
    }

    /// Writes what a full file system has left over of the first WRITE, to learn why, or to complete it after all.
    async fn written(
        &self,
        parent: &FileHandle,
        name: &[u8],
        replies: &Replies,
        content: &[u8],
    ) -> Result<Found, Error> {
        let mut found = self.found(replies)?;
        let mut done = written_bytes(replies);
        while done < content.len() {
            let rest = content[done..].to_vec();
            let offset = u64::try_from(done).unwrap_or(u64::MAX);
            let request = Compound::new()
                .put_handle(&found.handle)
                .write(StateId::ANONYMOUS, offset, rest)
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
        if let Err(error) = self.call(Compound::new().put_handle(handle).close(opened?)).await {
            tracing::debug!(server = self.server(), %error, "an open is left to the lease");
        }
        Some(handle.clone())
    }

    /// A name for an open that no other open of this client has, so that the server keeps them apart.
    fn open_owner(&self) -> Vec<u8> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}/{count}", self.engine.config.client_owner).into_bytes()
    }
}

fn written_bytes(replies: &Replies) -> usize {
    let count = replies.iter().find_map(|reply| if let Reply::Written(count) = reply { Some(*count) } else { None });
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}
