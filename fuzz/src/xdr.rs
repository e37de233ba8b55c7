//! Items of a message never reach past its end, and are written as they were read.

use onc_rpc::{DecodeError, Reader, Writer};

use super::assert_readable;

/// Longest opaque item that is asked for, in bytes.
const LIMIT: usize = 40;

/// Which items to read, up to a 0xff, and the bytes to read them from.
pub fn check(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == 0xff) else { return };
    let (items, bytes) = (&input[..end], &input[end + 1..]);
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::new());
    for item in items {
        let before = reader.clone();
        let written = writer.as_slice().len();
        match copy(*item, &mut reader, &mut writer) {
            Ok(()) => {
                let taken = before.left() - reader.left();
                assert_eq!(writer.as_slice().len() - written, taken, "an item is written as long as it was");
                let (mut again, mut copied) = (Reader::new(&writer.as_slice()[written..]), Writer::new());
                copy(*item, &mut again, &mut copied).expect("what was written can be read");
                assert_eq!(copied.as_slice(), &writer.as_slice()[written..]);
                assert_eq!(again.left(), 0);
                assert_cut(*item, &bytes[bytes.len() - before.left()..][..taken]);
            }
            Err(error) => {
                assert_readable(&error);
                return assert!(reader.left() <= before.left());
            }
        }
    }
}

/// Reads an item and writes it.
fn copy(item: u8, reader: &mut Reader<'_>, writer: &mut Writer) -> Result<(), DecodeError> {
    match item % 7 {
        0 => writer.u32(reader.u32()?),
        1 => writer.u64(reader.u64()?),
        2 => writer.i64(reader.i64()?),
        3 => writer.bool(reader.bool()?),
        4 => {
            let bytes = reader.opaque("opaque", LIMIT)?;
            assert!(bytes.len() <= LIMIT);
            writer.opaque(bytes);
        }
        5 => writer.fixed(&reader.array::<5>()?),
        _ => {
            let length = reader.length("list", LIMIT)?;
            assert!(length <= LIMIT);
            writer.u32(u32::try_from(length).expect("at most the limit"));
        }
    }
    Ok(())
}

/// The bytes of an item, cut anywhere, are no item.
fn assert_cut(item: u8, bytes: &[u8]) {
    for end in 0..bytes.len() {
        let cut = copy(item, &mut Reader::new(&bytes[..end]), &mut Writer::new());
        assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{cut:?} after {end} bytes of {bytes:?}");
    }
}
