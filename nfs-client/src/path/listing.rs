//! Listing directories.

use std::collections::HashSet;

use tokio::time::Instant;

use crate::{Client, Compound, DirectoryPage, Entry, Error, FileHandle, OpCode};

/// Bytes of entries asked for at a time.
const PAGE: u32 = 32 * 1024;
/// Room for everything in a reply but the entries: headers, and attributes with two long owners.
const REPLY_OVERHEAD: u32 = 1024;

impl Client {
    /// How many bytes of entries, at most `wanted`, a READDIR may ask for in the current session, so that the reply fits with a
    /// PUTFH and a GETATTR before it. Connects if need be.
    pub async fn page_size(&self, wanted: u32) -> Result<u32, Error> {
        Ok(wanted.min(page_within(self.limits().await?.max_response)))
    }

    /// A part of a directory: its start, or what follows `previous`. Sized so that the reply fits the session.
    ///
    /// `BAD_COOKIE` or `NOT_SAME` if the server cannot go on from there any more: start again.
    pub async fn read_dir_page(
        &self,
        directory: &FileHandle,
        previous: Option<&DirectoryPage>,
    ) -> Result<DirectoryPage, Error> {
        self.read_dir_page_until(directory, previous, self.deadline()).await
    }

    async fn read_dir_page_until(
        &self,
        directory: &FileHandle,
        previous: Option<&DirectoryPage>,
        deadline: Instant,
    ) -> Result<DirectoryPage, Error> {
        let session = self.session(deadline).await?;
        let max_bytes = PAGE.min(page_within(session.limits.max_response));
        let request = Compound::new().put_handle(directory).read_dir(previous, max_bytes);
        let replies = self.call_until(request, deadline).await?;
        Ok(replies.page().ok_or_else(|| self.incomplete(OpCode::ReadDir))?.clone())
    }

    /// All entries of a directory, in several round trips if it is large. Entries that are made or removed meanwhile
    /// may or may not be among them.
    ///
    /// Ends with all its round trips within the time of one call: [`Error::Timeout`] for a directory that takes longer to
    /// list, [`Error::Protocol`] at once for a server that leads back to where the listing has been before.
    pub async fn read_dir(&self, directory: &FileHandle) -> Result<Vec<Entry>, Error> {
        let (started, deadline) = (Instant::now(), self.deadline());
        // Where pages began. The first begins at 0, and a page without entries ends there.
        let mut begun = HashSet::from([0]);
        let mut entries = Vec::new();
        let mut previous = None;
        loop {
            let mut page = self.read_dir_page_until(directory, previous.as_ref(), deadline).await?;
            entries.append(&mut page.entries);
            if page.end {
                return Ok(entries);
            }
            if !begun.insert(page.cookie) {
                return Err(self.endless_listing());
            }
            if Instant::now() >= deadline {
                return Err(self.timeout(started, "the listing goes on and on"));
            }
            previous = Some(page);
        }
    }

    fn endless_listing(&self) -> Error {
        Error::Protocol { server: self.engine.server.clone(), detail: "READDIR leads back to where it began".into() }
    }
}

/// Bytes of entries in a reply that may be this long. Of a very short one the entries get half.
fn page_within(max_response: u32) -> u32 {
    max_response.saturating_sub(REPLY_OVERHEAD).max(max_response / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leaves_room_for_the_rest_of_its_reply() {
        assert_eq!([1 << 16, 4096, 1500, 1024, 0].map(page_within), [(1 << 16) - 1024, 3072, 750, 512, 0]);
    }
}
