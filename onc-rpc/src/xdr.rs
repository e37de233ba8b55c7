//! XDR (RFC 4506): what RPC messages are made of. A [`Writer`] appends, a [`Reader`] takes from a slice and
//! never reads past its end, whatever the bytes say.

use thiserror::Error;

/// Why bytes from the network could not be read as what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The message ends inside an item.
    #[error("message ends early: {wanted} bytes wanted, {left} left")]
    Truncated {
        /// Bytes the item needs.
        wanted: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A length field is larger than the protocol or the caller allows.
    #[error("{what} of {length} bytes or items, at most {limit} allowed")]
    TooLong {
        /// What has the length.
        what: &'static str,
        /// The length that was announced.
        length: usize,
        /// The limit it breaks.
        limit: usize,
    },
    /// A number that means nothing in its place.
    #[error("{what} has the meaningless value {value}")]
    BadValue {
        /// What has the value.
        what: &'static str,
        /// The value.
        value: u64,
    },
}

/// Appends XDR items to a growing buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unsigned integer (§4.2); enumerations (§4.3) too.
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Unsigned hyper integer (§4.5).
    pub fn u64(&mut self, value: u64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Hyper integer (§4.5).
    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Boolean (§4.4).
    pub fn bool(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    /// Bytes of a length both sides know; padded to four (§4.9).
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(self.buffer.len() + padding(bytes.len()), 0);
    }

    /// Length, bytes, padding (§4.10). The caller keeps items below 4 GiB.
    pub fn opaque(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.fixed(bytes);
    }

    /// Appends what another writer holds; both are multiples of four bytes long.
    pub fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What has been written.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    /// What has been written.
    pub fn into_vec(self) -> Vec<u8> {
        self.buffer
    }
}

/// Takes XDR items from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated { wanted: count, left: self.rest.len() });
        };
        self.rest = tail;
        Ok(head)
    }

    /// Bytes of a length both sides know, and their padding (§4.9).
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        self.take(padding(N))?;
        Ok(array)
    }

    /// Unsigned integer (§4.2); enumerations (§4.3) too.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Unsigned hyper integer (§4.5).
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Hyper integer (§4.5).
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Boolean (§4.4); any other value than 0 and 1 is refused.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::BadValue { what: "boolean", value: value.into() }),
        }
    }

    /// Length (at most `limit`), bytes, padding (§4.10). `what` names the item in the error.
    pub fn opaque(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(what, limit)?;
        let bytes = self.take(length)?;
        self.take(padding(length))?;
        Ok(bytes)
    }

    /// The item count or byte length that precedes an array, at most `limit`. `what` names the array in the error.
    pub fn length(&mut self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > limit {
            return Err(DecodeError::TooLong { what, length, limit });
        }
        Ok(length)
    }

    /// Bytes that have not been taken yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }
}

fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: u32, b: u64, c: i64, d: bool, e: Vec<u8>, f: [u8; 5]) {
            let mut writer = Writer::new();
            writer.u32(a);
            writer.u64(b);
            writer.i64(c);
            writer.bool(d);
            writer.opaque(&e);
            writer.fixed(&f);
            let bytes = writer.into_vec();
            prop_assert_eq!(bytes.len() % 4, 0);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u32().unwrap(), a);
            prop_assert_eq!(reader.u64().unwrap(), b);
            prop_assert_eq!(reader.i64().unwrap(), c);
            prop_assert_eq!(reader.bool().unwrap(), d);
            prop_assert_eq!(reader.opaque("bytes", e.len()).unwrap(), &e[..]);
            prop_assert_eq!(reader.array::<5>().unwrap(), f);
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.opaque("bytes", 100).is_ok() && reader.left() > 0 {}
            let mut reader = Reader::new(&bytes);
            while reader.bool().is_ok() {}
        }
    }

    #[test]
    fn a_length_beyond_its_limit_is_refused_before_anything_is_taken() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff]);
        let error = reader.opaque("handle", 128).unwrap_err();
        assert_eq!(error, DecodeError::TooLong { what: "handle", length: 0xffff_ffff, limit: 128 });
    }
}
