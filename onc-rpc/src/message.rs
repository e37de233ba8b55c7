//! Headers of calls and replies (RFC 5531 §9).

use std::fmt;

use thiserror::Error;

use crate::{
    auth::{Credential, MAX_BODY},
    xdr::{DecodeError, Reader, Writer},
};

/// The version of the RPC protocol.
pub const RPC_VERSION: u32 = 2;

const CALL: u32 = 0;
const REPLY: u32 = 1;

const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;

const SUCCESS: u32 = 0;
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;
const SYSTEM_ERR: u32 = 5;

const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Procedure {
    /// Number of the program, such as 100003 for NFS.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// Number of the procedure within them; 0 does nothing in every program.
    pub procedure: u32,
}

/// Writes everything before the arguments of a call, `xid` first.
pub fn encode_call(xid: u32, to: Procedure, credential: &Credential, writer: &mut Writer) {
    for word in [xid, CALL, RPC_VERSION, to.program, to.version, to.procedure] {
        writer.u32(word);
    }
    credential.encode(writer);
}

/// The header of a call as a server reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What the reply has to begin with.
    pub xid: u32,
    /// What is called.
    pub to: Procedure,
}

impl Call {
    /// Reads everything before the arguments of a call. The credential is not looked at.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode_with(reader, |_flavor, _body| Ok(())).map(|(call, ())| call)
    }

    /// The same with who calls; `None` where the credential is neither `AUTH_NONE` nor `AUTH_SYS`.
    pub fn decode_with_caller(reader: &mut Reader<'_>) -> Result<(Self, Option<Credential>), DecodeError> {
        Self::decode_with(reader, Credential::decode)
    }

    fn decode_with<T>(
        reader: &mut Reader<'_>,
        credential: impl FnOnce(u32, &[u8]) -> Result<T, DecodeError>,
    ) -> Result<(Self, T), DecodeError> {
        let xid = reader.u32()?;
        expect(reader, "RPC message type", CALL)?;
        expect(reader, "RPC version", RPC_VERSION)?;
        let to = Procedure { program: reader.u32()?, version: reader.u32()?, procedure: reader.u32()? };
        let flavor = reader.u32()?;
        let caller = credential(flavor, reader.opaque("RPC credential", MAX_BODY)?)?;
        reader.u32()?;
        reader.opaque("RPC verifier", MAX_BODY)?;
        Ok((Self { xid, to }, caller))
    }

    /// Writes everything before the results of this call.
    pub fn accept(self, writer: &mut Writer) {
        for word in [self.xid, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS] {
            writer.u32(word);
        }
    }

    /// Writes the whole reply to a call that is not executed.
    pub fn refuse(self, refusal: Refusal, writer: &mut Writer) {
        writer.u32(self.xid);
        writer.u32(REPLY);
        let words: &[u32] = match refusal {
            Refusal::ProgramUnavailable => &[MSG_ACCEPTED, 0, 0, PROG_UNAVAIL],
            Refusal::ProgramMismatch { low, high } => &[MSG_ACCEPTED, 0, 0, PROG_MISMATCH, low, high],
            Refusal::ProcedureUnavailable => &[MSG_ACCEPTED, 0, 0, PROC_UNAVAIL],
            Refusal::GarbageArguments => &[MSG_ACCEPTED, 0, 0, GARBAGE_ARGS],
            Refusal::SystemError => &[MSG_ACCEPTED, 0, 0, SYSTEM_ERR],
            Refusal::RpcMismatch { low, high } => &[MSG_DENIED, RPC_MISMATCH, low, high],
            Refusal::Denied(status) => &[MSG_DENIED, AUTH_ERROR, status.0],
        };
        for word in words {
            writer.u32(*word);
        }
    }
}

/// Why a server has not executed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// `PROG_UNAVAIL`: it does not have the program.
    #[error("it does not serve the program (PROG_UNAVAIL)")]
    ProgramUnavailable,
    /// `PROG_MISMATCH`: it has the program in other versions.
    #[error("it serves versions {low} to {high} of the program only (PROG_MISMATCH)")]
    ProgramMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// `PROC_UNAVAIL`: the program does not have the procedure.
    #[error("the program does not have the procedure (PROC_UNAVAIL)")]
    ProcedureUnavailable,
    /// `GARBAGE_ARGS`: it could not decode the arguments.
    #[error("it could not decode the call (GARBAGE_ARGS)")]
    GarbageArguments,
    /// `SYSTEM_ERR`: it has an error of its own.
    #[error("it had an internal error (SYSTEM_ERR)")]
    SystemError,
    /// `RPC_MISMATCH`: it speaks other versions of RPC.
    #[error("it speaks versions {low} to {high} of RPC only (RPC_MISMATCH)")]
    RpcMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// `AUTH_ERROR`: it refuses the caller.
    #[error("it refuses the caller: {0}")]
    Denied(AuthStatus),
}

/// Why a server refuses a caller (`auth_stat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthStatus(
    /// The number on the wire.
    pub u32,
);

impl AuthStatus {
    /// `AUTH_BADCRED`: the credential is damaged.
    pub const BAD_CREDENTIAL: Self = Self(1);
    /// `AUTH_REJECTEDCRED`: the credential is no longer valid.
    pub const REJECTED_CREDENTIAL: Self = Self(2);
    /// `AUTH_BADVERF`: the verifier is damaged.
    pub const BAD_VERIFIER: Self = Self(3);
    /// `AUTH_REJECTEDVERF`: the verifier has expired or was used before.
    pub const REJECTED_VERIFIER: Self = Self(4);
    /// `AUTH_TOOWEAK`: the server wants another flavor, or a source port below 1024.
    pub const TOO_WEAK: Self = Self(5);
}

impl fmt::Display for AuthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BAD_CREDENTIAL => f.write_str("the credential is bad (AUTH_BADCRED)"),
            Self::REJECTED_CREDENTIAL => f.write_str("the credential is rejected (AUTH_REJECTEDCRED)"),
            Self::BAD_VERIFIER => f.write_str("the verifier is bad (AUTH_BADVERF)"),
            Self::REJECTED_VERIFIER => f.write_str("the verifier is rejected (AUTH_REJECTEDVERF)"),
            Self::TOO_WEAK => f.write_str("the credential is too weak (AUTH_TOOWEAK)"),
            Self(number) => write!(f, "authentication failed (auth_stat {number})"),
        }
    }
}

/// Why a reply has no results.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The server has not executed the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The reply cannot be read.
    #[error("damaged reply: {0}")]
    Damaged(#[from] DecodeError),
}

/// The xid of a reply and what [`decode_reply`] reads; none if the record is no reply at all.
pub fn split_reply(record: &[u8]) -> Option<(u32, &[u8])> {
    let (xid, rest) = record.split_first_chunk()?;
    let (kind, body) = rest.split_first_chunk()?;
    (u32::from_be_bytes(*kind) == REPLY).then_some((u32::from_be_bytes(*xid), body))
}

/// Reads the header of a reply from behind its message type, up to the results of the call.
pub fn decode_reply(reader: &mut Reader<'_>) -> Result<(), ReplyError> {
    match reader.u32()? {
        MSG_ACCEPTED => decode_accepted(reader),
        MSG_DENIED => Err(decode_denied(reader)?.into()),
        value => Err(meaningless("RPC reply status", value)),
    }
}

fn decode_accepted(reader: &mut Reader<'_>) -> Result<(), ReplyError> {
    reader.u32()?;
    reader.opaque("RPC verifier", MAX_BODY)?;
    let refusal = match reader.u32()? {
        SUCCESS => return Ok(()),
        PROG_UNAVAIL => Refusal::ProgramUnavailable,
        PROG_MISMATCH => Refusal::ProgramMismatch { low: reader.u32()?, high: reader.u32()? },
        PROC_UNAVAIL => Refusal::ProcedureUnavailable,
        GARBAGE_ARGS => Refusal::GarbageArguments,
        SYSTEM_ERR => Refusal::SystemError,
        value => return Err(meaningless("RPC accept status", value)),
    };
    Err(refusal.into())
}

fn decode_denied(reader: &mut Reader<'_>) -> Result<Refusal, ReplyError> {
    match reader.u32()? {
        RPC_MISMATCH => Ok(Refusal::RpcMismatch { low: reader.u32()?, high: reader.u32()? }),
        AUTH_ERROR => Ok(Refusal::Denied(AuthStatus(reader.u32()?))),
        value => Err(meaningless("RPC reject status", value)),
    }
}

fn expect(reader: &mut Reader<'_>, what: &'static str, wanted: u32) -> Result<(), DecodeError> {
    let value = reader.u32()?;
    if value == wanted { Ok(()) } else { Err(DecodeError::BadValue { what, value: value.into() }) }
}

fn meaningless(what: &'static str, value: u32) -> ReplyError {
    DecodeError::BadValue { what, value: value.into() }.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::AuthSys;

    const CALLED: Procedure = Procedure { program: 100_003, version: 4, procedure: 1 };

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_call_is_what_the_standard_says() {
        let mut writer = Writer::new();
        encode_call(7, CALLED, &Credential::None, &mut writer);
        assert_eq!(writer.as_slice(), words(&[7, 0, 2, 100_003, 4, 1, 0, 0, 0, 0]));
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        for credential in [Credential::None, AuthSys::new(1, 2, &[3, 4]).unwrap().into()] {
            let mut writer = Writer::new();
            encode_call(7, CALLED, &credential, &mut writer);
            writer.u32(99);
            let mut reader = Reader::new(writer.as_slice());
            assert_eq!(Call::decode(&mut reader).unwrap(), Call { xid: 7, to: CALLED });
            assert_eq!(reader.u32().unwrap(), 99, "the arguments are left");
            let mut reader = Reader::new(writer.as_slice());
            let read = Call::decode_with_caller(&mut reader).unwrap();
            assert_eq!(read, (Call { xid: 7, to: CALLED }, Some(credential)));
            assert_eq!(reader.u32().unwrap(), 99, "the arguments are left");
        }
    }

    #[test]
    fn a_caller_of_another_flavor_is_nobody_that_is_known() {
        // RPCSEC_GSS with a body of one word.
        let bytes = words(&[7, CALL, RPC_VERSION, 100_003, 4, 1, 6, 4, 1, 0, 0]);
        let read = Call::decode_with_caller(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read, (Call { xid: 7, to: CALLED }, None));
    }

    #[test]
    fn an_accepted_call_leaves_the_results() {
        let mut writer = Writer::new();
        Call { xid: 7, to: CALLED }.accept(&mut writer);
        writer.u32(77);
        let (xid, body) = split_reply(writer.as_slice()).unwrap();
        assert_eq!(xid, 7);
        let mut reader = Reader::new(body);
        decode_reply(&mut reader).unwrap();
        assert_eq!(reader.u32().unwrap(), 77);
        let verified = words(&[MSG_ACCEPTED, 6, 5, 0x6162_6364, 0x6500_0000, SUCCESS]);
        decode_reply(&mut Reader::new(&verified)).unwrap();
    }

    #[test]
    fn every_refusal_is_read_as_it_was_written() {
        for refusal in [
            Refusal::ProgramUnavailable,
            Refusal::ProgramMismatch { low: 2, high: 3 },
            Refusal::ProcedureUnavailable,
            Refusal::GarbageArguments,
            Refusal::SystemError,
            Refusal::RpcMismatch { low: 3, high: 4 },
            Refusal::Denied(AuthStatus::TOO_WEAK),
            Refusal::Denied(AuthStatus(13)),
        ] {
            let mut writer = Writer::new();
            Call { xid: 7, to: CALLED }.refuse(refusal, &mut writer);
            let (_, body) = split_reply(writer.as_slice()).unwrap();
            let mut reader = Reader::new(body);
            assert_eq!(decode_reply(&mut reader), Err(ReplyError::Refused(refusal)));
            assert_eq!(reader.left(), 0, "{refusal}");
        }
    }

    #[test]
    fn a_call_is_no_reply_and_a_reply_is_no_call() {
        assert_eq!(split_reply(&words(&[7, CALL, 2])), None);
        assert_eq!(split_reply(&words(&[7])), None);
        assert!(Call::decode(&mut Reader::new(&words(&[7, REPLY, 0, 0, 0, 0]))).is_err());
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_messages_never_panics(bytes in prop::collection::vec(0u32..8, 0..12)) {
            let bytes = words(&bytes);
            let _ = decode_reply(&mut Reader::new(&bytes));
            let _ = Call::decode(&mut Reader::new(&bytes));
            let _ = Call::decode_with_caller(&mut Reader::new(&bytes));
            let _ = split_reply(&bytes);
        }
    }
}
