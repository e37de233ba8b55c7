//! Record marking (RFC 5531 §11): messages in a byte stream, in one or more fragments, each after its length.

use thiserror::Error;

const LAST_FRAGMENT: u32 = 0x8000_0000;
const MARK: usize = 4;

/// Bytes that cannot be a record: the peer speaks something else, or is out of step.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A record longer than allowed was announced.
    #[error("a record of {announced} bytes was announced, at most {limit} can come")]
    TooLong {
        /// Bytes of the record so far and of the fragment that was announced.
        announced: usize,
        /// The limit.
        limit: usize,
    },
    /// A fragment without bytes that is not the last of its record: nobody sends one, and endless ones would never
    /// become a record.
    #[error("an empty fragment came that is not the last of its record")]
    EmptyFragment,
}

/// Puts the mark before one whole record, as one fragment. The caller keeps records below 2 GiB.
pub fn frame(record: &[u8], into: &mut Vec<u8>) {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX) | LAST_FRAGMENT;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(record);
}

/// Finds records in a stream that comes in pieces of any size. Memory grows with what has arrived, not with what was
/// announced. After an error the stream is of no use any more.
#[derive(Debug)]
pub struct Records {
    limit: usize,
    record: Vec<u8>,
    /// The part of a fragment's mark that has arrived.
    mark: Vec<u8>,
    /// The fragment that is arriving: bytes still to come, and whether it is the last one.
    fragment: Option<(usize, bool)>,
}

impl Records {
    /// A stream from its beginning, with records of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, record: Vec::new(), mark: Vec::with_capacity(MARK), fragment: None }
    }

    /// Takes from the front of `bytes` as much as belongs to the next record, and returns the record if that completes
    /// it. Otherwise `bytes` is used up, and the rest of the record has to be brought in a later call.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, RecordError> {
        loop {
            let (left, last) = match self.fragment {
                Some(fragment) => fragment,
                None => match self.next_fragment(bytes)? {
                    Some(fragment) => fragment,
                    None => return Ok(None),
                },
            };
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            self.record.extend_from_slice(now);
            *bytes = rest;
            if now.len() < left {
                self.fragment = Some((left - now.len(), last));
                return Ok(None);
            }
            self.fragment = None;
            if last {
                return Ok(Some(std::mem::take(&mut self.record)));
            }
        }
    }

    /// Length of the next fragment and whether it is the last; none if its mark is not complete yet.
    fn next_fragment(&mut self, bytes: &mut &[u8]) -> Result<Option<(usize, bool)>, RecordError> {
        let (now, rest) = bytes.split_at((MARK - self.mark.len()).min(bytes.len()));
        self.mark.extend_from_slice(now);
        *bytes = rest;
        let Some(mark) = self.mark.first_chunk() else { return Ok(None) };
        let mark = u32::from_be_bytes(*mark);
        self.mark.clear();
        let length = usize::try_from(mark & !LAST_FRAGMENT).unwrap_or(usize::MAX);
        let announced = self.record.len().saturating_add(length);
        if announced > self.limit {
            return Err(RecordError::TooLong { announced, limit: self.limit });
        }
        let last = mark & LAST_FRAGMENT != 0;
        if length == 0 && !last {
            return Err(RecordError::EmptyFragment);
        }
        Ok(Some((length, last)))
    }

    /// Whether the stream stands between two records: an end here cuts none off.
    pub fn is_between(&self) -> bool {
        self.record.is_empty() && self.mark.is_empty() && self.fragment.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All records of a stream that comes in pieces of this size.
    fn read(stream: &[u8], piece: usize, limit: usize) -> Result<(Vec<Vec<u8>>, Records), RecordError> {
        let (mut records, mut found) = (Records::new(limit), Vec::new());
        for mut bytes in stream.chunks(piece) {
            while let Some(record) = records.take(&mut bytes)? {
                found.push(record);
            }
            assert!(bytes.is_empty(), "nothing is left behind");
        }
        Ok((found, records))
    }

    proptest! {
        #[test]
        fn framed_records_are_read_back_however_they_are_cut(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6), piece in 1usize..50,
        ) {
            let mut bytes = Vec::new();
            for record in &sent {
                frame(record, &mut bytes);
            }
            let (found, records) = read(&bytes, piece, 40).unwrap();
            prop_assert_eq!(found, sent);
            prop_assert!(records.is_between());
        }

        #[test]
        fn arbitrary_bytes_end_in_an_error_or_records_within_the_limit(bytes: Vec<u8>, piece in 1usize..9) {
            if let Ok((found, _)) = read(&bytes, piece, 64) {
                prop_assert!(found.iter().all(|record| record.len() <= 64));
            }
        }
    }

    #[test]
    fn fragments_are_joined() {
        let bytes = [0, 0, 0, 2, b'a', b'b', 0x80, 0, 0, 1, b'c', 0, 0, 0, 1, b'd', 0x80, 0, 0, 0];
        for piece in 1..=bytes.len() {
            let (found, _) = read(&bytes, piece, 3).unwrap();
            assert_eq!(found, [b"abc".to_vec(), b"d".to_vec()], "in pieces of {piece}");
        }
    }

    #[test]
    fn an_oversized_announcement_is_refused_unread() {
        let error = read(b"HTTP/1.1 400 Bad Request", 24, 65536).unwrap_err();
        assert!(matches!(error, RecordError::TooLong { limit: 65536, .. }));
        let in_parts = [0, 0, 0, 2, b'a', b'b', 0x80, 0, 0, 2, b'c', b'd'];
        assert_eq!(read(&in_parts, 12, 3).unwrap_err(), RecordError::TooLong { announced: 4, limit: 3 });
    }

    #[test]
    fn an_end_inside_a_record_is_told_from_one_between_two() {
        for cut_off in [&[0x80, 0][..], &[0x80, 0, 0, 4], &[0x80, 0, 0, 4, 1, 2], &[0, 0, 0, 1, 1]] {
            assert!(!read(cut_off, 1, 64).unwrap().1.is_between(), "{cut_off:?}");
        }
        assert!(read(&[], 1, 64).unwrap().1.is_between());
        assert!(read(&[0x80, 0, 0, 1, 7], 1, 64).unwrap().1.is_between());
    }

    #[test]
    fn empty_fragments_without_end_are_refused() {
        assert_eq!(read(&[0; 400], 400, 64).unwrap_err(), RecordError::EmptyFragment);
    }
}
