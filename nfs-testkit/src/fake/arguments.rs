//! Requests as the server reads them: the inverse of what the client writes.

use nfs_client::{
    Attributes, FileHandle, FileType, OpCode, Principal, SetAttributes,
    protocol::{AttributeMask, ChannelLimits, Claim, Operation, Sequence, SessionId, StateId},
};
use onc_rpc::{DecodeError, Reader};

const MAX_OPERATIONS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;

/// One operation of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Sequence(Sequence),
    ExchangeId { owner: Vec<u8>, verifier: [u8; 8] },
    CreateSession { client: u64, sequence: u32, wanted: ChannelLimits },
    BindConnection(SessionId),
    DestroySession(SessionId),
    DestroyClient(u64),
    Plain(Operation),
}

impl Call {
    pub(super) fn code(&self) -> OpCode {
        match self {
            Self::Sequence(_) => OpCode::Sequence,
            Self::ExchangeId { .. } => OpCode::ExchangeId,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::BindConnection(_) => OpCode::BindConnToSession,
            Self::DestroySession(_) => OpCode::DestroySession,
            Self::DestroyClient(_) => OpCode::DestroyClientId,
            Self::Plain(operation) => operation.code(),
        }
    }
}

/// Reads the operations of a COMPOUND from behind the RPC header.
pub(super) fn decode_compound(reader: &mut Reader<'_>) -> Result<Vec<Call>, DecodeError> {
    reader.opaque("tag", MAX_BYTES)?;
    let minor = reader.u32()?;
    if minor != 1 {
        return Err(DecodeError::BadValue { what: "minor version", value: minor.into() });
    }
    let count = reader.length("operations", MAX_OPERATIONS)?;
    (0..count).map(|_| decode_call(reader)).collect()
}

fn decode_call(reader: &mut Reader<'_>) -> Result<Call, DecodeError> {
    let number = reader.u32()?;
    let code = OpCode::from_u32(number).ok_or(DecodeError::BadValue { what: "operation", value: number.into() })?;
    Ok(match code {
        OpCode::Sequence => Call::Sequence(Sequence::decode(reader)?),
        OpCode::ExchangeId => {
            let verifier = reader.array()?;
            let owner = reader.opaque("client owner", 1024)?.to_vec();
            reader.u32()?;
            reader.u32()?;
            reader.length("implementation ids", 0)?;
            Call::ExchangeId { owner, verifier }
        }
        OpCode::CreateSession => {
            let (client, sequence) = (reader.u64()?, reader.u32()?);
            reader.u32()?;
            let wanted = ChannelLimits::decode(reader)?;
            ChannelLimits::decode(reader)?;
            reader.u32()?;
            for _ in 0..reader.length("callback credentials", 4)? {
                reader.u32()?;
            }
            Call::CreateSession { client, sequence, wanted }
        }
        OpCode::BindConnToSession => {
            let session = reader.array()?;
            reader.u32()?;
            reader.bool()?;
            Call::BindConnection(session)
        }
        OpCode::DestroySession => Call::DestroySession(reader.array()?),
        OpCode::DestroyClientId => Call::DestroyClient(reader.u64()?),
        code => Call::Plain(decode_operation(code, reader)?),
    })
}

fn decode_operation(code: OpCode, reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    Ok(match code {
        OpCode::PutRootFh => Operation::PutRootHandle,
        OpCode::PutFh => Operation::PutHandle(FileHandle::decode(reader)?),
        OpCode::GetFh => Operation::GetHandle,
        OpCode::SaveFh => Operation::SaveHandle,
        OpCode::RestoreFh => Operation::RestoreHandle,
        OpCode::Lookup => Operation::Lookup(bytes(reader)?),
        OpCode::GetAttr => Operation::GetAttributes(AttributeMask::decode(reader)?),
        OpCode::SetAttr => {
            StateId::decode(reader)?;
            Operation::SetAttributes(attributes(reader)?)
        }
        OpCode::Verify => verify(reader)?,
        OpCode::Create => decode_create(reader)?,
        OpCode::ReadLink => Operation::ReadLink,
        OpCode::Rename => Operation::Rename { old: bytes(reader)?, new: bytes(reader)? },
        OpCode::Remove => Operation::Remove(bytes(reader)?),
        OpCode::ReadDir => {
            let (cookie, verifier) = (reader.u64()?, reader.array()?);
            reader.u32()?;
            let max_bytes = reader.u32()?;
            AttributeMask::decode(reader)?;
            Operation::ReadDirectory { cookie, verifier, max_bytes }
        }
        OpCode::Open => decode_open(reader)?,
        OpCode::Read => {
            Operation::Read { state: StateId::decode(reader)?, offset: reader.u64()?, count: reader.u32()? }
        }
        OpCode::Write => {
            let (state, offset) = (StateId::decode(reader)?, reader.u64()?);
            reader.u32()?;
            Operation::Write { state, offset, data: bytes(reader)? }
        }
        OpCode::Close => {
            reader.u32()?;
            Operation::Close(StateId::decode(reader)?)
        }
        OpCode::ReclaimComplete => {
            reader.bool()?;
            Operation::ReclaimComplete
        }
        other => return Err(DecodeError::BadValue { what: "operation", value: other.to_u32().into() }),
    })
}

fn decode_create(reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    match reader.u32()? {
        2 => Ok(Operation::CreateDirectory { name: bytes(reader)?, attributes: attributes(reader)? }),
        5 => {
            let (target, name) = (bytes(reader)?, bytes(reader)?);
            attributes(reader)?;
            Ok(Operation::CreateSymlink { name, target })
        }
        value => Err(DecodeError::BadValue { what: "type to create", value: value.into() }),
    }
}

/// How a file is made (`createmode4`, RFC 8881 §18.16.1).
const GUARDED: u32 = 1;
const EXCLUSIVE_4_1: u32 = 3;

fn decode_open(reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    reader.u32()?;
    reader.u32()?;
    reader.u32()?;
    reader.u64()?;
    let owner = bytes(reader)?;
    let creates = reader.u32()? != 0;
    let claim = if creates {
        match reader.u32()? {
            GUARDED => Claim::New { attributes: attributes(reader)? },
            EXCLUSIVE_4_1 => Claim::Create { verifier: reader.array()?, attributes: attributes(reader)? },
            value => return Err(DecodeError::BadValue { what: "way to create", value: value.into() }),
        }
    } else {
        Claim::Existing
    };
    reader.u32()?;
    Ok(Operation::Open { name: bytes(reader)?, owner, claim })
}

fn bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    reader.opaque("bytes", MAX_BYTES).map(<[u8]>::to_vec)
}

fn verify(reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    let attributes = Attributes::decode(reader)?;
    if let (Some(size), None) = (attributes.size, attributes.change) {
        return Ok(Operation::VerifySize(size));
    }
    // Only of a file.
    let file_type = attributes.size.and(Some(FileType::Regular));
    Attributes { file_type, ..attributes }
        .state()
        .map(Operation::Verify)
        .ok_or(DecodeError::BadValue { what: "attributes to verify", value: 0 })
}

fn attributes(reader: &mut Reader<'_>) -> Result<SetAttributes, DecodeError> {
    let read = Attributes::decode(reader)?;
    let id = |principal: Option<Principal>| principal.and_then(|principal| principal.id());
    Ok(SetAttributes { size: read.size, mode: read.mode, owner: id(read.owner), group: id(read.group) })
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;
    use onc_rpc::Writer;

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    fn any_attributes() -> impl Strategy<Value = SetAttributes> {
        (option::of(any::<u64>()), option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>()))
            .prop_map(|(size, mode, owner, group)| SetAttributes { size, mode, owner, group })
    }

    fn any_state() -> impl Strategy<Value = StateId> {
        (any::<u32>(), any::<[u8; 12]>()).prop_map(|(seqid, other)| StateId { seqid, other })
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            Just(Operation::PutRootHandle),
            Just(Operation::GetHandle),
            Just(Operation::SaveHandle),
            Just(Operation::RestoreHandle),
            Just(Operation::ReadLink),
            Just(Operation::ReclaimComplete),
            any_name().prop_map(|bytes| Operation::PutHandle(FileHandle::new(&bytes).unwrap())),
            any_name().prop_map(Operation::Lookup),
            any_name().prop_map(Operation::Remove),
            Just(Operation::GetAttributes(Attributes::STANDARD)),
            any_attributes().prop_map(Operation::SetAttributes),
            (any::<u64>(), any::<u64>(), any::<u32>(), option::of(any::<u64>())).prop_map(
                |(change, fileid, mode, size)| {
                    let (change, fileid, mode) = (Some(change), Some(fileid), Some(mode));
                    let file_type = size.and(Some(FileType::Regular));
                    Operation::Verify(
                        Attributes { change, fileid, mode, size, file_type, ..Attributes::default() }.state().unwrap(),
                    )
                }
            ),
            any::<u64>().prop_map(Operation::VerifySize),
            (any_name(), any_attributes())
                .prop_map(|(name, attributes)| Operation::CreateDirectory { name, attributes }),
            (any_name(), any_name()).prop_map(|(name, target)| Operation::CreateSymlink { name, target }),
            (any_name(), any_name()).prop_map(|(old, new)| Operation::Rename { old, new }),
            (any::<u64>(), any::<[u8; 8]>(), any::<u32>())
                .prop_map(|(cookie, verifier, max_bytes)| Operation::ReadDirectory { cookie, verifier, max_bytes }),
            (any_name(), any_name()).prop_map(|(name, owner)| Operation::Open { name, owner, claim: Claim::Existing }),
            (any_name(), any_name(), any::<[u8; 8]>(), any_attributes()).prop_map(
                |(name, owner, verifier, attributes)| Operation::Open {
                    name,
                    owner,
                    claim: Claim::Create { verifier, attributes }
                }
            ),
            (any_name(), any_name(), any_attributes()).prop_map(|(name, owner, attributes)| Operation::Open {
                name,
                owner,
                claim: Claim::New { attributes }
            }),
            (any_state(), any::<u64>(), any::<u32>()).prop_map(|(state, offset, count)| Operation::Read {
                state,
                offset,
                count
            }),
            (any_state(), any::<u64>(), any_name()).prop_map(|(state, offset, data)| Operation::Write {
                state,
                offset,
                data
            }),
            any_state().prop_map(Operation::Close),
        ]
    }

    proptest! {
        #[test]
        fn every_operation_is_read_as_it_was_written(operations in prop::collection::vec(any_operation(), 0..8)) {
            let mut writer = Writer::new();
            writer.opaque(b"");
            writer.u32(1);
            writer.u32(u32::try_from(operations.len()).unwrap());
            for operation in &operations {
                operation.encode(&mut writer);
            }
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            let read = decode_compound(&mut reader).unwrap();
            prop_assert_eq!(read, operations.into_iter().map(Call::Plain).collect::<Vec<_>>());
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn arbitrary_requests_never_panic(bytes: Vec<u8>) {
            let _ = decode_compound(&mut Reader::new(&bytes));
        }
    }
}
