//! Compounds: several operations in one request, executed in order until one fails (RFC 8881 §2.10, §16.2).

use std::sync::atomic::{AtomicU64, Ordering};

use onc_rpc::Writer;

use crate::{
    Attributes, DirectoryPage, Error, FileHandle, MAX_HANDLE, ObjectState, SetAttributes, name,
    protocol::{ChannelLimits, Claim, Operation, Reply, StateId},
    session::OVERHEAD,
};

/// Builds a request. Operations work on a *current* and a *saved* file handle, as in the RFC:
///
/// ```
/// # use nfs_client::{Compound, FileHandle, SetAttributes};
/// # let records = FileHandle::new(b"records").unwrap();
/// # let staging = FileHandle::new(b"staging").unwrap();
/// let request = Compound::new()
///     .put_handle(&records)
///     .create_symlink("pvc-1", "{\"version\":1}")
///     .put_handle(&staging)
///     .create_dir("pvc-1", SetAttributes::mode(0o700))
///     .get_handle();
/// assert!(request.is_mutation());
/// ```
///
/// SEQUENCE is added when it is sent. Names are checked when they are added (see [`Error::BadName`]); the error comes
/// out of [`Client::call`](crate::Client::call), and nothing is sent then.
#[derive(Debug, Clone, Default)]
#[must_use = "a compound does nothing before it is called"]
pub struct Compound {
    operations: Vec<Operation>,
    refused: Option<Error>,
}

impl Compound {
    /// An empty compound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the operations of another one.
    pub fn append(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.refused = self.refused.or(other.refused);
        self
    }

    pub(crate) fn push(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    fn checked(mut self, name: &[u8]) -> Self {
        if let Err(error) = name::check(name) {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// PUTROOTFH: the root of the server's tree of exports becomes current.
    pub fn put_root(self) -> Self {
        self.push(Operation::PutRootHandle)
    }

    /// PUTFH: this object becomes current.
    pub fn put_handle(self, handle: &FileHandle) -> Self {
        self.push(Operation::PutHandle(handle.clone()))
    }

    /// SAVEFH: the current handle is saved too; [`rename`](Self::rename) takes its source directory from there.
    pub fn save_handle(self) -> Self {
        self.push(Operation::SaveHandle)
    }

    /// RESTOREFH: the saved handle becomes current.
    pub fn restore_handle(self) -> Self {
        self.push(Operation::RestoreHandle)
    }

    /// GETFH: returns the current handle.
    pub fn get_handle(self) -> Self {
        self.push(Operation::GetHandle)
    }

    /// LOOKUP: an entry of the current directory becomes current. A symbolic link becomes current itself; a LOOKUP
    /// *in* a link fails with SYMLINK.
    pub fn lookup(self, name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.checked(name).push(Operation::Lookup(name.to_vec()))
    }

    /// GETATTR: returns all attributes this client knows, except those that only listings carry.
    pub fn get_attr(self) -> Self {
        self.push(Operation::GetAttributes(Attributes::STANDARD))
    }

    /// SETATTR on the current object.
    pub fn set_attr(self, attributes: SetAttributes) -> Self {
        self.push(Operation::SetAttributes(attributes))
    }

    /// VERIFY: goes on only if the current object is the one that was seen and nothing has changed it since; otherwise
    /// the compound ends here with `NOT_SAME`.
    pub fn verify(self, seen: ObjectState) -> Self {
        self.push(Operation::Verify(seen))
    }

    /// CREATE of a directory, which becomes current. Fails with EXIST if there is anything of that name. Servers may
    /// drop set-gid from the mode (Ganesha does): a SETATTR of the mode after it costs no round trip.
    pub fn create_dir(self, name: impl AsRef<[u8]>, attributes: SetAttributes) -> Self {
        let name = name.as_ref();
        self.checked(name).push(Operation::CreateDirectory { name: name.to_vec(), attributes })
    }

    /// CREATE of a symbolic link, which becomes current. Fails with EXIST if there is anything of that name.
    pub fn create_symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.checked(name).push(Operation::CreateSymlink { name: name.to_vec(), target: target.as_ref().to_vec() })
    }

    /// OPEN of a new file of the current directory, with this mode, which becomes current (`GUARDED4`, RFC 8881 §18.16). Fails with
    /// EXIST if there is anything of that name. The file stays open: [`fill`](Self::fill) follows, so that the open lives and ends
    /// inside the compound, which [`Client::call_whole`](crate::Client::call_whole) sends.
    pub fn create_file(self, name: impl AsRef<[u8]>, mode: u32) -> Self {
        /// Tells the opens of a process apart, so that no two have one owner.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let owner = format!("file/{}", COUNT.fetch_add(1, Ordering::Relaxed)).into_bytes();
        self.open(name.as_ref(), owner, Claim::New { attributes: SetAttributes::mode(mode) })
    }

    /// WRITE of a text to the start of the file that was made just before, and to stable storage, CLOSE, and VERIFY that the file has
    /// as many bytes as the text: a WRITE that took less is no error, so that the compound would go on. The file stays current.
    pub fn fill(self, text: impl AsRef<[u8]>) -> Self {
        let (text, size) = (text.as_ref().to_vec(), u64::try_from(text.as_ref().len()).unwrap_or(u64::MAX));
        self.write(StateId::CURRENT, 0, text).close(StateId::CURRENT).push(Operation::VerifySize(size))
    }

    /// READ of the first bytes of the current file, without an open. INVAL, ISDIR or `WRONG_TYPE` if it is no file. Only for a compound
    /// that changes nothing, as [`read_link`](Self::read_link).
    pub fn read_start(self, bytes: u32) -> Self {
        self.read(StateId::ANONYMOUS, 0, bytes)
    }

    /// READLINK of the current object. INVAL or `WRONG_TYPE` if it is no symbolic link. Only for a compound that changes
    /// nothing: replies to changes have to fit the server's reply cache, and Linux refuses with `REP_TOO_BIG_TO_CACHE`
    /// however short the text is.
    pub fn read_link(self) -> Self {
        self.push(Operation::ReadLink)
    }

    /// RENAME from `old` in the saved directory to `new` in the current one. Replaces what is at `new` as rename(2)
    /// does: a file by a file, an empty directory by a directory; anything else is EXIST or NOTEMPTY.
    pub fn rename(self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Self {
        let (old, new) = (old.as_ref(), new.as_ref());
        self.checked(old).checked(new).push(Operation::Rename { old: old.to_vec(), new: new.to_vec() })
    }

    /// REMOVE of an entry of the current directory: a file, a link or an empty directory.
    pub fn remove(self, name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.checked(name).push(Operation::Remove(name.to_vec()))
    }

    /// READDIR of the current directory, from its start or after `previous`; at most `max_bytes` of reply, which must
    /// stay below the session's limit ([`Client::page_size`](crate::Client::page_size) tells,
    /// [`Client::read_dir_page`](crate::Client::read_dir_page) takes care of it).
    pub fn read_dir(self, previous: Option<&DirectoryPage>, max_bytes: u32) -> Self {
        let (cookie, verifier) = previous.map_or((0, [0; 8]), |page| (page.cookie, page.verifier));
        self.push(Operation::ReadDirectory { cookie, verifier, max_bytes })
    }

    /// OPEN of a file of the current directory, which becomes current.
    pub(crate) fn open(self, name: &[u8], owner: Vec<u8>, claim: Claim) -> Self {
        self.checked(name).push(Operation::Open { name: name.to_vec(), owner, claim })
    }

    pub(crate) fn read(self, state: StateId, offset: u64, count: u32) -> Self {
        self.push(Operation::Read { state, offset, count })
    }

    pub(crate) fn write(self, state: StateId, offset: u64, data: Vec<u8>) -> Self {
        self.push(Operation::Write { state, offset, data })
    }

    pub(crate) fn close(self, state: StateId) -> Self {
        self.push(Operation::Close(state))
    }

    /// How far a WRITE of it got that took less than it was given.
    pub(crate) fn cut_short(&self, replies: &Replies) -> Option<usize> {
        let is_short = |(operation, reply): (&Operation, &Reply)| match (operation, reply) {
            (Operation::Write { data, .. }, Reply::Written(count)) => {
                usize::try_from(*count).is_ok_and(|count| count < data.len())
            }
            _ => false,
        };
        self.operations.iter().zip(replies.iter()).position(is_short)
    }

    /// What closes the file that is open after so many results: it was opened in a directory that the compound names.
    pub(crate) fn closing(&self, replies: &Replies) -> Option<Self> {
        let (mut directory, mut open) = (None, None);
        for (operation, reply) in self.operations.iter().zip(replies.iter()) {
            match (operation, reply) {
                (Operation::PutHandle(handle), _) => directory = Some(handle),
                (Operation::Open { name, .. }, Reply::Opened(state)) => open = Some((directory, name, state.0)),
                (Operation::Close(_), _) => open = None,
                _ => {}
            }
        }
        let (directory, name, state) = open?;
        Some(Self::new().put_handle(directory?).lookup(name).close(state))
    }

    /// Whether an operation of it changes anything, so that a second execution could end differently.
    pub fn is_mutation(&self) -> bool {
        self.operations.iter().any(Operation::is_mutation)
    }

    /// How many operations it has, SEQUENCE not counted.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it has no operation; it is a mere sign of life then.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) fn into_operations(self) -> Result<Vec<Operation>, Error> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.operations),
        }
    }
}

impl ChannelLimits {
    /// Whether a session with these limits takes a compound in one request, and its results in one reply. How long the names
    /// of owners are that come with attributes, and what the server's reply cache takes, only the server knows: it may
    /// still answer `REP_TOO_BIG` or `REP_TOO_BIG_TO_CACHE` (RFC 8881 §2.10.6.4).
    pub fn admits(&self, compound: &Compound) -> bool {
        let mut request = Writer::new();
        for operation in &compound.operations {
            operation.encode(&mut request);
        }
        let reply: usize = compound.operations.iter().map(result_len).sum();
        let within = |value: usize, limit: u32| usize::try_from(limit).is_ok_and(|limit| value <= limit);
        // SEQUENCE comes first.
        within(compound.operations.len() + 1, self.max_operations)
            && within(OVERHEAD + request.as_slice().len(), self.max_request)
            && within(OVERHEAD + reply, self.max_response)
    }
}

/// Bytes of an operation's result, at most; of those with a text, usually.
fn result_len(operation: &Operation) -> usize {
    /// Operation, status, and for a change the directory before and after it with the attributes that were set.
    const PLAIN: usize = 48;
    match operation {
        Operation::GetHandle => PLAIN + MAX_HANDLE,
        // The state, the delegation that was not given, and why.
        Operation::Open { .. } => 2 * PLAIN,
        Operation::GetAttributes(_) => PLAIN + 256,
        Operation::ReadLink => PLAIN + 1024,
        Operation::ReadDirectory { max_bytes, .. } => PLAIN + usize::try_from(*max_bytes).unwrap_or(usize::MAX / 2),
        Operation::Read { count, .. } => PLAIN + usize::try_from(*count).unwrap_or(usize::MAX / 2),
        _ => PLAIN,
    }
}

/// Results of a compound's operations, one for each, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies(pub(crate) Vec<Reply>);

impl Replies {
    /// How many operations succeeded.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no operation succeeded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The results in the order of the operations.
    pub fn iter(&self) -> impl Iterator<Item = &Reply> {
        self.0.iter()
    }

    /// The result of the operation at this place.
    pub fn get(&self, index: usize) -> Option<&Reply> {
        self.0.get(index)
    }

    /// What the `nth` GETFH returned, from 0.
    pub fn handle(&self, nth: usize) -> Option<&FileHandle> {
        let handles =
            self.iter().filter_map(|reply| if let Reply::Handle(handle) = reply { Some(handle) } else { None });
        handles.into_iter().nth(nth)
    }

    /// What the `nth` GETATTR returned, from 0.
    pub fn attributes(&self, nth: usize) -> Option<&Attributes> {
        let found =
            self.iter().filter_map(|reply| if let Reply::Attributes(some) = reply { Some(&**some) } else { None });
        found.into_iter().nth(nth)
    }

    /// What the `nth` READLINK returned, from 0.
    pub fn target(&self, nth: usize) -> Option<&[u8]> {
        let targets =
            self.iter().filter_map(|reply| if let Reply::Target(text) = reply { Some(&**text) } else { None });
        targets.into_iter().nth(nth)
    }

    /// What the `nth` READ returned, from 0.
    pub fn data(&self, nth: usize) -> Option<&[u8]> {
        let read =
            self.iter().filter_map(|reply| if let Reply::Data { bytes, .. } = reply { Some(&**bytes) } else { None });
        read.into_iter().nth(nth)
    }

    /// What the first READDIR returned.
    pub fn page(&self) -> Option<&DirectoryPage> {
        self.iter().find_map(|reply| if let Reply::Page(page) = reply { Some(page) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_operations: u32, max_request: u32, max_response: u32) -> ChannelLimits {
        ChannelLimits { max_request, max_response, max_cached: 512, max_operations, max_slots: 1 }
    }

    #[test]
    fn a_compound_is_admitted_within_every_limit() {
        let handle = FileHandle::new(&[0; 128]).unwrap();
        let compound = Compound::new().put_handle(&handle).create_symlink("name", [b'x'; 1000]).get_handle();
        assert!(limits(4, 4096, 4096).admits(&compound));
        assert!(!limits(3, 4096, 4096).admits(&compound), "SEQUENCE counts");
        assert!(!limits(4, 1300, 4096).admits(&compound));
        assert!(!limits(4, 4096, 400).admits(&compound));
    }

    #[test]
    fn what_is_appended_comes_last_and_keeps_its_refusal() {
        let compound = Compound::new().put_root().append(Compound::new().lookup("a").get_handle());
        assert_eq!(compound.len(), 3);
        assert!(compound.into_operations().is_ok());
        assert!(Compound::new().put_root().append(Compound::new().lookup("..")).into_operations().is_err());
    }
}
