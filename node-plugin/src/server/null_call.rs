//! One ONC RPC call without arguments: procedure 0 of NFS version 4.

use std::io::{self, Read, Write};

use onc_rpc::{AuthStatus, Credential, Procedure, Reader, Records, Refusal, ReplyError, Writer, message, record};

const NULL: Procedure = Procedure { program: 100_003, version: 4, procedure: 0 };

/// A reply has 24 bytes and a verifier, which is at most 400 bytes (RFC 5531 §8.2). Whoever announces more is no RPC server.
const LARGEST_REPLY: usize = 512;

/// Any number does: there is one call on the connection.
const XID: u32 = 0x6265_7274;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// NFS version 4 is served here.
    Served,
    /// NFS is, in these versions.
    OtherVersions { low: u32, high: u32 },
    /// An RPC server that does not let us call it.
    Denied(AuthStatus),
    /// What answers is no NFS server.
    NotNfs,
}

/// Sends the call and reads the reply. Errors are the stream's.
pub(super) fn exchange(stream: &mut (impl Read + Write)) -> io::Result<Answer> {
    stream.write_all(&call())?;
    let (mut records, mut piece) = (Records::new(LARGEST_REPLY), [0; LARGEST_REPLY]);
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match records.take(&mut &piece[..count]) {
            Ok(Some(reply)) => return Ok(read(&reply)),
            Ok(None) => {}
            Err(_foreign) => return Ok(Answer::NotNfs),
        }
    }
}

fn call() -> Vec<u8> {
    let mut call = Writer::new();
    message::encode_call(XID, NULL, &Credential::None, &mut call);
    let mut bytes = Vec::new();
    record::frame(call.as_slice(), &mut bytes);
    bytes
}

fn read(record: &[u8]) -> Answer {
    let Some((XID, body)) = message::split_reply(record) else { return Answer::NotNfs };
    match message::decode_reply(&mut Reader::new(body)) {
        Ok(()) => Answer::Served,
        Err(ReplyError::Refused(Refusal::ProgramMismatch { low, high })) => Answer::OtherVersions { low, high },
        Err(ReplyError::Refused(Refusal::Denied(status))) => Answer::Denied(status),
        Err(_) => Answer::NotNfs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: u32 = 1;
    const MSG_ACCEPTED: u32 = 0;
    const MSG_DENIED: u32 = 1;
    const SUCCESS: u32 = 0;
    const PROG_MISMATCH: u32 = 2;

    /// Keeps what is written and gives what it was told to.
    struct Peer {
        heard: Vec<u8>,
        says: io::Cursor<Vec<u8>>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn answer(bytes: Vec<u8>) -> io::Result<Answer> {
        exchange(&mut Peer { heard: Vec::new(), says: io::Cursor::new(bytes) })
    }

    fn record(words: &[u32]) -> Vec<u8> {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut bytes = Vec::new();
        record::frame(&body, &mut bytes);
        bytes
    }

    #[test]
    fn the_call_is_what_the_standard_says() {
        let call = call();
        assert_eq!(call[..4], [0x80, 0, 0, 40]);
        assert_eq!(call.len(), 44);
        assert_eq!(call[12..24], [0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 4]);
    }

    #[test]
    fn replies_are_told_apart() {
        assert_eq!(answer(record(&[XID, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS])).unwrap(), Answer::Served);
        let with_verifier = record(&[XID, REPLY, MSG_ACCEPTED, 1, 5, 0, 0, SUCCESS]);
        assert_eq!(answer(with_verifier).unwrap(), Answer::Served);
        let mismatch = record(&[XID, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 2, 3]);
        assert_eq!(answer(mismatch).unwrap(), Answer::OtherVersions { low: 2, high: 3 });
        let no_program = record(&[XID, REPLY, MSG_ACCEPTED, 0, 0, 1]);
        assert_eq!(answer(no_program).unwrap(), Answer::NotNfs);
        let denied = record(&[XID, REPLY, MSG_DENIED, 1, 5]);
        assert_eq!(answer(denied).unwrap(), Answer::Denied(AuthStatus::TOO_WEAK));
        let other_rpc = record(&[XID, REPLY, MSG_DENIED, 0, 3, 3]);
        assert_eq!(answer(other_rpc).unwrap(), Answer::NotNfs);
        assert_eq!(answer(record(&[1, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS])).unwrap(), Answer::NotNfs);
        assert_eq!(answer(record(&[XID, REPLY])).unwrap(), Answer::NotNfs);
    }

    #[test]
    fn other_protocols_are_no_nfs() {
        assert_eq!(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).unwrap(), Answer::NotNfs);
        assert_eq!(answer(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()).unwrap(), Answer::NotNfs);
        assert_eq!(answer(Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(answer(record(&[XID, REPLY])[..6].to_vec()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let huge_verifier = record(&[XID, REPLY, MSG_ACCEPTED, 0, u32::MAX, SUCCESS]);
        assert_eq!(answer(huge_verifier).unwrap(), Answer::NotNfs);
    }
}
