//! Every mount option that is understood, one line each.

use std::ops::RangeInclusive;

use super::MountAttributes;

/// Most bytes of one READ or WRITE; also the most that Linux offers.
pub(super) const DEFAULT_TRANSFER_SIZE: u32 = 1_048_576;

/// Options of which at most one is in force. The order is that in which they are given to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Version,
    Recovery,
    Timeout,
    Retransmissions,
    ReservedPort,
    ReadSize,
    WriteSize,
    Protocol,
    Connections,
    TrunkedConnections,
    TrunkDiscovery,
    Security,
    TransportSecurity,
    DirectoryAttributes,
    AttributeCache,
    AttributeTimeout,
    FileTimeoutLeast,
    FileTimeoutMost,
    DirectoryTimeoutLeast,
    DirectoryTimeoutMost,
    CloseToOpen,
    LookupCache,
    Write,
    Sharing,
    FsCache,
    Migration,
    Revalidation,
    Synchronous,
    Context,
    FsContext,
    DefContext,
    RootContext,
}

/// How an option is written.
pub(super) enum Spelling {
    /// Its name alone.
    Flag,
    /// `name=NUMBER`.
    Number(RangeInclusive<u32>),
    /// `name=WORD`.
    Word(&'static [&'static str]),
    /// `name=TEXT`, whatever the text: nothing here reads it.
    Text,
    /// `name=LABEL` or `name="LABEL"`, for the kernel's security module.
    Label,
}

/// What an option does.
pub(super) enum Change {
    /// Goes to the kernel, in place of any other of its group.
    Superblock(Group),
    /// Takes any other of its group away.
    Unset(Group),
    /// Changes the flags of the mount that the pod sees.
    Attribute(fn(&mut MountAttributes)),
    /// Says what is so anyway, or speaks to another program (fstab, systemd).
    Nothing,
}

/// One line of the table.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) spelling: Spelling,
    pub(super) change: Change,
}

const fn flag(name: &'static str, group: Group) -> Known {
    Known { name, spelling: Spelling::Flag, change: Change::Superblock(group) }
}

const fn number(name: &'static str, range: RangeInclusive<u32>, group: Group) -> Known {
    Known { name, spelling: Spelling::Number(range), change: Change::Superblock(group) }
}

const fn word(name: &'static str, words: &'static [&'static str], group: Group) -> Known {
    Known { name, spelling: Spelling::Word(words), change: Change::Superblock(group) }
}

const fn label(name: &'static str, group: Group) -> Known {
    Known { name, spelling: Spelling::Label, change: Change::Superblock(group) }
}

const fn attribute(name: &'static str, change: fn(&mut MountAttributes)) -> Known {
    Known { name, spelling: Spelling::Flag, change: Change::Attribute(change) }
}

const fn nothing(name: &'static str, spelling: Spelling) -> Known {
    Known { name, spelling, change: Change::Nothing }
}

/// The kernel counts in signed numbers.
const MOST: u32 = i32::MAX.unsigned_abs();

/// In force unless an option of the same group is given.
pub(super) const DEFAULTS: &[(Group, &str, Option<&str>)] = &[
    (Group::Version, "vers", Some("4.1")),
    (Group::Recovery, "hard", None),
    (Group::Timeout, "timeo", Some("600")),
    (Group::Retransmissions, "retrans", Some("2")),
    (Group::ReservedPort, "noresvport", None),
    (Group::ReadSize, "rsize", Some("1048576")),
    (Group::WriteSize, "wsize", Some("1048576")),
];

/// All options but `vers`, `nfsvers` and `minorversion`, which depend on each other, `port`, which the server has, and `tcp`.
pub(super) static KNOWN: &[Known] = &[
    flag("hard", Group::Recovery),
    flag("soft", Group::Recovery),
    flag("softerr", Group::Recovery),
    number("timeo", 1..=MOST, Group::Timeout),
    number("retrans", 0..=MOST, Group::Retransmissions),
    flag("resvport", Group::ReservedPort),
    flag("noresvport", Group::ReservedPort),
    number("rsize", 1024..=DEFAULT_TRANSFER_SIZE, Group::ReadSize),
    number("wsize", 1024..=DEFAULT_TRANSFER_SIZE, Group::WriteSize),
    word("proto", &["tcp", "tcp6", "rdma", "rdma6"], Group::Protocol),
    number("nconnect", 1..=16, Group::Connections),
    number("max_connect", 1..=16, Group::TrunkedConnections),
    flag("trunkdiscovery", Group::TrunkDiscovery),
    flag("notrunkdiscovery", Group::TrunkDiscovery),
    word("sec", &["sys", "krb5", "krb5i", "krb5p", "none"], Group::Security),
    word("xprtsec", &["none", "tls", "mtls"], Group::TransportSecurity),
    flag("rdirplus", Group::DirectoryAttributes),
    flag("nordirplus", Group::DirectoryAttributes),
    flag("ac", Group::AttributeCache),
    flag("noac", Group::AttributeCache),
    number("actimeo", 0..=MOST, Group::AttributeTimeout),
    number("acregmin", 0..=MOST, Group::FileTimeoutLeast),
    number("acregmax", 0..=MOST, Group::FileTimeoutMost),
    number("acdirmin", 0..=MOST, Group::DirectoryTimeoutLeast),
    number("acdirmax", 0..=MOST, Group::DirectoryTimeoutMost),
    flag("cto", Group::CloseToOpen),
    flag("nocto", Group::CloseToOpen),
    word("lookupcache", &["all", "none", "pos", "positive"], Group::LookupCache),
    word("write", &["lazy", "eager", "wait"], Group::Write),
    flag("sharecache", Group::Sharing),
    flag("nosharecache", Group::Sharing),
    flag("fsc", Group::FsCache),
    flag("nofsc", Group::FsCache),
    flag("migration", Group::Migration),
    flag("nomigration", Group::Migration),
    flag("softreval", Group::Revalidation),
    flag("nosoftreval", Group::Revalidation),
    flag("sync", Group::Synchronous),
    Known { name: "async", spelling: Spelling::Flag, change: Change::Unset(Group::Synchronous) },
    label("context", Group::Context),
    label("fscontext", Group::FsContext),
    label("defcontext", Group::DefContext),
    label("rootcontext", Group::RootContext),
    attribute("ro", |mount| mount.read_only = true),
    attribute("rw", |mount| mount.read_only = false),
    attribute("noexec", |mount| mount.noexec = true),
    attribute("exec", |mount| mount.noexec = false),
    attribute("nosuid", |mount| mount.nosuid = true),
    attribute("suid", |mount| mount.nosuid = false),
    attribute("nodev", |mount| mount.nodev = true),
    attribute("dev", |mount| mount.nodev = false),
    attribute("noatime", |mount| set_times(mount, true, false, false)),
    attribute("atime", |mount| set_times(mount, false, false, false)),
    attribute("relatime", |mount| set_times(mount, false, true, false)),
    attribute("norelatime", |mount| mount.relatime = false),
    attribute("strictatime", |mount| set_times(mount, false, false, true)),
    attribute("nostrictatime", |mount| mount.strictatime = false),
    attribute("nodiratime", |mount| mount.nodiratime = true),
    attribute("diratime", |mount| mount.nodiratime = false),
    nothing("defaults", Spelling::Flag),
    nothing("auto", Spelling::Flag),
    nothing("noauto", Spelling::Flag),
    nothing("nofail", Spelling::Flag),
    nothing("_netdev", Spelling::Flag),
    nothing("fg", Spelling::Flag),
    nothing("intr", Spelling::Flag),
    nothing("nointr", Spelling::Flag),
    // Of NFSv3, its lock manager and its mount protocol. Linux reads them on a 4.1 mount and does nothing with them.
    nothing("lock", Spelling::Flag),
    nothing("nolock", Spelling::Flag),
    nothing("local_lock", Spelling::Word(&["none", "all", "flock", "posix"])),
    nothing("acl", Spelling::Flag),
    nothing("noacl", Spelling::Flag),
    nothing("mountaddr", Spelling::Text),
    nothing("mounthost", Spelling::Text),
    nothing("mountport", Spelling::Text),
    nothing("mountproto", Spelling::Text),
    nothing("mountvers", Spelling::Text),
    // Of NFSv4.0, whose callbacks need a connection of their own.
    nothing("clientaddr", Spelling::Text),
    // Of mount(8): kubelet repeats a failed mount.
    nothing("retry", Spelling::Text),
];

fn set_times(mount: &mut MountAttributes, noatime: bool, relatime: bool, strictatime: bool) {
    (mount.noatime, mount.relatime, mount.strictatime) = (noatime, relatime, strictatime);
}

const FROM_SERVER: &str = "the driver sets it from \"server\" and \"share\"; leave it out";

/// Options that exist, and that people therefore try.
pub(super) static NOT_OFFERED: &[(&str, &str)] = &[
    ("addr", FROM_SERVER),
    ("bg", "a mount that goes on in the background would start the pod without its volume; leave it out"),
    ("rdma", "write \"proto=rdma\""),
    ("udp", "NFSv4 runs over TCP; leave it out"),
    ("tls", "it is an option of efs-utils; for TLS by the kernel and a server that offers it write \"xprtsec=tls\""),
    ("iam", "it is an option of efs-utils and is not offered yet"),
    ("accesspoint", "it is an option of efs-utils and is not offered yet"),
    ("remount", "a volume is mounted anew for each pod; leave it out"),
    ("bind", "the driver decides how a volume reaches its target; leave it out"),
];
