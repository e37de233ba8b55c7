//! Files, directories and links in memory.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use nfs_client::{Attributes, FileHandle, FileType, NfsStatus, Principal, SetAttributes};

pub(super) const ROOT: u64 = 1;
const MAX_NAME: usize = 255;

/// The entries of a directory by their keys: names that count as the same have one key.
pub(super) type Entries = BTreeMap<Vec<u8>, Entry>;

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As it was written.
    pub(super) name: Vec<u8>,
    pub(super) number: u64,
}

/// What an object holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Directory(Entries),
    Symlink(Vec<u8>),
    File { data: Vec<u8>, verifier: Option<[u8; 8]> },
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    change: u64,
    modified: (i64, u32),
    /// Part of its handles; those of another generation are stale.
    generation: u64,
    /// A directory that was removed and is held: nothing can be made in it any more.
    removed: bool,
    /// The file system it lies on.
    file_system: u64,
}

/// All objects by their number.
pub(super) struct Tree {
    objects: HashMap<u64, Object>,
    next: u64,
    /// Part of every handle; handles of another generation are stale.
    generation: u64,
    case_insensitive: bool,
    holds_removed: bool,
}

impl Object {
    fn new(content: Content, mode: u32) -> Self {
        Self {
            content,
            mode,
            owner: 0,
            group: 0,
            change: 1,
            modified: now(),
            generation: 0,
            removed: false,
            file_system: ROOT,
        }
    }

    pub(super) fn touch(&mut self) {
        self.change += 1;
        self.modified = now();
    }

    /// As if it had last been modified so many seconds earlier.
    pub(super) fn age(&mut self, seconds: i64) {
        self.modified.0 -= seconds;
    }
}

fn now() -> (i64, u32) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

impl Tree {
    pub(super) fn new(case_insensitive: bool, holds_removed: bool) -> Self {
        let root = Object::new(Content::Directory(Entries::new()), 0o755);
        Self { objects: HashMap::from([(ROOT, root)]), next: ROOT + 1, generation: 1, case_insensitive, holds_removed }
    }

    /// What two names have in common when they lead to the same entry.
    fn key(&self, name: &[u8]) -> Vec<u8> {
        if self.case_insensitive { String::from_utf8_lossy(name).to_lowercase().into_bytes() } else { name.to_vec() }
    }

    pub(super) fn renew_handles(&mut self) {
        self.generation += 1;
    }

    /// Makes the handles of an object and of everything below it stale.
    pub(super) fn expire_handles(&mut self, number: u64) {
        let below: Vec<u64> = self
            .entries(number)
            .map(|entries| entries.values().map(|entry| entry.number).collect())
            .unwrap_or_default();
        if let Ok(object) = self.object_mut(number) {
            object.generation += 1;
        }
        for child in below {
            self.expire_handles(child);
        }
    }

    /// Makes an object and everything below it a file system of its own.
    pub(super) fn mount_at(&mut self, number: u64) {
        let mut below = vec![number];
        while let Some(next) = below.pop() {
            if let Ok(object) = self.object_mut(next) {
                object.file_system = number;
            }
            below.extend(self.entries(next).into_iter().flat_map(Entries::values).map(|entry| entry.number));
        }
    }

    pub(super) fn handle(&self, number: u64) -> FileHandle {
        let own = self.objects.get(&number).map_or(0, |object| object.generation);
        let bytes = [self.generation, number, own].map(u64::to_be_bytes).concat();
        FileHandle::new(&bytes).unwrap_or_else(|| unreachable!("24 bytes fit"))
    }

    pub(super) fn number(&self, handle: &FileHandle) -> Result<u64, NfsStatus> {
        let (parts, rest) = handle.as_bytes().as_chunks::<8>();
        let ([generation, number, own], []) = (parts, rest) else { return Err(NfsStatus::BadHandle) };
        let number = u64::from_be_bytes(*number);
        let current = self.objects.get(&number).map(|object| object.generation);
        let known = u64::from_be_bytes(*generation) == self.generation && current == Some(u64::from_be_bytes(*own));
        if known { Ok(number) } else { Err(NfsStatus::Stale) }
    }

    /// What is at a path from the root.
    pub(super) fn find(&self, path: &str) -> Result<u64, NfsStatus> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(ROOT, |number, name| self.lookup(number, name.as_bytes()))
    }

    pub(super) fn object(&self, number: u64) -> Result<&Object, NfsStatus> {
        self.objects.get(&number).ok_or(NfsStatus::Stale)
    }

    pub(super) fn object_mut(&mut self, number: u64) -> Result<&mut Object, NfsStatus> {
        self.objects.get_mut(&number).ok_or(NfsStatus::Stale)
    }

    pub(super) fn entries(&self, directory: u64) -> Result<&Entries, NfsStatus> {
        match &self.object(directory)?.content {
            Content::Directory(entries) => Ok(entries),
            Content::Symlink(_) => Err(NfsStatus::Symlink),
            Content::File { .. } => Err(NfsStatus::NotDir),
        }
    }

    fn entries_mut(&mut self, directory: u64) -> Result<&mut Entries, NfsStatus> {
        self.entries(directory)?;
        let object = self.object_mut(directory)?;
        object.touch();
        match &mut object.content {
            Content::Directory(entries) => Ok(entries),
            Content::Symlink(_) | Content::File { .. } => Err(NfsStatus::NotDir),
        }
    }

    pub(super) fn lookup(&self, directory: u64, name: &[u8]) -> Result<u64, NfsStatus> {
        check(name)?;
        self.entries(directory)?.get(&self.key(name)).map(|entry| entry.number).ok_or(NfsStatus::NoEnt)
    }

    pub(super) fn create(
        &mut self,
        directory: u64,
        name: &[u8],
        content: Content,
        mode: u32,
    ) -> Result<u64, NfsStatus> {
        check(name)?;
        let key = self.key(name);
        if self.entries(directory)?.contains_key(&key) {
            return Err(NfsStatus::Exist);
        }
        self.require_in_place(directory)?;
        let number = self.next;
        self.next += 1;
        let file_system = self.object(directory)?.file_system;
        self.objects.insert(number, Object { file_system, ..Object::new(content, mode) });
        self.entries_mut(directory)?.insert(key, Entry { name: name.to_vec(), number });
        Ok(number)
    }

    pub(super) fn remove(&mut self, directory: u64, name: &[u8]) -> Result<(), NfsStatus> {
        let number = self.lookup(directory, name)?;
        self.require_empty(number)?;
        let key = self.key(name);
        self.entries_mut(directory)?.remove(&key);
        if self.holds_removed && self.entries(number).is_ok() {
            self.object_mut(number)?.removed = true;
        } else {
            self.objects.remove(&number);
        }
        Ok(())
    }

    /// Linux says ENOENT to whoever makes something in a directory that was removed while it was open.
    fn require_in_place(&self, directory: u64) -> Result<(), NfsStatus> {
        if self.object(directory)?.removed { Err(NfsStatus::NoEnt) } else { Ok(()) }
    }

    fn require_empty(&self, number: u64) -> Result<(), NfsStatus> {
        match &self.object(number)?.content {
            Content::Directory(entries) if !entries.is_empty() => Err(NfsStatus::NotEmpty),
            _ => Ok(()),
        }
    }

    pub(super) fn rename(&mut self, from: u64, old: &[u8], to: u64, new: &[u8]) -> Result<(), NfsStatus> {
        let moved = self.lookup(from, old)?;
        check(new)?;
        self.require_in_place(to)?;
        if self.object(moved)?.file_system != self.object(to)?.file_system {
            return Err(NfsStatus::XDev);
        }
        let (old, key) = (self.key(old), self.key(new));
        let renamed = Entry { name: new.to_vec(), number: moved };
        if let Some(replaced) = self.entries(to)?.get(&key).map(|entry| entry.number) {
            if replaced == moved {
                // There are no hard links, so it is the same entry: at most its case changes.
                self.entries_mut(to)?.insert(key, renamed);
                return Ok(());
            }
            if self.entries(replaced).is_ok() != self.entries(moved).is_ok() {
                return Err(NfsStatus::Exist);
            }
            self.require_empty(replaced)?;
            self.objects.remove(&replaced);
        }
        if self.is_below(to, moved) {
            return Err(NfsStatus::Inval);
        }
        self.entries_mut(from)?.remove(&old);
        self.entries_mut(to)?.insert(key, renamed);
        Ok(())
    }

    /// Whether `number` is `top` or somewhere in it.
    pub(super) fn is_below(&self, number: u64, top: u64) -> bool {
        let among = |entries: &Entries| entries.values().any(|entry| self.is_below(number, entry.number));
        number == top || self.entries(top).is_ok_and(among)
    }

    pub(super) fn set(&mut self, number: u64, attributes: &SetAttributes) -> Result<(), NfsStatus> {
        let object = self.object_mut(number)?;
        if let (Some(size), Content::File { data, .. }) = (attributes.size, &mut object.content) {
            data.resize(usize::try_from(size).map_err(|_| NfsStatus::FBig)?, 0);
        }
        object.mode = attributes.mode.unwrap_or(object.mode);
        object.owner = attributes.owner.unwrap_or(object.owner);
        object.group = attributes.group.unwrap_or(object.group);
        object.change += 1;
        Ok(())
    }

    pub(super) fn attributes(&self, number: u64, domain: Option<&str>) -> Result<Attributes, NfsStatus> {
        let object = self.object(number)?;
        let (file_type, size) = match &object.content {
            Content::Directory(entries) => (FileType::Directory, entries.len()),
            Content::Symlink(target) => (FileType::Symlink, target.len()),
            Content::File { data, .. } => (FileType::Regular, data.len()),
        };
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let principal = |id: u32| match domain {
            Some(domain) => Principal::Name(format!("{id}@{domain}")),
            None => Principal::Id(id),
        };
        Ok(Attributes {
            file_type: Some(file_type),
            change: Some(object.change),
            size: Some(size),
            fsid: Some((1, object.file_system)),
            handle: Some(self.handle(number)),
            fileid: Some(number),
            mode: Some(object.mode),
            links: Some(1),
            owner: Some(principal(object.owner)),
            group: Some(principal(object.group)),
            space_used: Some(size),
            modified: Some(object.modified),
            ..Attributes::default()
        })
    }
}

fn check(name: &[u8]) -> Result<(), NfsStatus> {
    match name {
        b"" => Err(NfsStatus::Inval),
        b"." | b".." => Err(NfsStatus::BadName),
        _ if name.contains(&b'/') => Err(NfsStatus::BadChar),
        _ if name.len() > MAX_NAME => Err(NfsStatus::NameTooLong),
        _ => Ok(()),
    }
}
