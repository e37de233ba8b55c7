//! ONC RPC version 2 over byte streams, without any I/O of its own.
//!
//! | module | holds |
//! |---|---|
//! | [`xdr`] | items of messages (RFC 4506) |
//! | [`message`] | headers of calls and replies (RFC 5531 §9) |
//! | [`auth`] | credentials (RFC 5531 §8, appendix A) |
//! | [`record`] | messages in a byte stream (RFC 5531 §11) |
//!
//! One call, from its bytes to the meaning of its reply:
//!
//! ```
//! use onc_rpc::{Credential, Procedure, Reader, Records, Writer, message, record};
//!
//! let null = Procedure { program: 100_003, version: 4, procedure: 0 };
//! let mut call = Writer::new();
//! message::encode_call(7, null, &Credential::None, &mut call);
//! let mut to_send = Vec::new();
//! record::frame(call.as_slice(), &mut to_send);
//!
//! // What came back: a record mark, the same xid, REPLY, MSG_ACCEPTED, an empty verifier, SUCCESS.
//! let words: [u32; 7] = [0x8000_0018, 7, 1, 0, 0, 0, 0];
//! let arrived: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
//! let reply = Records::new(1024).take(&mut &arrived[..]).unwrap().expect("a whole record");
//! let (xid, body) = message::split_reply(&reply).expect("a reply");
//! assert_eq!(xid, 7);
//! message::decode_reply(&mut Reader::new(body)).expect("the server has executed the call");
//! ```

pub mod auth;
pub mod message;
pub mod record;
pub mod xdr;

pub use auth::{AuthSys, Credential, MAX_GROUPS, TooManyGroups};
pub use message::{AuthStatus, Call, Procedure, Refusal, ReplyError};
pub use record::{RecordError, Records};
pub use xdr::{DecodeError, Reader, Writer};
