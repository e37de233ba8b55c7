//! Record marking (RFC 5531 §11): messages in a byte stream, in one or more fragments, each after its length.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

const LAST_FRAGMENT: u32 = 0x8000_0000;

/// Why no record could be read.
#[derive(Debug, Error)]
pub(crate) enum RecordError {
    /// The stream ended between two records.
    #[error("the server closed the connection")]
    Closed,
    /// The stream ended inside a record.
    #[error("the connection ended inside a reply")]
    Truncated,
    /// A length that no reply can have: the peer speaks something else, or is out of step.
    #[error("a reply of {announced} bytes was announced, at most {limit} can come")]
    TooLong { announced: usize, limit: usize },
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

/// Puts the mark before one whole record. The session's limits keep records far below 2 GiB.
pub(crate) fn frame(record: &[u8], into: &mut Vec<u8>) {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX) | LAST_FRAGMENT;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(record);
}

/// Reads one record of at most `limit` bytes. Memory grows with what has arrived, not with what was announced.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut record = Vec::new();
    let mut first = true;
    loop {
        let mut mark = [0; 4];
        match stream.read(&mut mark).await.map_err(RecordError::Io)? {
            0 if first => return Err(RecordError::Closed),
            4 => {}
            some => fill(stream, &mut mark[some..]).await?,
        }
        first = false;
        let mark = u32::from_be_bytes(mark);
        let length = usize::try_from(mark & !LAST_FRAGMENT).unwrap_or(usize::MAX);
        let announced = record.len().saturating_add(length);
        if announced > limit {
            return Err(RecordError::TooLong { announced, limit });
        }
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        let got = (&mut *stream).take(wanted).read_to_end(&mut record).await.map_err(RecordError::Io)?;
        if got < length {
            return Err(RecordError::Truncated);
        }
        if mark & LAST_FRAGMENT != 0 {
            return Ok(record);
        }
        if length == 0 {
            // Endless empty fragments would keep this loop busy for ever.
            return Err(RecordError::TooLong { announced: 0, limit });
        }
    }
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), rest: &mut [u8]) -> Result<(), RecordError> {
    match stream.read_exact(rest).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(RecordError::Truncated),
        Err(error) => Err(RecordError::Io(error)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_now(bytes: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(&mut &bytes[..], limit))
    }

    proptest! {
        #[test]
        fn a_framed_record_is_read_back(record: Vec<u8>) {
            let mut bytes = Vec::new();
            frame(&record, &mut bytes);
            prop_assert_eq!(read_now(&bytes, record.len()).unwrap(), record);
        }

        #[test]
        fn arbitrary_bytes_end_in_an_error_or_a_record_within_the_limit(bytes: Vec<u8>) {
            if let Ok(record) = read_now(&bytes, 64) {
                prop_assert!(record.len() <= 64);
            }
        }
    }

    #[test]
    fn fragments_are_joined() {
        let bytes = [0, 0, 0, 2, b'a', b'b', 0x80, 0, 0, 1, b'c'];
        assert_eq!(read_now(&bytes, 3).unwrap(), b"abc");
    }

    #[test]
    fn an_oversized_announcement_is_refused_unread() {
        let error = read_now(b"HTTP/1.1 400 Bad Request", 65536).unwrap_err();
        assert!(matches!(error, RecordError::TooLong { limit: 65536, .. }));
    }

    #[test]
    fn a_truncated_record_is_told_from_a_closed_connection() {
        assert!(matches!(read_now(&[0x80, 0, 0, 4, 1, 2], 64).unwrap_err(), RecordError::Truncated));
        assert!(matches!(read_now(&[0x80, 0], 64).unwrap_err(), RecordError::Truncated));
        assert!(matches!(read_now(&[], 64).unwrap_err(), RecordError::Closed));
    }

    #[test]
    fn empty_fragments_without_end_are_refused() {
        assert!(matches!(read_now(&[0; 400], 64).unwrap_err(), RecordError::TooLong { .. }));
    }
}
