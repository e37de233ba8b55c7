//! Files and directories as a tar file whose bytes depend on nothing else.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::base::LabError;

/// A set of files and directories, owned by root unless the mode says who may use them, and dated 1970. Missing parent
/// directories are added with mode 0755. It becomes a layer, or an archive of blobs.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory(u32),
    Bytes(u32, Vec<u8>),
    Host(u32, PathBuf),
    Link(String),
}

impl Tree {
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

    /// Adds a copy of a file of the host, read when the tree is written.
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

    /// Writes the tree as a tar file. Parents come before their children because they sort before them.
    pub(super) fn write<W: Write>(&self, to: W) -> Result<W, LabError> {
        let mut archive = Builder::new(to);
        for (path, entry) in &self.entries {
            let failed = |source| LabError::File { path: format!("{path} in an image").into(), source };
            match entry {
                Entry::Directory(mode) => add(&mut archive, EntryType::Directory, &format!("{path}/"), *mode, b""),
                Entry::Bytes(mode, bytes) => add(&mut archive, EntryType::Regular, path, *mode, bytes),
                Entry::Host(mode, from) => {
                    let bytes = fs::read(from).map_err(LabError::file(from))?;
                    add(&mut archive, EntryType::Regular, path, *mode, &bytes)
                }
                Entry::Link(target) => archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target),
            }
            .map_err(failed)?;
        }
        archive.into_inner().map_err(|source| LabError::File { path: "the end of an image".into(), source })
    }
}

fn add(archive: &mut Builder<impl Write>, kind: EntryType, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(kind, mode, bytes.len() as u64), path, bytes)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tool;

    /// Mode, owner and path of each entry as tar(1) tells them.
    fn listed(tree: &Tree) -> Vec<(String, String, String)> {
        let home = tempfile::tempdir().unwrap();
        let archive = home.path().join("tree.tar");
        fs::write(&archive, tree.write(Vec::new()).unwrap()).unwrap();
        let list = Tool::new("tar").args(["--numeric-owner", "-tvf"]).arg(&archive).output().unwrap();
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].to_owned(), words[1].to_owned(), words[5].to_owned())
        };
        list.lines().map(entry).collect()
    }

    #[test]
    fn tar_lists_what_was_put_in() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("from");
        fs::write(&from, b"host").unwrap();
        let tree = Tree::default()
            .host_file("/usr/bin/prog", 0o755, &from)
            .link("/bin/sh", "/usr/bin/prog")
            .directory("/tmp", 0o1777);
        let entries = listed(&tree);
        let modes: Vec<(&str, &str)> = entries.iter().map(|(mode, _, path)| (mode.as_str(), path.as_str())).collect();
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
        assert!(entries.iter().all(|(_, owner, _)| owner == "0/0"));
    }

    #[test]
    fn long_paths_and_targets_stay_whole() {
        let (path, target) = ("long/".repeat(50) + "path", "x".repeat(200));
        let tree = Tree::default().bytes_file(&path, 0o644, b"found".to_vec()).link("link", &target);
        assert!(listed(&tree).iter().any(|(_, _, listed)| *listed == path));
        let bytes = tree.write(Vec::new()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let links: Vec<PathBuf> = archive
            .entries()
            .unwrap()
            .filter_map(|entry| entry.unwrap().link_name().unwrap().map(std::borrow::Cow::into_owned))
            .collect();
        assert_eq!(links, [PathBuf::from(target)]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Tree::default().host_file("/prog", 0o755, Path::new("/no/such/file")).write(Vec::new());
        assert!(matches!(error, Err(LabError::File { path, .. }) if path == Path::new("/no/such/file")));
    }
}
