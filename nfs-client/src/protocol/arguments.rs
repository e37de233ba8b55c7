//! Arguments of operations (`nfs_argop4`).

use onc_rpc::{DecodeError, Reader, Writer};

use super::OpCode;
use crate::{
    FileHandle, SetAttributes,
    attributes::{AttributeMask, Attributes, ObjectState},
};

/// Names an open on its server (`stateid4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateId {
    /// Counts changes of the state; not compared for the special values below.
    pub seqid: u32,
    /// What the server knows the state by.
    pub other: [u8; 12],
}

impl StateId {
    /// The special state id for "no open": what SETATTR without a size carries (RFC 8881 §8.2.3).
    pub const ANONYMOUS: Self = Self { seqid: 0, other: [0; 12] };
    /// The special state id for "the one an operation before me in this compound returned" (RFC 8881 §16.2.3.1.2).
    pub const CURRENT: Self = Self { seqid: 1, other: [0; 12] };

    /// Writes it.
    pub fn encode(self, writer: &mut Writer) {
        writer.u32(self.seqid);
        writer.fixed(&self.other);
    }

    /// Reads one.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { seqid: reader.u32()?, other: reader.array()? })
    }
}

/// How OPEN finds or makes its file; the name is relative to the current directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The file exists; it is opened for reading.
    Existing,
    /// `EXCLUSIVE4_1`: the file is made, or was made by an earlier OPEN with the same verifier. Opened for writing.
    Create {
        /// Tells a repetition from another creator.
        verifier: [u8; 8],
        /// What the file is made with.
        attributes: SetAttributes,
    },
    /// `GUARDED4`: the file is made, or there is one already. Opened for writing.
    New {
        /// What the file is made with.
        attributes: SetAttributes,
    },
}

/// One operation with its arguments, as far as this client sends it: SETATTR without a state, WRITE to stable storage,
/// READDIR of the attributes in [`Attributes::LISTING`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// PUTROOTFH.
    PutRootHandle,
    /// PUTFH.
    PutHandle(FileHandle),
    /// GETFH.
    GetHandle,
    /// SAVEFH.
    SaveHandle,
    /// RESTOREFH.
    RestoreHandle,
    /// LOOKUP of a name.
    Lookup(Vec<u8>),
    /// GETATTR of these.
    GetAttributes(AttributeMask),
    /// SETATTR.
    SetAttributes(SetAttributes),
    /// VERIFY that the object is the one that was seen, and untouched.
    Verify(ObjectState),
    /// VERIFY that a file has so many bytes.
    VerifySize(u64),
    /// CREATE of a directory.
    CreateDirectory {
        /// Its name.
        name: Vec<u8>,
        /// What it is made with.
        attributes: SetAttributes,
    },
    /// CREATE of a symbolic link.
    CreateSymlink {
        /// Its name.
        name: Vec<u8>,
        /// Its text.
        target: Vec<u8>,
    },
    /// READLINK.
    ReadLink,
    /// RENAME from the saved directory to the current one.
    Rename {
        /// Name in the saved directory.
        old: Vec<u8>,
        /// Name in the current directory.
        new: Vec<u8>,
    },
    /// REMOVE of a name.
    Remove(Vec<u8>),
    /// READDIR.
    ReadDirectory {
        /// Where to go on; 0 is the beginning.
        cookie: u64,
        /// What the server returned with the cookie.
        verifier: [u8; 8],
        /// Most bytes of the result.
        max_bytes: u32,
    },
    /// OPEN of a name.
    Open {
        /// The name.
        name: Vec<u8>,
        /// The open owner, unique to this open.
        owner: Vec<u8>,
        /// Whether the file is made.
        claim: Claim,
    },
    /// READ.
    Read {
        /// The open.
        state: StateId,
        /// First byte.
        offset: u64,
        /// Most bytes.
        count: u32,
    },
    /// WRITE.
    Write {
        /// The open.
        state: StateId,
        /// First byte.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// CLOSE.
    Close(StateId),
    /// `RECLAIM_COMPLETE` for the whole server.
    ReclaimComplete,
}

const NF4DIR: u32 = 2;
const NF4LNK: u32 = 5;
const SHARE_ACCESS_READ: u32 = 1;
const SHARE_ACCESS_WRITE: u32 = 2;
/// `OPEN4_SHARE_ACCESS_WANT_NO_DELEG`: there is no back channel to recall a delegation on.
const WANT_NO_DELEGATION: u32 = 0x0400;
const OPEN_NOCREATE: u32 = 0;
const OPEN_CREATE: u32 = 1;
const CREATE_GUARDED: u32 = 1;
const CREATE_EXCLUSIVE4_1: u32 = 3;
const CLAIM_NULL: u32 = 0;
const WRITE_FILE_SYNC: u32 = 2;

impl Operation {
    /// Its number.
    pub fn code(&self) -> OpCode {
        match self {
            Self::PutRootHandle => OpCode::PutRootFh,
            Self::PutHandle(_) => OpCode::PutFh,
            Self::GetHandle => OpCode::GetFh,
            Self::SaveHandle => OpCode::SaveFh,
            Self::RestoreHandle => OpCode::RestoreFh,
            Self::Lookup(_) => OpCode::Lookup,
            Self::GetAttributes(_) => OpCode::GetAttr,
            Self::SetAttributes(_) => OpCode::SetAttr,
            Self::Verify(_) | Self::VerifySize(_) => OpCode::Verify,
            Self::CreateDirectory { .. } | Self::CreateSymlink { .. } => OpCode::Create,
            Self::ReadLink => OpCode::ReadLink,
            Self::Rename { .. } => OpCode::Rename,
            Self::Remove(_) => OpCode::Remove,
            Self::ReadDirectory { .. } => OpCode::ReadDir,
            Self::Open { .. } => OpCode::Open,
            Self::Read { .. } => OpCode::Read,
            Self::Write { .. } => OpCode::Write,
            Self::Close(_) => OpCode::Close,
            Self::ReclaimComplete => OpCode::ReclaimComplete,
        }
    }

    /// Whether a second execution could have another outcome than the first.
    pub fn is_mutation(&self) -> bool {
        match self {
            Self::SetAttributes(_)
            | Self::CreateDirectory { .. }
            | Self::CreateSymlink { .. }
            | Self::Rename { .. }
            | Self::Remove(_)
            | Self::Write { .. }
            | Self::Open { claim: Claim::Create { .. } | Claim::New { .. }, .. } => true,
            Self::PutRootHandle
            | Self::PutHandle(_)
            | Self::GetHandle
            | Self::SaveHandle
            | Self::RestoreHandle
            | Self::Lookup(_)
            | Self::GetAttributes(_)
            | Self::Verify(_)
            | Self::VerifySize(_)
            | Self::ReadLink
            | Self::ReadDirectory { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Close(_)
            | Self::ReclaimComplete => false,
        }
    }

    /// Writes number and arguments.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u32(self.code().to_u32());
        match self {
            Self::PutRootHandle | Self::GetHandle | Self::SaveHandle | Self::RestoreHandle | Self::ReadLink => {}
            Self::PutHandle(handle) => writer.opaque(handle.as_bytes()),
            Self::Lookup(name) | Self::Remove(name) => writer.opaque(name),
            Self::GetAttributes(mask) => mask.encode(writer),
            Self::SetAttributes(attributes) => {
                StateId::ANONYMOUS.encode(writer);
                attributes.encode(writer);
            }
            Self::Verify(state) => state.encode(writer),
            // An fattr4 of the size alone (RFC 8881 §18.31).
            Self::VerifySize(size) => SetAttributes { size: Some(*size), ..SetAttributes::default() }.encode(writer),
            Self::CreateDirectory { name, attributes } => {
                writer.u32(NF4DIR);
                writer.opaque(name);
                attributes.encode(writer);
            }
            Self::CreateSymlink { name, target } => {
                writer.u32(NF4LNK);
                writer.opaque(target);
                writer.opaque(name);
                SetAttributes::default().encode(writer);
            }
            Self::Rename { old, new } => {
                writer.opaque(old);
                writer.opaque(new);
            }
            Self::ReadDirectory { cookie, verifier, max_bytes } => {
                writer.u64(*cookie);
                writer.fixed(verifier);
                writer.u32(*max_bytes);
                writer.u32(*max_bytes);
                Attributes::LISTING.encode(writer);
            }
            Self::Open { name, owner, claim } => encode_open(name, owner, claim, writer),
            Self::Read { state, offset, count } => {
                state.encode(writer);
                writer.u64(*offset);
                writer.u32(*count);
            }
            Self::Write { state, offset, data } => {
                state.encode(writer);
                writer.u64(*offset);
                writer.u32(WRITE_FILE_SYNC);
                writer.opaque(data);
            }
            Self::Close(state) => {
                // A seqid that NFSv4.1 ignores: the slot orders requests.
                writer.u32(0);
                state.encode(writer);
            }
            // rca_one_fs: the whole server, not one of its file systems.
            Self::ReclaimComplete => writer.bool(false),
        }
    }
}

fn encode_open(name: &[u8], owner: &[u8], claim: &Claim, writer: &mut Writer) {
    let access = match claim {
        Claim::Existing => SHARE_ACCESS_READ,
        Claim::Create { .. } | Claim::New { .. } => SHARE_ACCESS_WRITE,
    };
    writer.u32(0); // seqid, ignored by NFSv4.1
    writer.u32(access | WANT_NO_DELEGATION);
    writer.u32(0); // deny nothing to others
    writer.u64(0); // client id, known from the session
    writer.opaque(owner);
    match claim {
        Claim::Existing => writer.u32(OPEN_NOCREATE),
        Claim::Create { verifier, attributes } => {
            writer.u32(OPEN_CREATE);
            writer.u32(CREATE_EXCLUSIVE4_1);
            writer.fixed(verifier);
            attributes.encode(writer);
        }
        Claim::New { attributes } => {
            writer.u32(OPEN_CREATE);
            writer.u32(CREATE_GUARDED);
            attributes.encode(writer);
        }
    }
    writer.u32(CLAIM_NULL);
    writer.opaque(name);
}
