//! Making directories and symbolic links, and renaming.

use super::{Found, MAX_ATTEMPTS, interrupted};
use crate::{Client, Compound, Error, FileHandle, NfsStatus, OpCode, Replies, SetAttributes};

impl Client {
    /// Makes a directory with a mode, and with an owner if `owner` gives user and group id. The mode holds with its
    /// set-gid bit where the server supports that; the attributes returned are what the server has stored.
    ///
    /// Exclusive: EXIST if there is anything of that name. If the owner cannot be set, the directory is removed again
    /// and the error is [`Error::OwnerRefused`]. If the session is lost in the middle and there is no such directory
    /// afterwards, it is made; if there is one, nobody can tell whose it is: [`Error::OutcomeUnknown`]. Use
    /// [`ensure_dir`](Self::ensure_dir) where that does not matter.
    pub async fn create_dir(
        &self,
        parent: &FileHandle,
        name: impl AsRef<[u8]>,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<Found, Error> {
        let name = name.as_ref();
        let mut attempt = 1;
        loop {
            let start = Compound::new().put_handle(parent).create_dir(name, SetAttributes::mode(mode)).get_handle();
            match self.call(finish_dir(start, mode, owner)).await {
                Ok(replies) => return self.found(&replies),
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => {
                    if self.look(parent, name).await?.is_some() {
                        return Err(error);
                    }
                    attempt += 1;
                }
                Err(error) => return self.half_made(parent, name, mode, owner, error).await,
            }
        }
    }

    /// The directory of that name, made with a mode if there is none. Existing directories stay as they are; a
    /// symbolic link is [`Error::Symlink`], anything else [`Error::NotDirectory`].
    pub async fn ensure_dir(&self, parent: &FileHandle, name: impl AsRef<[u8]>, mode: u32) -> Result<Found, Error> {
        let name = name.as_ref();
        if let Some(found) = self.look(parent, name).await? {
            self.require_directory(&found.attributes, || String::from_utf8_lossy(name).into_owned())?;
            return Ok(found);
        }
        match self.create_dir(parent, name, mode, None).await {
            Err(error) if error.is_status(NfsStatus::Exist) || interrupted(&error) => {
                let found = self.lookup(parent, name).await?;
                self.require_directory(&found.attributes, || String::from_utf8_lossy(name).into_owned())?;
                Ok(found)
            }
            result => result,
        }
    }

    /// Goes on after a CREATE that may have succeeded before something else failed.
    async fn half_made(
        &self,
        parent: &FileHandle,
        name: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
        mut error: Error,
    ) -> Result<Found, Error> {
        let Some(handle) = error.completed().and_then(|completed| completed.handle(0)).cloned() else {
            return Err(error);
        };
        let mut attempt = 1;
        while (interrupted(&error) || error.status().is_some_and(NfsStatus::asks_to_wait)) && attempt < MAX_ATTEMPTS {
            let rest = finish_dir(Compound::new().put_handle(&handle), mode, owner);
            match self.call(rest).await {
                Ok(replies) => {
                    let attributes = replies.attributes(0).ok_or_else(|| self.incomplete(OpCode::GetAttr))?.clone();
                    return Ok(Found { handle, attributes });
                }
                Err(next) => error = next,
            }
            attempt += 1;
        }
        self.discard(parent, name, &handle).await;
        Err(self.owner_refused(owner, error))
    }

    /// Removes what was just made and is of no use, if the name still leads to it.
    pub(super) async fn discard(&self, parent: &FileHandle, name: &[u8], made: &FileHandle) {
        let still_ours = matches!(self.look(parent, name).await, Ok(Some(found)) if found.handle == *made);
        if still_ours && let Err(error) = self.remove(parent, name).await {
            tracing::warn!(server = self.server(), %error, "what could not be made completely stays behind");
        }
    }

    fn owner_refused(&self, owner: Option<(u32, u32)>, error: Error) -> Error {
        match (owner, error.failed_op(), error.status()) {
            (Some((uid, gid)), Some((_, OpCode::SetAttr)), Some(status @ (NfsStatus::Perm | NfsStatus::Access))) => {
                Error::OwnerRefused { server: self.engine.server.clone(), owner: format!("{uid}:{gid}"), status }
            }
            _ => error,
        }
    }

    /// Makes a symbolic link with a text of at most 4095 bytes; some file systems take 1023 (XFS, ext4 with small blocks).
    ///
    /// Exclusive: EXIST if there is anything of that name. If the session is lost in the middle, a link with exactly
    /// this text counts as ours: texts that must be told apart have to differ.
    pub async fn create_symlink(
        &self,
        parent: &FileHandle,
        name: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let (name, target) = (name.as_ref(), target.as_ref());
        let mut attempt = 1;
        loop {
            match self.call(Compound::new().put_handle(parent).create_symlink(name, target)).await {
                Ok(_) => return Ok(()),
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => {
                    match self.read_link(parent, name).await {
                        Ok(text) if text == target => return Ok(()),
                        Err(error) if error.is_status(NfsStatus::NoEnt) => attempt += 1,
                        Err(error) if error.is_transient() => return Err(error),
                        // It is another link, or cannot be read as one: it is not ours.
                        Ok(_) | Err(_) => return Err(self.exists(OpCode::Create)),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The error for a name that was taken by somebody else while our own attempt was interrupted.
    pub(super) fn exists(&self, op: OpCode) -> Error {
        Error::Status {
            server: self.engine.server.clone(),
            op,
            index: 1,
            status: NfsStatus::Exist,
            completed: Replies::default(),
        }
    }

    /// Renames, replacing what rename(2) would replace.
    ///
    /// If the session is lost in the middle, the rename counts as done when the old name is gone and the new one is
    /// there, and is repeated when the old name is still there: nobody else may rename the same names meanwhile.
    pub async fn rename(
        &self,
        from: (&FileHandle, impl AsRef<[u8]>),
        to: (&FileHandle, impl AsRef<[u8]>),
    ) -> Result<(), Error> {
        let (old, new) = (from.1.as_ref(), to.1.as_ref());
        let mut attempt = 1;
        loop {
            let request = Compound::new().put_handle(from.0).save_handle().put_handle(to.0).rename(old, new);
            match self.call(request).await {
                Ok(_) => return Ok(()),
                Err(error) if interrupted(&error) && attempt < MAX_ATTEMPTS => {
                    let gone = self.look(from.0, old).await?.is_none();
                    if gone && self.look(to.0, new).await?.is_some() {
                        return Ok(());
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What follows once the directory is current: owner first, because a change of owner may clear bits of the mode.
fn finish_dir(request: Compound, mode: u32, owner: Option<(u32, u32)>) -> Compound {
    let request = match owner {
        Some((uid, gid)) => request.set_attr(SetAttributes::owner(Some(uid), Some(gid))),
        None => request,
    };
    request.set_attr(SetAttributes::mode(mode)).get_attr()
}
