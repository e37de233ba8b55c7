//! File handles: a server's own names for its objects.

use std::fmt;

use onc_rpc::{DecodeError, Reader};

/// Longest handle of NFSv4 (`NFS4_FHSIZE`), in bytes.
pub const MAX_HANDLE: usize = 128;

/// Names an object on its server for as long as the server says: opaque, at most [`MAX_HANDLE`] bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileHandle(Box<[u8]>);

impl FileHandle {
    /// A handle kept elsewhere; `None` if it is longer than NFSv4 allows.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_HANDLE).then(|| Self(bytes.into()))
    }

    /// The handle's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads a handle as the protocol writes it (`nfs_fh4`).
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.opaque("file handle", MAX_HANDLE).map(|bytes| Self(bytes.into()))
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileHandle(")?;
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
