//! A directory known by its path, whose handle is looked up again when the server has forgotten it.

use std::sync::{Mutex, PoisonError};

use super::{Found, Removed};
use crate::{Attributes, Client, Entry, Error, FileHandle, NfsStatus, OpCode};

/// A directory by its path from the root of the server's exports. Its handle is looked up when it is first needed and
/// kept; when the server calls it stale (it was moved, or the server came back with other handles), the path is walked
/// again, once per call.
#[derive(Debug)]
pub struct Directory {
    client: Client,
    path: Vec<String>,
    handle: Mutex<Option<FileHandle>>,
}

impl Client {
    /// A directory by its path; nothing is sent yet.
    pub fn directory(&self, components: &[impl AsRef<str>]) -> Directory {
        let path = components.iter().map(|component| component.as_ref().to_owned()).collect();
        Directory { client: self.clone(), path, handle: Mutex::new(None) }
    }
}

impl Directory {
    /// The client it belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The handle, from the last walk or a new one.
    pub async fn handle(&self) -> Result<FileHandle, Error> {
        let known = self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(handle) => Ok(handle),
            None => self.walk().await,
        }
    }

    /// Forgets the handle: the next call walks the path.
    pub fn forget(&self) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn walk(&self) -> Result<FileHandle, Error> {
        let handle = self.client.open_dir(&self.path).await?;
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
        Ok(handle)
    }

    /// Does `work` with the handle, and once more with a fresh one if the server refuses the handle itself: nothing
    /// has been executed then.
    pub async fn with<T, F>(&self, mut work: impl FnMut(FileHandle) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match work(self.handle().await?).await {
            Err(error) if is_refused_handle(&error) => work(self.walk().await?).await,
            result => result,
        }
    }

    /// [`Client::getattr`] of the directory itself.
    pub async fn getattr(&self) -> Result<Attributes, Error> {
        self.with(|handle| async move { self.client.getattr(&handle).await }).await
    }

    /// [`Client::lookup`]
    pub async fn lookup(&self, name: &str) -> Result<Found, Error> {
        self.with(|handle| async move { self.client.lookup(&handle, name).await }).await
    }

    /// [`Client::create_dir`]
    pub async fn create_dir(&self, name: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<Found, Error> {
        self.with(|handle| async move { self.client.create_dir(&handle, name, mode, owner).await }).await
    }

    /// [`Client::ensure_dir`]
    pub async fn ensure_dir(&self, name: &str, mode: u32) -> Result<Found, Error> {
        self.with(|handle| async move { self.client.ensure_dir(&handle, name, mode).await }).await
    }

    /// [`Client::create_symlink`]
    pub async fn create_symlink(&self, name: &str, target: &str) -> Result<(), Error> {
        self.with(|handle| async move { self.client.create_symlink(&handle, name, target).await }).await
    }

    /// [`Client::read_link`]
    pub async fn read_link(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.with(|handle| async move { self.client.read_link(&handle, name).await }).await
    }

    /// [`Client::read_dir`]
    pub async fn read_dir(&self) -> Result<Vec<Entry>, Error> {
        self.with(|handle| async move { self.client.read_dir(&handle).await }).await
    }

    /// [`Client::remove`]
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        self.with(|handle| async move { self.client.remove(&handle, name).await }).await
    }

    /// [`Client::remove_many`]
    pub async fn remove_many(&self, names: &[impl AsRef<[u8]> + Sync]) -> Result<Removed, Error> {
        self.with(|handle| async move { self.client.remove_many(&handle, names).await }).await
    }
}

/// Whether the first PUTFH of a compound failed because the handle leads nowhere any more.
fn is_refused_handle(error: &Error) -> bool {
    error.failed_op() == Some((0, OpCode::PutFh)) && error.status().is_some_and(NfsStatus::is_lost_handle)
}
