//! Results of operations (`nfs_resop4`).

use onc_rpc::{DecodeError, Reader};

use super::{OpCode, StateId};
use crate::{Attributes, FileHandle, NfsStatus, attributes::AttributeMask, name};

/// Longest symbolic link and longest block of file data that is looked at, in bytes.
const MAX_DATA: usize = 1 << 20;
/// Longest entry name that is looked at: beyond what is sent, servers may hold longer ones.
const MAX_ENTRY_NAME: usize = 4 * name::MAX_NAME;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name; NFS does not promise UTF-8.
    pub name: Vec<u8>,
    /// Type, file id, size, mode, modification time and handle, as far as the server tells.
    pub attributes: Attributes,
}

/// A part of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryPage {
    /// The entries, without `.` and `..`, in the server's order.
    pub entries: Vec<Entry>,
    /// Whether the listing ends here.
    pub end: bool,
    pub(crate) cookie: u64,
    pub(crate) verifier: [u8; 8],
}

/// What one operation returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing beside success.
    Done,
    /// GETFH.
    Handle(FileHandle),
    /// GETATTR.
    Attributes(Box<Attributes>),
    /// READLINK: the link's text.
    Target(Vec<u8>),
    /// READDIR.
    Page(DirectoryPage),
    /// READ: the bytes, and whether the file ends with them.
    Data {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether the file ends with them.
        end: bool,
    },
    /// WRITE: how many bytes were written and stored safely.
    Written(u32),
    /// OPEN: the open, as `seqid` and `other` of its state id.
    Opened(OpenState),
}

/// An open on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenState(pub(crate) StateId);

/// Reads one result: number, status, and what belongs to it.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<(OpCode, NfsStatus, Reply), DecodeError> {
    let number = reader.u32()?;
    let code =
        OpCode::from_u32(number).ok_or(DecodeError::BadValue { what: "operation number", value: number.into() })?;
    let status = NfsStatus::from_u32(reader.u32()?);
    if status != NfsStatus::Ok {
        // The failed operation is the last of its reply; what may follow its status (SETATTR's bitmap, limits of
        // CREATE_SESSION) is of no use.
        return Ok((code, status, Reply::Done));
    }
    let reply = match code {
        OpCode::GetFh => Reply::Handle(FileHandle::decode(reader)?),
        OpCode::GetAttr => Reply::Attributes(Box::new(Attributes::decode(reader)?)),
        OpCode::ReadLink => Reply::Target(reader.opaque("symbolic link", MAX_DATA)?.to_vec()),
        OpCode::ReadDir => Reply::Page(decode_page(reader)?),
        OpCode::Open | OpCode::Read | OpCode::Write | OpCode::Close => decode_file(code, reader)?,
        OpCode::Create => {
            skip_change(reader)?;
            AttributeMask::decode(reader)?;
            Reply::Done
        }
        OpCode::SetAttr => {
            AttributeMask::decode(reader)?;
            Reply::Done
        }
        OpCode::Remove => {
            skip_change(reader)?;
            Reply::Done
        }
        OpCode::Rename => {
            skip_change(reader)?;
            skip_change(reader)?;
            Reply::Done
        }
        OpCode::Lookup
        | OpCode::PutFh
        | OpCode::PutRootFh
        | OpCode::SaveFh
        | OpCode::RestoreFh
        | OpCode::Verify
        | OpCode::ReclaimComplete => Reply::Done,
        OpCode::BindConnToSession
        | OpCode::ExchangeId
        | OpCode::CreateSession
        | OpCode::DestroySession
        | OpCode::DestroyClientId
        | OpCode::Sequence
        | OpCode::Illegal => {
            return Err(DecodeError::BadValue { what: "operation in this place", value: number.into() });
        }
    };
    Ok((code, status, reply))
}

/// Results of operations on open files.
fn decode_file(code: OpCode, reader: &mut Reader<'_>) -> Result<Reply, DecodeError> {
    Ok(match code {
        OpCode::Open => decode_open(reader)?,
        OpCode::Read => {
            let end = reader.bool()?;
            Reply::Data { end, bytes: reader.opaque("file data", MAX_DATA)?.to_vec() }
        }
        OpCode::Write => {
            let count = reader.u32()?;
            reader.u32()?; // how it was stored: as asked or safer
            reader.array::<8>()?; // write verifier, of no use with FILE_SYNC
            Reply::Written(count)
        }
        _ => {
            StateId::decode(reader)?;
            Reply::Done
        }
    })
}

/// `change_info4`
fn skip_change(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.bool()?;
    reader.u64()?;
    reader.u64()?;
    Ok(())
}

fn decode_page(reader: &mut Reader<'_>) -> Result<DirectoryPage, DecodeError> {
    let mut page = DirectoryPage { verifier: reader.array()?, ..DirectoryPage::default() };
    while reader.bool()? {
        page.cookie = reader.u64()?;
        let name = reader.opaque("entry name", MAX_ENTRY_NAME)?.to_vec();
        let attributes = Attributes::decode(reader)?;
        // NFSv4 has no such entries, but a server that sends them must not lead anyone out of the directory.
        if name != b"." && name != b".." {
            page.entries.push(Entry { name, attributes });
        }
    }
    page.end = reader.bool()?;
    Ok(page)
}

const DELEGATE_NONE: u32 = 0;
const DELEGATE_NONE_EXT: u32 = 3;
const WHY_CONTENTION: u32 = 1;
const WHY_RESOURCE: u32 = 2;

fn decode_open(reader: &mut Reader<'_>) -> Result<Reply, DecodeError> {
    let state = StateId::decode(reader)?;
    skip_change(reader)?;
    reader.u32()?; // rflags: nothing this client acts on
    AttributeMask::decode(reader)?;
    match reader.u32()? {
        DELEGATE_NONE => {}
        DELEGATE_NONE_EXT => {
            if matches!(reader.u32()?, WHY_CONTENTION | WHY_RESOURCE) {
                reader.bool()?;
            }
        }
        value => {
            return Err(DecodeError::BadValue { what: "delegation that was not wanted", value: value.into() });
        }
    }
    Ok(Reply::Opened(OpenState(state)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_arbitrary_results_never_panics(number in 0u32..=60, status in prop::bool::weighted(0.1), rest: Vec<u8>) {
            let mut bytes = number.to_be_bytes().to_vec();
            bytes.extend(u32::from(status).to_be_bytes());
            bytes.extend(rest);
            let _ = decode(&mut Reader::new(&bytes));
        }
    }
}
