//! Directories, links and files by handle and name. Each call is one round trip when nothing fails, except where it
//! says otherwise.
//!
//! Changes are exact while the session lives (see the table in the [crate documentation](crate)). When the session
//! was lost in the middle, they look what has happened and go on from there; each says what it can tell. They return
//! [`Error::OutcomeUnknown`] only where looking cannot tell, or when the time was up.

mod create;
mod directory;
mod file;
mod listing;
mod remove;

pub use directory::Directory;
pub use file::MAX_FILE;
pub use remove::Removed;

use crate::{
    Attributes, Client, Compound, Error, FileHandle, NfsStatus, OpCode, Replies, SetAttributes, protocol::ChannelLimits,
};

/// Bytes of a request that are kept for everything but the names in it: RPC header, SEQUENCE, a handle, a few operations
/// without arguments of any length.
const REQUEST_OVERHEAD: u32 = 640;
/// Bytes of a reply that are kept for everything but the results of the operations on names: RPC header, SEQUENCE, handle
/// and attributes.
const REPLY_OVERHEAD: u32 = 192;
/// Bytes of LOOKUP's result.
const LOOKUP_RESULT: u32 = 8;

/// Attempts of a change whose session is lost again and again.
const MAX_ATTEMPTS: u32 = 5;

/// An object that was found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its handle.
    pub handle: FileHandle,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Client {
    /// Walks from the root of the server's exports to a directory. A symbolic link on the way, or at its end, is
    /// [`Error::Symlink`]; anything else that is no directory is [`Error::NotDirectory`]; `..` is [`Error::BadName`].
    /// Deep paths take several round trips, as the server's limit of operations demands.
    pub async fn open_dir(&self, components: &[impl AsRef<str> + Sync]) -> Result<FileHandle, Error> {
        let limits = self.limits().await?;
        let mut current: Option<FileHandle> = None;
        let mut walked = 0;
        loop {
            let left = &components[walked..];
            // Beside LOOKUPs, a compound has PUTFH, GETFH and GETATTR.
            let part = &left[..fitting(limits, 3, left.iter().map(|name| name.as_ref().len()), LOOKUP_RESULT)];
            let start = match &current {
                None => Compound::new().put_root(),
                Some(handle) => Compound::new().put_handle(handle),
            };
            let request = part.iter().fold(start, |request, name| request.lookup(name.as_ref()));
            let replies = self.call(request.get_handle().get_attr()).await;
            let found = self.found(&replies.map_err(|error| self.misled(error, components, walked))?)?;
            walked += part.len();
            self.require_directory(&found.attributes, || path(&components[..walked]))?;
            if walked == components.len() {
                return Ok(found.handle);
            }
            current = Some(found.handle);
        }
    }

    /// An entry of a directory, of any kind but a symbolic link: that is [`Error::Symlink`].
    pub async fn lookup(&self, parent: &FileHandle, name: impl AsRef<[u8]>) -> Result<Found, Error> {
        let name = name.as_ref();
        let found = self.entry(parent, name).await?;
        if found.attributes.is_symlink() {
            return Err(self.symlink(String::from_utf8_lossy(name).into_owned()));
        }
        Ok(found)
    }

    /// An entry of a directory, whatever it is; a symbolic link is returned itself.
    pub async fn entry(&self, parent: &FileHandle, name: impl AsRef<[u8]>) -> Result<Found, Error> {
        let request = Compound::new().put_handle(parent).lookup(name).get_handle().get_attr();
        self.found(&self.call(request).await?)
    }

    /// The text of a symbolic link. [`Error::Status`] with INVAL or `WRONG_TYPE` if the entry is something else.
    pub async fn read_link(&self, parent: &FileHandle, name: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let replies = self.call(Compound::new().put_handle(parent).lookup(name).read_link()).await?;
        Ok(replies.target(0).ok_or_else(|| self.incomplete(OpCode::ReadLink))?.to_vec())
    }

    /// The attributes of an object.
    pub async fn getattr(&self, object: &FileHandle) -> Result<Attributes, Error> {
        let replies = self.call(Compound::new().put_handle(object).get_attr()).await?;
        Ok(replies.attributes(0).ok_or_else(|| self.incomplete(OpCode::GetAttr))?.clone())
    }

    /// Sets attributes and returns what they are then. Setting them twice is as good as once, so an interrupted call
    /// is simply repeated.
    pub async fn setattr(&self, object: &FileHandle, attributes: SetAttributes) -> Result<Attributes, Error> {
        let mut attempt = 1;
        loop {
            let request = Compound::new().put_handle(object).set_attr(attributes).get_attr();
            match self.call(request).await {
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(replies) => {
                    return Ok(replies.attributes(0).ok_or_else(|| self.incomplete(OpCode::GetAttr))?.clone());
                }
            }
        }
    }

    /// The entry, or `None` if there is none of that name.
    async fn look(&self, parent: &FileHandle, name: &[u8]) -> Result<Option<Found>, Error> {
        match self.entry(parent, name).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn found(&self, replies: &Replies) -> Result<Found, Error> {
        let handle = replies.handle(0).ok_or_else(|| self.incomplete(OpCode::GetFh))?.clone();
        let attributes = replies.attributes(0).ok_or_else(|| self.incomplete(OpCode::GetAttr))?.clone();
        Ok(Found { handle, attributes })
    }

    fn require_directory(&self, attributes: &Attributes, path: impl FnOnce() -> String) -> Result<(), Error> {
        if attributes.is_symlink() {
            return Err(self.symlink(path()));
        }
        if !attributes.is_directory() {
            return Err(Error::NotDirectory { server: self.engine.server.clone(), path: path() });
        }
        Ok(())
    }

    fn symlink(&self, path: String) -> Error {
        Error::Symlink { server: self.engine.server.clone(), path }
    }

    /// Names the component that stopped a walk: a LOOKUP fails *in* the link or file that the one before it found.
    fn misled(&self, error: Error, components: &[impl AsRef<str>], walked: usize) -> Error {
        let Some((index, OpCode::Lookup)) = error.failed_op() else { return error };
        // Operation 0 is PUTROOTFH or PUTFH, so the LOOKUP at `index` looks in what `index - 1` components lead to.
        let inside = path(&components[..walked + index - 1]);
        match error.status() {
            Some(NfsStatus::Symlink) => self.symlink(inside),
            Some(NfsStatus::NotDir) => Error::NotDirectory { server: self.engine.server.clone(), path: inside },
            _ => error,
        }
    }
}

/// How many of these names (their lengths in bytes) can be in one request, each in an operation of its own with a result of
/// so many bytes, beside `others` more operations. At least one is, so that a request that is too long for the server even
/// then is refused, and not asked for without end.
fn fitting(limits: ChannelLimits, others: u32, names: impl ExactSizeIterator<Item = usize>, result: u32) -> usize {
    let count = names.len();
    // SEQUENCE is one of the others.
    let operations = limits.max_operations.saturating_sub(others + 1);
    let results = limits.max_response.min(limits.max_cached).saturating_sub(REPLY_OVERHEAD) / result;
    let mut room = usize::try_from(limits.max_request.saturating_sub(REQUEST_OVERHEAD)).unwrap_or(usize::MAX);
    let most = usize::try_from(operations.min(results)).unwrap_or(usize::MAX);
    let fits = names.take(most).take_while(|length| {
        // Operation number, length, and padding.
        let rest = room.checked_sub(length + 11);
        room = rest.unwrap_or(0);
        rest.is_some()
    });
    fits.count().max(1).min(count)
}

/// The change may have happened, and will not happen later any more: a look tells.
fn interrupted(error: &Error) -> bool {
    matches!(error, Error::OutcomeUnknown { may_still_happen: false, .. })
}

fn path(components: &[impl AsRef<str>]) -> String {
    if components.is_empty() {
        return "/".into();
    }
    components.iter().fold(String::new(), |path, component| path + "/" + component.as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{protocol::Operation, session::OVERHEAD};

    proptest! {
        /// A batch that `fitting` allows is within every limit of the session, unless it is a single name.
        #[test]
        fn what_fits_is_within_every_limit(
            max_request in 512u32..80_000, max_response in 512u32..80_000, max_cached in 512u32..5000,
            max_operations in 4u32..100, lengths in prop::collection::vec(1usize..=255, 0..200), result in 8u32..40,
        ) {
            let limits = ChannelLimits { max_request, max_response, max_cached, max_operations, max_slots: 1 };
            let count = fitting(limits, 1, lengths.iter().copied(), result);
            prop_assert!(count <= lengths.len() && (count > 0 || lengths.is_empty()));
            if count > 1 {
                let mut request = onc_rpc::Writer::new();
                Operation::PutHandle(FileHandle::new(&[0; 128]).unwrap()).encode(&mut request);
                for length in &lengths[..count] {
                    Operation::Remove(vec![b'x'; *length]).encode(&mut request);
                }
                prop_assert!(request.as_slice().len() + OVERHEAD <= max_request as usize);
                prop_assert!(REPLY_OVERHEAD as usize + count * result as usize <= max_response.min(max_cached) as usize);
                prop_assert!(count + 2 <= max_operations as usize, "with SEQUENCE and PUTFH");
            }
        }
    }

    #[test]
    fn an_ordinary_session_takes_as_many_as_it_has_operations() {
        let limits = ChannelLimits {
            max_request: 1 << 16,
            max_response: 1 << 16,
            max_cached: 4096,
            max_operations: 64,
            max_slots: 64,
        };
        assert_eq!(fitting(limits, 1, [20; 500].into_iter(), 28), 62);
        assert_eq!(fitting(limits, 1, [20; 5].into_iter(), 28), 5);
    }
}
