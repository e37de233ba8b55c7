//! What tests see and prepare without the protocol.

use nfs_client::{OpCode, SetAttributes};

use super::{
    FakeServer, State,
    tree::{Content, Entries, Object, ROOT},
};

impl FakeServer {
    /// How often an operation was executed; answers from the reply cache do not count.
    pub fn executed(&self, op: OpCode) -> u64 {
        self.shared.state().executed.iter().filter(|((executed, _), _)| *executed == op).map(|(_, times)| times).sum()
    }

    /// How often an operation was executed for a caller who said that this is his user id.
    pub fn executed_for(&self, op: OpCode, uid: u32) -> u64 {
        self.shared.state().executed.get(&(op, Some(uid))).copied().unwrap_or(0)
    }

    /// How many requests were answered from the reply cache.
    pub fn replayed(&self) -> u64 {
        self.shared.state().replayed
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Files that are open now.
    pub fn opens(&self) -> usize {
        self.shared.state().opens.len()
    }

    /// Whether it makes symbolic links.
    pub fn has_symlinks(&self) -> bool {
        self.shared.state().options.refuses_symlinks.is_none()
    }

    /// Sessions that live now.
    pub fn sessions(&self) -> usize {
        self.shared.state().sessions.live()
    }

    /// Clients with a confirmed client id.
    pub fn clients(&self) -> usize {
        self.shared.state().sessions.clients()
    }

    /// Makes a directory with all those above it (0755).
    pub fn make_dir(&self, path: &str) {
        self.make(path, Content::Directory(Entries::new()), 0o755);
    }

    /// Makes a file (0644) and all directories above it.
    pub fn make_file(&self, path: &str, data: impl Into<Vec<u8>>) {
        self.make(path, Content::File { data: data.into(), verifier: None }, 0o644);
    }

    /// Makes a symbolic link and all directories above it.
    pub fn make_symlink(&self, path: &str, target: impl Into<Vec<u8>>) {
        self.make(path, Content::Symlink(target.into()), 0o777);
    }

    /// Lets an object have been modified so many seconds earlier; panics if there is none.
    pub fn age(&self, path: &str, seconds: i64) {
        let mut state = self.shared.state();
        let number = state.tree.find(path);
        number.and_then(|number| state.tree.object_mut(number)).expect("an object to age").age(seconds);
    }

    /// Sets owner or mode of an object as on the server itself, whatever the options say; panics if there is none.
    pub fn change(&self, path: &str, attributes: SetAttributes) {
        let mut state = self.shared.state();
        let number = state.tree.find(path);
        number.and_then(|number| state.tree.set(number, &attributes)).expect("an object to change");
    }

    /// Lets a directory, with everything below it, be another file system of the server that is mounted there: its fsid is its
    /// own, and RENAME into and out of it answers XDEV. Panics if there is none.
    pub fn mount_at(&self, path: &str) {
        let mut state = self.shared.state();
        let number = state.tree.find(path).expect("a directory to mount at");
        state.tree.mount_at(number);
    }

    /// Panics if something else is in the way: a test that prepares nonsense must not go on.
    fn make(&self, path: &str, content: Content, mode: u32) {
        let mut state = self.shared.state();
        let names: Vec<&str> = components(path).collect();
        let Some((leaf, parents)) = names.split_last() else { return };
        let mut directory = ROOT;
        for name in parents {
            directory = match state.tree.lookup(directory, name.as_bytes()) {
                Ok(found) => found,
                Err(_) => create(&mut state, directory, name, Content::Directory(Entries::new()), 0o755),
            };
        }
        let is_directory = matches!(content, Content::Directory(_));
        let existing = state.tree.lookup(directory, leaf.as_bytes());
        if !(is_directory && existing.is_ok_and(|number| state.tree.entries(number).is_ok())) {
            create(&mut state, directory, leaf, content, mode);
        }
    }

    /// Whether there is anything at this path.
    pub fn exists(&self, path: &str) -> bool {
        self.object(path).is_some()
    }

    /// Names in a directory, sorted; `None` if it is not a directory.
    pub fn list(&self, path: &str) -> Option<Vec<String>> {
        match self.object(path)?.content {
            Content::Directory(entries) => {
                Some(entries.into_values().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect())
            }
            Content::Symlink(_) | Content::File { .. } => None,
        }
    }

    /// The text of a symbolic link.
    pub fn link(&self, path: &str) -> Option<String> {
        match self.object(path)?.content {
            Content::Symlink(target) => Some(String::from_utf8_lossy(&target).into_owned()),
            Content::Directory(_) | Content::File { .. } => None,
        }
    }

    /// The content of a file.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        match self.object(path)?.content {
            Content::File { data, .. } => Some(data),
            Content::Directory(_) | Content::Symlink(_) => None,
        }
    }

    /// The mode of an object.
    pub fn mode(&self, path: &str) -> Option<u32> {
        Some(self.object(path)?.mode)
    }

    /// User and group id of an object.
    pub fn owner(&self, path: &str) -> Option<(u32, u32)> {
        self.object(path).map(|object| (object.owner, object.group))
    }

    fn object(&self, path: &str) -> Option<Object> {
        let state = self.shared.state();
        state.tree.object(state.tree.find(path).ok()?).ok().cloned()
    }
}

fn create(state: &mut State, directory: u64, name: &str, content: Content, mode: u32) -> u64 {
    match state.tree.create(directory, name.as_bytes(), content, mode) {
        Ok(number) => number,
        Err(status) => panic!("cannot prepare {name}: {status}"),
    }
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
