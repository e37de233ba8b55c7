//! READDIR, a page at a time.

use nfs_client::{Attributes, NfsStatus};
use onc_rpc::Writer;

use super::{
    options::{Listing, Options},
    tree::Tree,
};

/// Cookies below it mean `.` and `..` in NFSv4, so entries are counted from there.
const FIRST_COOKIE: u64 = 3;

/// Writes as many entries after `cookie` as fit into `max_bytes`. Who may list the directory but not look into it learns their
/// names, and of each why there is no more.
pub(super) fn encode(
    tree: &Tree,
    options: &Options,
    directory: u64,
    looks: Result<(), NfsStatus>,
    (cookie, max_bytes): (u64, u32),
    body: &mut Writer,
) -> Result<(), NfsStatus> {
    let entries = tree.entries(directory)?;
    let (from, shift) = match options.listing {
        Listing::Whole => (cookie, 0),
        Listing::Circling => (0, 0),
        Listing::Endless => (0, cookie),
    };
    let skip = if from == 0 { 0 } else { from.checked_sub(FIRST_COOKIE - 1).ok_or(NfsStatus::BadCookie)? };
    let room = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    body.fixed(&[7; 8]);
    let mut end = options.listing == Listing::Whole;
    for (index, found) in (0u64..).zip(entries.values()).skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
        let mut entry = Writer::new();
        entry.bool(true);
        entry.u64(index + FIRST_COOKIE + shift);
        entry.opaque(&found.name);
        let attributes = match looks {
            Ok(()) => tree.attributes(found.number, options.domain.as_deref())?,
            Err(status) => Attributes { read_error: Some(status.to_u32()), ..Attributes::default() },
        };
        attributes.encode(Attributes::LISTING, &mut entry);
        // The end of the list and of the result take eight bytes.
        if body.as_slice().len() + entry.as_slice().len() + 8 > room {
            if index == skip {
                return Err(NfsStatus::TooSmall);
            }
            end = false;
            break;
        }
        body.append(entry.as_slice());
    }
    body.bool(false);
    body.bool(end);
    Ok(())
}
