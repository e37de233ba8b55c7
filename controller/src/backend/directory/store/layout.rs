//! How the driver keeps what [`volume::names::layout`] names.

use std::hash::{BuildHasher, RandomState};

use volume::RecordKey;
use volume::names::layout::TRASH_SEPARATOR;
pub(crate) use volume::names::layout::{CLOSED, IDENTITY, PLACES, RECORDS, RETAINED, ROOT, TRASH};

/// Mode of every folder of the driver: nobody else reads, writes or enters.
pub(crate) const FOLDER_MODE: u32 = 0o700;

/// Mode of the driver's entries that are files.
pub(crate) const FILE_MODE: u32 = 0o600;

/// Mode of directories above a custom place that the driver makes: everybody may pass, nobody else may write.
pub(crate) const PARENT_MODE: u32 = 0o755;

/// Mode of a volume's directory while it is being made. No volume has it when it is complete, and nobody makes such a
/// directory for another purpose: it is the mark of one that was begun.
pub(crate) const BEGUN_MODE: u32 = 0;

/// Mode of [`CLOSED`]: nobody but root may look into it.
pub(crate) const CLOSED_MODE: u32 = 0;

/// The permission bits in which the mark is; set-gid may be inherited from the parent.
pub(crate) const PERMISSIONS: u32 = 0o777;

/// A name under which something of a volume can be put aside, and that nothing else has.
pub(crate) fn unique(key: &RecordKey) -> String {
    format!("{key}{}", unique_tree())
}

/// The same for what belongs to no volume any more.
pub(crate) fn unique_tree() -> String {
    format!("{TRASH_SEPARATOR}{:016x}", RandomState::new().hash_one(std::time::SystemTime::now()))
}
