//! A compound as bytes, and its reply as values.

use std::sync::Arc;

use onc_rpc::{Credential, DecodeError, Procedure, Reader, ReplyError, Writer, message};

use crate::{
    NfsStatus, OpCode,
    protocol::{self, Operation, Reply},
};

/// COMPOUND of NFS version 4 (RFC 8881 §16.2).
const COMPOUND: Procedure = Procedure { program: 100_003, version: 4, procedure: 1 };
const MINOR_VERSION: u32 = 1;
const MAX_TAG: usize = 1024;
/// Bytes before the operations of a compound, at most: RPC header, credential with 16 groups, tag, minor version,
/// count, and SEQUENCE.
pub(crate) const OVERHEAD: usize = 256;

/// The operations of a compound, ready to be sent behind a SEQUENCE any number of times.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operations: Vec<Operation>,
    pub(crate) encoded: Vec<u8>,
    pub(crate) mutates: bool,
    /// For whom it speaks, if not for the user of the configuration: each time it is sent, because a server takes the same
    /// request of another user for a false retry (RFC 8881 §2.10.6.1.3.1).
    pub(super) speaks_for: Option<Arc<Credential>>,
}

impl Request {
    pub(crate) fn new(operations: Vec<Operation>) -> Self {
        Self::on_behalf_of(None, operations)
    }

    pub(crate) fn on_behalf_of(speaks_for: Option<Arc<Credential>>, operations: Vec<Operation>) -> Self {
        let mut writer = Writer::new();
        for operation in &operations {
            operation.encode(&mut writer);
        }
        let mutates = operations.iter().any(Operation::is_mutation);
        Self { operations, encoded: writer.into_vec(), mutates, speaks_for }
    }
}

/// Writes a whole COMPOUND call.
pub(super) fn encode(xid: u32, credential: &Credential, operations: &[u8], count: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    message::encode_call(xid, COMPOUND, credential, &mut writer);
    writer.opaque(b""); // tag
    writer.u32(MINOR_VERSION);
    writer.u32(count);
    writer.append(operations);
    writer.into_vec()
}

/// Reads the head of a COMPOUND reply: its status and how many results follow, at least one if it succeeded.
pub(super) fn decode_head(reader: &mut Reader<'_>) -> Result<(NfsStatus, usize), ReplyError> {
    message::decode_reply(reader)?;
    let status = NfsStatus::from_u32(reader.u32()?);
    reader.opaque("compound tag", MAX_TAG)?;
    // A result has at least eight bytes, so the length of the reply bounds what is believed.
    let count = reader.length("results", reader.left() / 8 + 1)?;
    if count == 0 && status == NfsStatus::Ok {
        // No request of this client is without an operation.
        return Err(DecodeError::BadValue { what: "number of results", value: 0 }.into());
    }
    Ok((status, count))
}

/// Results of the operations of a compound, up to the first that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) replies: Vec<Reply>,
    pub(crate) failure: Option<(OpCode, NfsStatus)>,
}

impl Answer {
    /// Reads `count` results of these operations.
    pub(super) fn decode(
        operations: &[Operation],
        status: NfsStatus,
        count: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        if count > operations.len() {
            return Err(DecodeError::TooLong { what: "results", length: count, limit: operations.len() });
        }
        let mut answer = Self { replies: Vec::with_capacity(count), failure: None };
        for operation in &operations[..count] {
            let (code, result, reply) = protocol::decode(reader)?;
            if code != operation.code() && code != OpCode::Illegal {
                return Err(DecodeError::BadValue { what: "operation number", value: code.to_u32().into() });
            }
            if result == NfsStatus::Ok {
                answer.replies.push(reply);
            } else {
                answer.failure = Some((operation.code(), result));
                break;
            }
        }
        let complete = answer.replies.len() == operations.len();
        if answer.failure.is_none() && (!complete || status != NfsStatus::Ok) {
            // The compound failed, but not at a result: the server stopped before an operation without a word.
            return Err(DecodeError::BadValue { what: "compound status", value: status.to_u32().into() });
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(operations: &[Operation], words: &[u32]) -> Result<Answer, DecodeError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let count = words.len() / 2;
        let status = NfsStatus::from_u32(words.last().copied().unwrap_or(0));
        Answer::decode(operations, status, count, &mut Reader::new(&bytes))
    }

    #[test]
    fn a_compound_that_stops_keeps_the_results_before() {
        let operations = [Operation::PutRootHandle, Operation::Lookup(b"a".to_vec()), Operation::GetHandle];
        let answer = decode(&operations, &[24, 0, 15, 2]).unwrap();
        assert_eq!(answer.replies, [Reply::Done]);
        assert_eq!(answer.failure, Some((OpCode::Lookup, NfsStatus::NoEnt)));
    }

    #[test]
    fn success_without_a_result_is_damage() {
        // Accepted, no verifier, success; then status, tag and count of the compound.
        let head = |status, count| [0u32, 0, 0, 0, status, 0, count, 0, 0].map(u32::to_be_bytes).concat();
        assert!(matches!(decode_head(&mut Reader::new(&head(0, 0))), Err(ReplyError::Damaged(_))));
        assert_eq!(decode_head(&mut Reader::new(&head(0, 1))), Ok((NfsStatus::Ok, 1)));
        let refused = decode_head(&mut Reader::new(&head(10021, 0)));
        assert_eq!(refused, Ok((NfsStatus::MinorVersMismatch, 0)));
    }

    #[test]
    fn missing_surplus_and_swapped_results_are_damage() {
        let operations = [Operation::PutRootHandle, Operation::SaveHandle];
        assert!(decode(&operations, &[24, 0]).is_err(), "one is missing");
        assert!(decode(&operations, &[24, 0, 32, 0, 32, 0]).is_err(), "one too many");
        assert!(decode(&operations, &[32, 0, 24, 0]).is_err(), "swapped");
        assert!(decode(&operations, &[24, 0, 32, 0]).is_ok());
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_compounds_never_panics(words in prop::collection::vec(0u32..70, 0..40)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let mut reader = Reader::new(&bytes);
            if let Ok((status, count)) = decode_head(&mut reader) {
                let operations = [Operation::PutRootHandle, Operation::GetHandle, Operation::ReadLink];
                let _ = Answer::decode(&operations, status, count, &mut reader);
            }
        }
    }
}
