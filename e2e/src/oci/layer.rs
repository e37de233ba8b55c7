//! The files of an image.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{OciError, tar};

/// A set of files and directories, owned by root unless the mode says who may use them. Missing parent directories are
/// added with mode 0755.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory(u32),
    Bytes(u32, Vec<u8>),
    Host(u32, PathBuf),
    Link(String),
}

impl Layer {
    /// Adds a directory with permission bits `mode`.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, Entry::Directory(mode))
    }

    /// Adds a file with these contents.
    #[must_use]
    pub fn bytes_file(self, path: &str, mode: u32, bytes: Vec<u8>) -> Self {
        self.entry(path, Entry::Bytes(mode, bytes))
    }

    /// Adds a copy of a file of the host, read when the archive is written.
    #[must_use]
    pub fn host_file(self, path: &str, mode: u32, from: &Path) -> Self {
        self.entry(path, Entry::Host(mode, from.to_owned()))
    }

    /// Adds a symbolic link to `target`.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, Entry::Link(target.to_owned()))
    }

    fn entry(mut self, path: &str, entry: Entry) -> Self {
        let path = path.trim_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.entries.entry(path[..slash].to_owned()).or_insert(Entry::Directory(0o755));
        }
        self.entries.insert(path.to_owned(), entry);
        self
    }

    /// The layer as a tar file. Parents come before their children because they sort before them.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, OciError> {
        let mut archive = tar::Writer::new(Vec::new());
        for (path, entry) in &self.entries {
            let written = match entry {
                Entry::Directory(mode) => archive.directory(path, *mode),
                Entry::Bytes(mode, bytes) => archive.file(path, *mode, bytes),
                Entry::Link(target) => archive.link(path, target),
                Entry::Host(mode, from) => {
                    let bytes = fs::read(from).map_err(|source| OciError::File { path: from.clone(), source })?;
                    archive.file(path, *mode, &bytes)
                }
            };
            // Writing to memory fails only where a header cannot hold the entry.
            written.map_err(|_| OciError::LongPath(path.clone()))?;
        }
        archive.finish().map_err(|_| OciError::LongPath(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tool;

    #[test]
    fn tar_lists_what_was_put_in() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("from");
        fs::write(&from, b"host").unwrap();
        let layer = Layer::default()
            .host_file("/usr/bin/prog", 0o755, &from)
            .link("/bin/sh", "/usr/bin/prog")
            .directory("/tmp", 0o1777);
        let archive = home.path().join("layer.tar");
        fs::write(&archive, layer.bytes().unwrap()).unwrap();
        let list = Tool::new("tar").args(["--numeric-owner", "-tvf"]).arg(&archive).output().unwrap();
        let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        let modes: Vec<(&str, &str)> = lines.iter().map(|words| (words[0], words[5])).collect();
        assert_eq!(
            modes,
            [
                ("drwxr-xr-x", "bin/"),
                ("lrwxrwxrwx", "bin/sh"),
                ("drwxrwxrwt", "tmp/"),
                ("drwxr-xr-x", "usr/"),
                ("drwxr-xr-x", "usr/bin/"),
                ("-rwxr-xr-x", "usr/bin/prog"),
            ]
        );
        assert!(lines.iter().all(|words| words[1] == "0/0"));
    }

    #[test]
    fn a_path_that_fits_no_header_is_refused() {
        let layer = Layer::default().bytes_file(&"x".repeat(101), 0o644, Vec::new());
        assert!(matches!(layer.bytes(), Err(OciError::LongPath(_))));
    }
}
