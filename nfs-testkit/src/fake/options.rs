//! How a server behaves when nothing is injected: the habits of real servers that a client must live with.

use std::time::Duration;

use nfs_client::NfsStatus;

/// What becomes of a mode that SETATTR is to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chmod {
    /// It is set.
    #[default]
    Applied,
    /// SETATTR answers this: PERM on ZFS with `aclmode=restricted` where a directory has an ACL that a mode cannot express, and on
    /// ONTAP volumes of security style NTFS with `ntfs-unix-security-ops fail`; ACCESS, NOTSUPP and INVAL elsewhere.
    Refused(NfsStatus),
    /// SETATTR succeeds and changes nothing, as on vfat, and on ONTAP volumes of security style NTFS with
    /// `ntfs-unix-security-ops ignore`.
    Ignored,
}

/// Whether a listing comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// It does, with every entry once.
    #[default]
    Whole,
    /// Every page is the first one again, and none is the last.
    Circling,
    /// The same, with cookies that nobody has seen before.
    Endless,
}

/// How a [`FakeServer`](super::FakeServer) behaves when nothing is injected.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of some real server, independent of the others")]
pub struct Options {
    /// How long a client lives without a sign of life.
    pub lease: Duration,
    /// How long OPEN, REMOVE and RENAME answer GRACE after a restart, as on every real server: 90 s on Linux and on
    /// Ganesha unless they are told otherwise. Zero by default.
    pub grace: Duration,
    /// Slots granted at most. knfsd grants fewer when memory is short, down to one.
    pub slots: u32,
    /// All those slots are granted, however few a client asks for, which RFC 8881 §18.36.3 forbids.
    pub grants_unasked_slots: bool,
    /// Slots of a session that the server wants to see used (`sr_target_highest_slotid`), at most those granted: fewer when
    /// it has come under pressure since. It still serves the others.
    pub target_slots: u32,
    /// Operations in a compound at most, SEQUENCE included. knfsd takes 16 before Linux 6.1 (and its stable branches of
    /// late 2022), and so does much firmware that is built on it; Ganesha takes 100. The Linux client asks for 8 and
    /// refuses a server that grants fewer, so 8 is the least that a node can mount from.
    pub max_operations: u32,
    /// Bytes in a request at most, RPC header included. Linux's knfsd takes a little more than a megabyte, or than the
    /// 8 KiB to which it goes down on machines with little memory.
    pub max_request: u32,
    /// Bytes in a reply at most, RPC header included.
    pub max_response: u32,
    /// Bytes of a reply that is kept for a repetition, RPC header included: 2 KiB on knfsd. A change whose reply might be
    /// longer is refused before it is executed.
    pub max_cached: u32,
    /// Bytes one WRITE takes at most; the rest is left to another one, as on a file system that is almost full.
    pub max_write: usize,
    /// Bytes one READ tells at most.
    pub max_read: usize,
    /// CREATE drops set-gid from the mode, as Ganesha does; SETATTR keeps it.
    pub drops_setgid: bool,
    /// The mode of whatever is created, whichever was asked for: what an inherited ACL does on Isilon/PowerScale, on ONTAP
    /// volumes with NFSv4 ACLs and on ZFS. SETATTR afterwards is another matter: [`Options::chmod`].
    pub created_mode: Option<u32>,
    /// What becomes of a mode that SETATTR is to set.
    pub chmod: Chmod,
    /// Whether READDIR ever says that a directory ends.
    pub listing: Listing,
    /// User 0 and group 0 count as nobody's (`root_squash`). Whoever is not root may do what modes and owners allow.
    pub squashes_root: bool,
    /// Everybody counts as nobody (`all_squash`).
    pub squashes_all: bool,
    /// SETATTR of an owner succeeds and changes nothing, as on file systems that keep none.
    pub ignores_owners: bool,
    /// CREATE of a symbolic link answers this. PERM is what symlink(2) says on vfat, and so do knfsd and Ganesha there;
    /// BADTYPE is the answer of RFC 8881 §18.4 for a type that the server does not have, NOTSUPP that of gateways to
    /// object stores.
    pub refuses_symlinks: Option<NfsStatus>,
    /// Names that differ in nothing but case are the same, and are kept as they were first written: ext4 with `casefold`,
    /// ZFS with `casesensitivity=insensitive`, Windows Server, exFAT. Fixed when the server is made.
    pub case_insensitive: bool,
    /// The handle of a directory that was removed stays good: the directory is empty, and making something in it answers
    /// NOENT. So it is on a server in user space that still has it open, as Ganesha may. Fixed when the server is made.
    pub holds_removed_directories: bool,
    /// Directories from the root that are quota trees: RENAME into, out of and between them answers XDEV, as between
    /// qtrees of ONTAP, between ZFS datasets, and between directories of different projects on XFS.
    pub quota_trees: Vec<String>,
    /// Over TCP, callers with a source port of 1024 or above are denied.
    pub needs_reserved_port: bool,
    /// Owners are reported as `number@domain`.
    pub domain: Option<String>,
    /// Owners are reported as names, `user-NUMBER`, as servers do that map ids (idmapd).
    pub names_owners: bool,
    /// A repetition whose bytes differ from the original is `SEQ_FALSE_RETRY`; otherwise it gets the cached reply.
    pub detects_false_retries: bool,
    /// A connection has to be bound with `BIND_CONN_TO_SESSION` before its first SEQUENCE.
    pub needs_binding: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(90),
            grace: Duration::ZERO,
            slots: 64,
            grants_unasked_slots: false,
            target_slots: u32::MAX,
            max_operations: 64,
            max_request: 64 * 1024,
            max_response: 64 * 1024,
            max_cached: 4096,
            max_write: usize::MAX,
            max_read: usize::MAX,
            drops_setgid: true,
            created_mode: None,
            chmod: Chmod::Applied,
            listing: Listing::Whole,
            squashes_root: false,
            squashes_all: false,
            ignores_owners: false,
            refuses_symlinks: None,
            case_insensitive: false,
            holds_removed_directories: false,
            quota_trees: Vec::new(),
            needs_reserved_port: false,
            domain: None,
            names_owners: false,
            detects_false_retries: true,
            needs_binding: false,
        }
    }
}
