//! Opens, reads and writes.

use nfs_client::{
    NfsStatus,
    protocol::{AttributeMask, Claim, StateId},
};
use onc_rpc::Writer;

use super::{
    State,
    compound::{Position, change},
    tree::Content,
    users::{READ, SEARCH},
};

impl State {
    pub(super) fn open(
        &mut self,
        name: &[u8],
        claim: &Claim,
        at: &mut Position,
        body: &mut Writer,
    ) -> Result<(), NfsStatus> {
        if !self.sessions.has_reclaimed(at.session) {
            return Err(NfsStatus::Grace);
        }
        self.require_no_grace()?;
        let directory = at.current()?;
        self.require(&at.user, directory, SEARCH)?;
        let found = match (self.tree.lookup(directory, name), claim) {
            (Ok(found), Claim::Existing) => {
                self.require(&at.user, found, READ)?;
                found
            }
            (Ok(found), Claim::Create { verifier, .. }) => match &self.tree.object(found)?.content {
                Content::File { verifier: Some(kept), .. } if kept == verifier => found,
                _ => return Err(NfsStatus::Exist),
            },
            (Ok(_), Claim::New { .. }) => return Err(NfsStatus::Exist),
            (Err(NfsStatus::NoEnt), Claim::New { attributes }) => {
                let content = Content::File { data: Vec::new(), verifier: None };
                self.create(&at.user, directory, name, content, attributes)?
            }
            (Err(NfsStatus::NoEnt), Claim::Create { verifier, attributes }) => {
                let content = Content::File { data: Vec::new(), verifier: Some(*verifier) };
                self.create(&at.user, directory, name, content, attributes)?
            }
            (Err(status), _) => return Err(status),
        };
        match self.tree.object(found)?.content {
            Content::File { .. } => {}
            Content::Directory(_) => return Err(NfsStatus::IsDir),
            Content::Symlink(_) => return Err(NfsStatus::Symlink),
        }
        let mut other = [0; 12];
        other[..8].copy_from_slice(&fastrand::u64(..).to_be_bytes());
        let state = StateId { seqid: 1, other };
        self.opens.insert(other);
        at.current = Some(found);
        at.state = Some(state);
        state.encode(body);
        change(body);
        body.u32(0);
        AttributeMask::default().encode(body);
        body.u32(0); // no delegation
        Ok(())
    }

    pub(super) fn read(&self, at: &Position, offset: u64, count: u32, body: &mut Writer) -> Result<(), NfsStatus> {
        let Content::File { data, .. } = &self.tree.object(at.current()?)?.content else {
            return Err(NfsStatus::Inval);
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let end = start
            .saturating_add(usize::try_from(count).unwrap_or(usize::MAX).min(self.options.max_read))
            .min(data.len());
        body.bool(end == data.len());
        body.opaque(&data[start..end]);
        Ok(())
    }

    /// A write changes the file's times, and with them the verifier of an exclusive create, as on real servers.
    pub(super) fn write(
        &mut self,
        at: &Position,
        offset: u64,
        bytes: &[u8],
        body: &mut Writer,
    ) -> Result<(), NfsStatus> {
        let bytes = &bytes[..bytes.len().min(self.options.max_write)];
        let object = self.tree.object_mut(at.current()?)?;
        object.touch();
        let Content::File { data, verifier } = &mut object.content else {
            return Err(NfsStatus::Inval);
        };
        let start = usize::try_from(offset).map_err(|_| NfsStatus::FBig)?;
        let end = start.checked_add(bytes.len()).ok_or(NfsStatus::FBig)?;
        data.resize(data.len().max(end), 0);
        data[start..end].copy_from_slice(bytes);
        *verifier = None;
        body.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        body.u32(2); // FILE_SYNC
        body.fixed(&[0; 8]);
        Ok(())
    }

    /// Somebody else writes a file.
    pub(super) fn write_whole(&mut self, path: &str, text: &str) {
        let Ok(found) = self.tree.find(path) else { return };
        let Ok(object) = self.tree.object_mut(found) else { return };
        object.touch();
        if let Content::File { data, .. } = &mut object.content {
            text.as_bytes().clone_into(data);
        }
    }

    pub(super) fn close(&mut self, state: StateId, at: &mut Position, body: &mut Writer) -> Result<(), NfsStatus> {
        let state = if state == StateId::CURRENT { at.state.take().ok_or(NfsStatus::BadStateId)? } else { state };
        if !self.opens.remove(&state.other) {
            return Err(NfsStatus::BadStateId);
        }
        state.encode(body);
        Ok(())
    }
}
