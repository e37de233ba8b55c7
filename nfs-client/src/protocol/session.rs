//! Operations that make, use and end sessions (RFC 8881 §18.34–18.37, 18.46, 18.50).

use onc_rpc::{DecodeError, Reader, Writer};

use super::OpCode;
use crate::NfsStatus;

/// Names a session (`sessionid4`).
pub type SessionId = [u8; 16];

/// `EXCHGID4_FLAG_CONFIRMED_R`: the client id has a session already, so the sequence number in the reply means nothing.
const CONFIRMED: u32 = 0x8000_0000;

pub(crate) fn encode_exchange_id(owner: &[u8], verifier: [u8; 8], writer: &mut Writer) {
    writer.u32(OpCode::ExchangeId.to_u32());
    writer.fixed(&verifier);
    writer.opaque(owner);
    // No flag: Ganesha 4.3 answers INVAL to EXCHGID4_FLAG_SUPP_FENCE_OPS, and nothing here needs any.
    writer.u32(0);
    writer.u32(0); // SP4_NONE
    writer.u32(0); // no implementation id
}

/// What `EXCHANGE_ID` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) id: u64,
    /// Sequence number for `CREATE_SESSION`; `None` if the client id is confirmed.
    pub(crate) sequence: Option<u32>,
}

/// What follows the flags (state protection, server owner and scope) is of no use here and not looked at.
pub(crate) fn decode_exchange_id(reader: &mut Reader<'_>) -> Result<ClientId, DecodeError> {
    let id = reader.u64()?;
    let sequence = reader.u32()?;
    let flags = reader.u32()?;
    Ok(ClientId { id, sequence: (flags & CONFIRMED == 0).then_some(sequence) })
}

/// Limits of a session's fore channel (`channel_attrs4`, RFC 8881 §18.36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLimits {
    /// `ca_maxrequestsize`: bytes of a request, RPC header included.
    pub max_request: u32,
    /// `ca_maxresponsesize`: bytes of a reply, RPC header included.
    pub max_response: u32,
    /// `ca_maxresponsesize_cached`: bytes of a reply that is kept for a repetition.
    pub max_cached: u32,
    /// `ca_maxoperations`: operations in a compound, SEQUENCE included.
    pub max_operations: u32,
    /// `ca_maxrequests`: slots.
    pub max_slots: u32,
}

impl ChannelLimits {
    /// knfsd refuses a session whose back channel could not carry its callbacks, although none is ever sent.
    const BACK: Self = Self { max_request: 4096, max_response: 4096, max_cached: 0, max_operations: 2, max_slots: 1 };

    /// Writes them.
    pub fn encode(self, writer: &mut Writer) {
        writer.u32(0); // header padding
        writer.u32(self.max_request);
        writer.u32(self.max_response);
        writer.u32(self.max_cached);
        writer.u32(self.max_operations);
        writer.u32(self.max_slots);
        writer.u32(0); // no RDMA
    }

    /// Reads them.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u32()?;
        let limits = Self {
            max_request: reader.u32()?,
            max_response: reader.u32()?,
            max_cached: reader.u32()?,
            max_operations: reader.u32()?,
            max_slots: reader.u32()?,
        };
        for _ in 0..reader.length("RDMA attributes", 1)? {
            reader.u32()?;
        }
        Ok(limits)
    }
}

pub(crate) fn encode_create_session(client: u64, sequence: u32, wanted: ChannelLimits, writer: &mut Writer) {
    writer.u32(OpCode::CreateSession.to_u32());
    writer.u64(client);
    writer.u32(sequence);
    writer.u32(0); // no back channel, no persistence
    wanted.encode(writer);
    ChannelLimits::BACK.encode(writer);
    writer.u32(0); // callback program
    writer.u32(1); // one callback credential: AUTH_NONE
    writer.u32(0);
}

/// What `CREATE_SESSION` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CreatedSession {
    pub(crate) id: SessionId,
    pub(crate) limits: ChannelLimits,
}

pub(crate) fn decode_create_session(reader: &mut Reader<'_>) -> Result<CreatedSession, DecodeError> {
    let id = reader.array()?;
    reader.u32()?; // sequence
    reader.u32()?; // flags
    let limits = ChannelLimits::decode(reader)?;
    Ok(CreatedSession { id, limits })
}

pub(crate) fn encode_bind_connection(session: SessionId, writer: &mut Writer) {
    writer.u32(OpCode::BindConnToSession.to_u32());
    writer.fixed(&session);
    writer.u32(1); // CDFC4_FORE
    writer.bool(false); // no RDMA
}

pub(crate) fn encode_destroy_session(session: SessionId, writer: &mut Writer) {
    writer.u32(OpCode::DestroySession.to_u32());
    writer.fixed(&session);
}

pub(crate) fn encode_destroy_client(client: u64, writer: &mut Writer) {
    writer.u32(OpCode::DestroyClientId.to_u32());
    writer.u64(client);
}

/// Arguments of SEQUENCE (RFC 8881 §18.46).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// `sa_sessionid`
    pub session: SessionId,
    /// `sa_sequenceid`: one more than the last request on the slot.
    pub sequence: u32,
    /// `sa_slotid`
    pub slot: u32,
    /// `sa_highest_slotid`: the highest slot in use.
    pub highest_slot: u32,
    /// `sa_cachethis`: the reply must be kept for a repetition.
    pub cache_this: bool,
}

impl Sequence {
    /// Writes number and arguments.
    pub fn encode(self, writer: &mut Writer) {
        writer.u32(OpCode::Sequence.to_u32());
        writer.fixed(&self.session);
        writer.u32(self.sequence);
        writer.u32(self.slot);
        writer.u32(self.highest_slot);
        writer.bool(self.cache_this);
    }

    /// Reads the arguments from behind the number.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: reader.array()?,
            sequence: reader.u32()?,
            slot: reader.u32()?,
            highest_slot: reader.u32()?,
            cache_this: reader.bool()?,
        })
    }
}

/// What a successful SEQUENCE says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceReply {
    /// The highest slot the server would like to see used.
    pub(crate) target_highest_slot: u32,
    pub(crate) flags: StatusFlags,
}

/// `sr_status_flags` (RFC 8881 §18.46.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusFlags(
    /// The bits.
    pub u32,
);

impl StatusFlags {
    const EXPIRED_ALL_STATE_REVOKED: u32 = 0x8;
    const EXPIRED_SOME_STATE_REVOKED: u32 = 0x10;
    const ADMIN_STATE_REVOKED: u32 = 0x20;
    /// `SEQ4_STATUS_RESTART_RECLAIM_NEEDED`
    pub const RESTART_RECLAIM_NEEDED: u32 = 0x100;

    /// The server has restarted, kept the session, and waits for `RECLAIM_COMPLETE`.
    pub(crate) fn wants_reclaim_complete(self) -> bool {
        self.0 & Self::RESTART_RECLAIM_NEEDED != 0
    }

    /// The server took state away. This client holds an open only within a compound, so nothing is lost, but a person
    /// should know.
    pub(crate) fn state_was_revoked(self) -> bool {
        self.0 & (Self::EXPIRED_ALL_STATE_REVOKED | Self::EXPIRED_SOME_STATE_REVOKED | Self::ADMIN_STATE_REVOKED) != 0
    }
}

/// Reads number and status of the first result, and the rest of it if it is a successful SEQUENCE. A reply to another
/// request than the one that began with `asked` is damage: what follows would be believed to be the answer to that one.
pub(crate) fn decode_sequence(
    asked: &Sequence,
    reader: &mut Reader<'_>,
) -> Result<Result<SequenceReply, NfsStatus>, DecodeError> {
    let status = decode_head(OpCode::Sequence, reader)?;
    if status != NfsStatus::Ok {
        return Ok(Err(status));
    }
    let (session, sequence, slot) = (reader.array()?, reader.u32()?, reader.u32()?);
    if (session, sequence, slot) != (asked.session, asked.sequence, asked.slot) {
        let what = "session, slot or sequence number in a reply";
        return Err(DecodeError::BadValue { what, value: sequence.into() });
    }
    reader.u32()?; // highest slot the server keeps
    let target_highest_slot = reader.u32()?;
    let flags = StatusFlags(reader.u32()?);
    Ok(Ok(SequenceReply { target_highest_slot, flags }))
}

/// Reads number and status of a result whose operation must be `expected`.
pub(crate) fn decode_head(expected: OpCode, reader: &mut Reader<'_>) -> Result<NfsStatus, DecodeError> {
    let number = reader.u32()?;
    if number != expected.to_u32() {
        return Err(DecodeError::BadValue { what: "operation number", value: number.into() });
    }
    reader.u32().map(NfsStatus::from_u32)
}
