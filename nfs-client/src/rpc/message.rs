//! Call and reply headers (RFC 5531 §9).

use thiserror::Error;

use super::auth;
use crate::{
    config::Credential,
    xdr::{DecodeError, Reader, Writer},
};

pub(crate) const CALL: u32 = 0;
pub(crate) const REPLY: u32 = 1;
pub(crate) const RPC_VERSION: u32 = 2;
pub(crate) const NFS_PROGRAM: u32 = 100_003;
pub(crate) const NFS_VERSION: u32 = 4;
pub(crate) const COMPOUND: u32 = 1;
const MAX_VERIFIER: usize = 400;

/// Writes everything before the arguments of a COMPOUND call, `xid` first.
pub(crate) fn encode_call(xid: u32, credential: &Credential, writer: &mut Writer) {
    for word in [xid, CALL, RPC_VERSION, NFS_PROGRAM, NFS_VERSION, COMPOUND] {
        writer.u32(word);
    }
    auth::encode(credential, writer);
}

/// Why a call has no result although a reply came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CallRefused {
    /// The server does not accept the credential.
    #[error("{0}")]
    Denied(&'static str),
    /// The server has no NFS version 4.
    #[error("{0}")]
    NotNfs(String),
    /// The server says that the call is damaged, or that it has an error of its own.
    #[error("{0}")]
    Fault(&'static str),
    /// The reply is damaged.
    #[error("damaged reply: {0}")]
    Damaged(#[from] DecodeError),
}

/// Reads the header of a reply after its xid, up to the results of the call.
pub(crate) fn decode_reply(reader: &mut Reader<'_>) -> Result<(), CallRefused> {
    let kind = reader.u32()?;
    if kind != REPLY {
        return Err(DecodeError::BadValue { what: "RPC message type", value: kind.into() }.into());
    }
    match reader.u32()? {
        0 => decode_accepted(reader),
        1 => Err(decode_denied(reader)?),
        value => Err(DecodeError::BadValue { what: "RPC reply status", value: value.into() }.into()),
    }
}

fn decode_accepted(reader: &mut Reader<'_>) -> Result<(), CallRefused> {
    reader.u32()?;
    reader.opaque("RPC verifier", MAX_VERIFIER)?;
    match reader.u32()? {
        0 => Ok(()),
        1 => Err(CallRefused::NotNfs("it serves RPC but not the NFS program".into())),
        2 => {
            let (low, high) = (reader.u32()?, reader.u32()?);
            Err(CallRefused::NotNfs(format!("it serves NFS versions {low} to {high} only")))
        }
        3 => Err(CallRefused::NotNfs("it serves NFS 4 without compounds".into())),
        4 => Err(CallRefused::Fault("it could not decode the call (GARBAGE_ARGS)")),
        5 => Err(CallRefused::Fault("it had an internal error (SYSTEM_ERR)")),
        value => Err(DecodeError::BadValue { what: "RPC accept status", value: value.into() }.into()),
    }
}

fn decode_denied(reader: &mut Reader<'_>) -> Result<CallRefused, CallRefused> {
    Ok(match reader.u32()? {
        0 => CallRefused::NotNfs("it does not speak RPC version 2".into()),
        1 => CallRefused::Denied(match reader.u32()? {
            1 => "it calls the credential bad (AUTH_BADCRED)",
            2 => "it rejects the credential (AUTH_REJECTEDCRED)",
            3 => "it calls the verifier bad (AUTH_BADVERF)",
            4 => "it rejects the verifier (AUTH_REJECTEDVERF)",
            5 => {
                "AUTH_SYS is too weak for it (AUTH_TOOWEAK): \
                 the export may demand Kerberos or a source port below 1024"
            }
            _ => "its authentication failed",
        }),
        value => return Err(DecodeError::BadValue { what: "RPC reject status", value: value.into() }.into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn an_accepted_call_leaves_the_results() {
        let bytes = reply(&[REPLY, 0, 0, 0, 0, 77]);
        let mut reader = Reader::new(&bytes);
        decode_reply(&mut reader).unwrap();
        assert_eq!(reader.u32().unwrap(), 77);
    }

    #[test]
    fn a_refused_credential_is_a_denial_and_names_the_remedy() {
        let refused = decode_reply(&mut Reader::new(&reply(&[REPLY, 1, 1, 5]))).unwrap_err();
        assert!(matches!(refused, CallRefused::Denied(text) if text.contains("below 1024")));
    }

    #[test]
    fn another_nfs_version_is_not_nfs_four() {
        let refused = decode_reply(&mut Reader::new(&reply(&[REPLY, 0, 0, 0, 2, 3, 3]))).unwrap_err();
        assert_eq!(refused, CallRefused::NotNfs("it serves NFS versions 3 to 3 only".into()));
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_replies_never_panics(words in prop::collection::vec(0u32..8, 0..12)) {
            let _ = decode_reply(&mut Reader::new(&reply(&words)));
        }
    }
}
