//! One ONC RPC call without arguments (RFC 5531 §9, record marking §11).

use std::io::{self, Read, Write};

const CALL: u32 = 0;
const REPLY: u32 = 1;
const RPC_VERSION: u32 = 2;
const NFS_PROGRAM: u32 = 100_003;
const NFS_VERSION: u32 = 4;
const NULL_PROCEDURE: u32 = 0;
const AUTH_NONE: u32 = 0;

const MSG_ACCEPTED: u32 = 0;
const SUCCESS: u32 = 0;
const PROG_MISMATCH: u32 = 2;

/// Set in the record mark of the last fragment.
const LAST_FRAGMENT: u32 = 1 << 31;

/// A reply has 24 bytes and a verifier, which is at most 400 bytes (RFC 5531 §8.2). Whoever announces more is no RPC server.
const LARGEST_REPLY: u32 = 512;

/// Any number does: there is one call on the connection.
const XID: u32 = 0x6265_7274;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// NFS version 4 is served here.
    Served,
    /// NFS is, in these versions.
    OtherVersions { low: u32, high: u32 },
    /// What answers is no NFS server.
    NotNfs,
}

/// Sends the call and reads the reply. Errors are the stream's.
pub(super) fn exchange(stream: &mut (impl Read + Write)) -> io::Result<Answer> {
    stream.write_all(&call())?;
    let mut mark = [0; 4];
    stream.read_exact(&mut mark)?;
    let length = u32::from_be_bytes(mark) & !LAST_FRAGMENT;
    if length > LARGEST_REPLY {
        return Ok(Answer::NotNfs);
    }
    let mut reply = vec![0; length as usize];
    stream.read_exact(&mut reply)?;
    Ok(read(&reply).unwrap_or(Answer::NotNfs))
}

fn call() -> Vec<u8> {
    let words = [
        XID,
        CALL,
        RPC_VERSION,
        NFS_PROGRAM,
        NFS_VERSION,
        NULL_PROCEDURE,
        // Credential and verifier, each without a body.
        AUTH_NONE,
        0,
        AUTH_NONE,
        0,
    ];
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    // Forty bytes.
    let mark = LAST_FRAGMENT + 40;
    [mark.to_be_bytes().as_slice(), &body].concat()
}

fn read(reply: &[u8]) -> Option<Answer> {
    let mut words = reply.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    if words.next()? != XID || words.next()? != REPLY || words.next()? != MSG_ACCEPTED {
        return None;
    }
    let _flavor = words.next()?;
    let verifier = words.next()?.div_ceil(4);
    let mut words = words.skip(verifier as usize);
    match words.next()? {
        SUCCESS => Some(Answer::Served),
        PROG_MISMATCH => Some(Answer::OtherVersions { low: words.next()?, high: words.next()? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let length = u32::try_from(body.len()).unwrap();
        [(LAST_FRAGMENT | length).to_be_bytes().as_slice(), &body].concat()
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
        let denied = record(&[XID, REPLY, 1, 0, 2, 2]);
        assert_eq!(answer(denied).unwrap(), Answer::NotNfs);
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
