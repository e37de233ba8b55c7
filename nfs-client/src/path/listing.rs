//! Listing directories.

use crate::{Client, Compound, DirectoryPage, Entry, Error, FileHandle, OpCode};

/// Bytes of entries asked for at a time.
const PAGE: u32 = 32 * 1024;
/// Room for everything in a reply but the entries.
const REPLY_OVERHEAD: u32 = 1024;

impl Client {
    /// A part of a directory: its start, or what follows `previous`. Sized so that the reply fits the session.
    ///
    /// `BAD_COOKIE` or `NOT_SAME` if the server cannot go on from there any more: start again.
    pub async fn read_dir_page(
        &self,
        directory: &FileHandle,
        previous: Option<&DirectoryPage>,
    ) -> Result<DirectoryPage, Error> {
        let session = self.session(self.deadline()).await?;
        let max_bytes = PAGE.min(session.limits.max_response.saturating_sub(REPLY_OVERHEAD));
        let replies = self.call(Compound::new().put_handle(directory).read_dir(previous, max_bytes)).await?;
        Ok(replies.page().ok_or_else(|| self.incomplete(OpCode::ReadDir))?.clone())
    }

    /// All entries of a directory, in several round trips if it is large. Entries that are made or removed meanwhile
    /// may or may not be among them.
    pub async fn read_dir(&self, directory: &FileHandle) -> Result<Vec<Entry>, Error> {
        let mut page = self.read_dir_page(directory, None).await?;
        let mut entries = std::mem::take(&mut page.entries);
        while !page.end {
            let next = self.read_dir_page(directory, Some(&page)).await?;
            if next.entries.is_empty() && !next.end && next.cookie == page.cookie {
                return Err(self.incomplete(OpCode::ReadDir));
            }
            page = next;
            entries.append(&mut page.entries);
        }
        Ok(entries)
    }
}
