//! Messages in a byte stream are the same however it is cut, and their headers mean what they say.

use onc_rpc::{
    Call, Credential, DecodeError, Reader, RecordError, Records, ReplyError, Writer,
    message::{decode_reply, encode_call, split_reply},
    record,
};

use super::assert_readable;

/// Longest record that is accepted, in bytes.
const LIMIT: usize = 512;

/// The size of the pieces in which the stream comes, and the stream.
pub fn check(input: &[u8]) {
    let Some((&piece, stream)) = input.split_first() else { return };
    let (found, end) = read(stream, stream.len().max(1));
    assert_eq!(read(stream, usize::from(piece).max(1)), (found.clone(), end.clone()), "in pieces of {piece}");
    if let Err(error) = end {
        assert_readable(&error);
    }
    let mut framed = Vec::new();
    for message in &found {
        assert!(message.len() <= LIMIT);
        record::frame(message, &mut framed);
        assert_reply(message);
        assert_call(message);
    }
    assert_eq!(read(&framed, usize::from(piece).max(1)), (found, Ok(true)), "records read back as they were framed");
}

/// All records of a stream, and either why it ended or whether its end lies between two records.
fn read(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<bool, RecordError>) {
    let (mut records, mut found) = (Records::new(LIMIT), Vec::new());
    for mut bytes in stream.chunks(piece) {
        loop {
            match records.take(&mut bytes) {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(bytes.is_empty(), "bytes were left behind");
    }
    (found, Ok(records.is_between()))
}

fn assert_reply(message: &[u8]) {
    let Some((xid, body)) = split_reply(message) else { return };
    assert_eq!((xid.to_be_bytes(), body.len() + 8), (message[..4].try_into().expect("four bytes"), message.len()));
    let mut reader = Reader::new(body);
    let outcome = decode_reply(&mut reader);
    match &outcome {
        Ok(()) => {}
        Err(ReplyError::Refused(refusal)) => {
            assert_readable(refusal);
            let mut writer = Writer::new();
            Call { xid, to: onc_rpc::Procedure { program: 0, version: 0, procedure: 0 } }.refuse(*refusal, &mut writer);
            let (again, body) = split_reply(writer.as_slice()).expect("a refusal is a reply");
            assert_eq!((again, decode_reply(&mut Reader::new(body))), (xid, outcome.clone()));
        }
        Err(error @ ReplyError::Damaged(_)) => return assert_readable(error),
    }
    let header = &body[..body.len() - reader.left()];
    for end in 0..header.len() {
        let cut = decode_reply(&mut Reader::new(&header[..end]));
        assert!(matches!(cut, Err(ReplyError::Damaged(DecodeError::Truncated { .. }))), "{cut:?} of {outcome:?}");
    }
}

fn assert_call(message: &[u8]) {
    let mut reader = Reader::new(message);
    let call = match Call::decode(&mut reader) {
        Ok(call) => call,
        Err(error) => return assert_readable(&error),
    };
    assert_eq!(split_reply(message), None, "a call is no reply");
    for end in 0..message.len() - reader.left() {
        let cut = Call::decode(&mut Reader::new(&message[..end]));
        assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{cut:?} of {call:?}");
    }
    let mut writer = Writer::new();
    encode_call(call.xid, call.to, &Credential::None, &mut writer);
    assert_eq!(Call::decode(&mut Reader::new(writer.as_slice())), Ok(call));
    let mut writer = Writer::new();
    call.accept(&mut writer);
    let (xid, body) = split_reply(writer.as_slice()).expect("an accepted call is a reply");
    let mut reader = Reader::new(body);
    assert_eq!((xid, decode_reply(&mut reader), reader.left()), (call.xid, Ok(()), 0));
}
