//! Archives that a Linux kernel unpacks as its initial RAM disk ("newc" cpio, Documentation/driver-api/early-userspace/
//! buffer-format.rst). Several archives may follow each other in one file; later entries win.

use std::io::{self, Write};

use cpio::newc::{Builder, ModeFileType, trailer};

/// An archive of directories and then files, each a path, permission bits and contents. Everything in it belongs to root,
/// and its length is a multiple of four bytes, as the kernel wants of an archive that another follows.
pub(crate) fn archive(directories: &[&str], files: &[(String, u32, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let directories = directories.iter().map(|path| (*path, 0o755, ModeFileType::Directory, &b""[..]));
    let files = files.iter().map(|(path, mode, bytes)| (path.as_str(), *mode, ModeFileType::Regular, bytes.as_slice()));
    let mut archive = Vec::new();
    for (path, mode, kind, bytes) in directories.chain(files) {
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let entry = Builder::new(path.trim_start_matches('/')).mode(mode).set_mode_file_type(kind);
        let mut writer = entry.write(archive, size);
        writer.write_all(bytes)?;
        archive = writer.finish()?;
    }
    let mut archive = trailer(archive)?;
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use cpio::newc::Reader;

    use super::*;

    #[test]
    fn entries_read_back_and_another_archive_can_follow() {
        let files = [("/lab/odd", 0o640, "12345"), ("/init", 0o755, "#!")];
        let files = files.map(|(path, mode, text)| (path.to_owned(), mode, text.as_bytes().to_vec()));
        let one = archive(&["/lab"], &files).unwrap();
        assert_eq!(one.len() % 4, 0);
        let mut rest = one.as_slice();
        let mut found = Vec::new();
        loop {
            let reader = Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut bytes = Vec::new();
            rest = reader.to_writer(&mut bytes).unwrap();
            found.push((name, mode, bytes));
        }
        let wanted = [("lab", 0o040_755, ""), ("lab/odd", 0o100_640, "12345"), ("init", 0o100_755, "#!")];
        assert_eq!(found, wanted.map(|(name, mode, text)| (name.to_owned(), mode, text.as_bytes().to_vec())));
    }
}
