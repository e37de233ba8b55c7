//! Writes the archives that a Linux kernel unpacks as its initial RAM disk ("newc" cpio, Documentation/driver-api/
//! early-userspace/buffer-format.rst). Several archives may follow each other in one file; later entries win.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const TRAILER: &str = "TRAILER!!!";

/// An archive that is being written. Everything in it belongs to root.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    to: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, inode: 0 }
    }

    /// Adds a directory; its parent must have been added before.
    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | 0o755, b"")
    }

    /// Adds a file with permission bits `mode`.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, FILE | mode, bytes)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, b"")?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "too much for a cpio archive");
        let size = u32::try_from(bytes.len()).map_err(too_long)?;
        let name = path.trim_start_matches('/');
        let name_size = u32::try_from(name.len() + 1).map_err(too_long)?;
        self.inode += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, checksum
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            // Writing to a string cannot fail.
            let _ = write!(header, "{field:08X}");
        }
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(name.as_bytes())?;
        self.pad(header.len() + name.len() + 1, 1)?;
        self.to.write_all(bytes)?;
        self.pad(bytes.len(), 0)
    }

    /// Writes `at_least` zeros, and more until `length` and they fill whole words of four bytes.
    fn pad(&mut self, length: usize, at_least: usize) -> io::Result<()> {
        let rest = (4 - length % 4) % 4;
        self.to.write_all(&[0; 4][..at_least + rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.directory("/lab").unwrap();
        archive.file("/lab/odd", 0o640, b"12345").unwrap();
        archive.file("/init", 0o755, b"#!/bin/sh\n").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn every_part_starts_on_a_whole_word() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        let headers: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"070701")).collect();
        assert_eq!(headers.len(), 4);
        assert!(headers.iter().all(|at| at % 4 == 0));
    }

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_documents() {
        let bytes = sample();
        // The second entry follows the first one's header of 110 bytes and its name `lab`.
        let entry = &bytes[116..];
        let field = |index: usize| {
            let at = 6 + 8 * index;
            u32::from_str_radix(str::from_utf8(&entry[at..at + 8]).unwrap(), 16).unwrap()
        };
        assert_eq!((field(0), field(1), field(6), field(11)), (2, FILE | 0o640, 5, 8));
        assert_eq!(&entry[110..118], b"lab/odd\0");
        assert_eq!(&entry[120..128], b"12345\0\0\0");
    }
}
