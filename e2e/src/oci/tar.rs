//! The few parts of the tar format (POSIX.1-1988 ustar) that an image needs.

use std::io::{self, Write};

const BLOCK: usize = 512;

/// A tar file that is being written. Every entry belongs to root and dates from 1970.
#[derive(Debug)]
pub(super) struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to }
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let header = header(&format!("{path}/"), mode, 0, b'5', "")?;
        self.to.write_all(&header)
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let header = header(path, 0o777, 0, b'2', target)?;
        self.to.write_all(&header)
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let header = header(path, mode, bytes.len(), b'0', "")?;
        self.to.write_all(&header)?;
        self.to.write_all(bytes)?;
        let rest = (BLOCK - bytes.len() % BLOCK) % BLOCK;
        self.to.write_all(&[0; BLOCK][..rest])
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

fn header(path: &str, mode: u32, size: usize, kind: u8, target: &str) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, width: usize, text: &str| {
        if text.len() > width {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}` does not fit a tar header")));
        }
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    };
    put(0, 100, path)?;
    put(100, 8, &format!("{mode:07o}"))?;
    put(108, 8, "0000000")?;
    put(116, 8, "0000000")?;
    put(124, 11, &format!("{size:011o}"))?;
    put(136, 12, "00000000000")?;
    put(148, 8, "        ")?;
    put(157, 100, target)?;
    put(257, 8, "ustar\u{0}00")?;
    block[156] = kind;
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_counts_itself_as_spaces() {
        let block = header("a", 0o644, 3, b'0', "").unwrap();
        let stored = u32::from_str_radix(str::from_utf8(&block[148..154]).unwrap(), 8).unwrap();
        let mut blank = block;
        blank[148..156].fill(b' ');
        assert_eq!(stored, blank.iter().copied().map(u32::from).sum::<u32>());
    }

    #[test]
    fn files_fill_whole_blocks() {
        let mut writer = Writer::new(Vec::new());
        writer.file("a", 0o644, &[1; 513]).unwrap();
        assert_eq!(writer.finish().unwrap().len(), 512 + 1024 + 1024);
    }

    #[test]
    fn a_size_past_the_field_is_refused() {
        assert!(header("a", 0o644, 1 << 33, b'0', "").is_err());
    }
}
