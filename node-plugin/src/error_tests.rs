use std::io;
use std::path::PathBuf;
use std::time::Duration;

use onc_rpc::AuthStatus;
use rustix::io::Errno;
use volume::path::PathError;

use super::*;
use crate::group::GroupError;
use crate::mounter::Fault;
use crate::recognise::Weaker;
use crate::server::Others;

fn io_error() -> io::Error {
    io::Error::other("broken")
}

fn path() -> PathBuf {
    PathBuf::from("/target")
}

fn targets() -> Vec<(TargetError, Code)> {
    vec![
        (TargetError::Shape(path()), Code::InvalidArgument),
        (TargetError::SymbolicLink(path()), Code::FailedPrecondition),
        (TargetError::NotADirectory(path()), Code::FailedPrecondition),
        (TargetError::NotEmpty(path()), Code::FailedPrecondition),
        (TargetError::Io { path: path(), source: io_error() }, Code::Internal),
    ]
}

fn works() -> Vec<(WorkError, Code)> {
    let share = || "nfs:/export".to_owned();
    vec![
        (WorkError::Stuck { share: share(), what: "mount" }, Code::Unavailable),
        (WorkError::Full { share: share() }, Code::Unavailable),
        (WorkError::Late { share: share(), what: "mount", allowed: Duration::from_secs(1) }, Code::DeadlineExceeded),
        (WorkError::Lost { share: share(), what: "mount" }, Code::Internal),
        (WorkError::Spawn(io_error()), Code::Unavailable),
    ]
}

fn servers() -> Vec<(ServerFault, Code)> {
    let (host, address) = (|| "nfs".to_owned(), "10.0.0.5:2049".parse().unwrap());
    vec![
        (ServerFault::Resolve { host: host(), source: io_error() }, Code::Unavailable),
        (ServerFault::NoAddress { host: host() }, Code::Unavailable),
        (ServerFault::Refused { address }, Code::Unavailable),
        (ServerFault::Silent { address }, Code::Unavailable),
        (ServerFault::Unreachable { address, source: io_error() }, Code::Unavailable),
        (ServerFault::NotNfs { address }, Code::FailedPrecondition),
        (ServerFault::Denied { address, status: AuthStatus::TOO_WEAK }, Code::PermissionDenied),
        (ServerFault::Versions { address, low: 3, high: 3 }, Code::FailedPrecondition),
    ]
}

fn causes() -> Vec<(Fault, Code)> {
    let fault = |errno| Fault::new("fsconfig(create)", errno);
    vec![
        (fault(Errno::ACCESS), Code::PermissionDenied),
        (fault(Errno::NOENT), Code::NotFound),
        (fault(Errno::NOTDIR), Code::FailedPrecondition),
        (fault(Errno::LOOP), Code::FailedPrecondition),
        (fault(Errno::PROTONOSUPPORT), Code::FailedPrecondition),
        (fault(Errno::TIMEDOUT), Code::Unavailable),
        (fault(Errno::STALE), Code::Unavailable),
        (fault(Errno::INVAL), Code::InvalidArgument),
        (Fault::new("fsopen(nfs4)", Errno::NODEV), Code::FailedPrecondition),
        (Fault::new("fsopen(nfs4)", Errno::PERM), Code::FailedPrecondition),
        (fault(Errno::IO), Code::Internal),
    ]
}

fn weaker() -> Weaker {
    Weaker { asked: "xprtsec=tls".to_owned(), found: "xprtsec=none".to_owned() }
}

fn mounts() -> Vec<(MountError, Code)> {
    let location = || "nfs:/export/pvc-1".to_owned();
    let mut mounts = vec![
        (MountError::Pool { path: path(), source: io_error() }, Code::Internal),
        (MountError::Restless { location: location() }, Code::Unavailable),
        (MountError::Weaker { location: location(), weaker: weaker() }, Code::FailedPrecondition),
        (
            MountError::Astray { location: location(), led: "nfs:/disk/pvc-1".to_owned(), real_share: None },
            Code::FailedPrecondition,
        ),
    ];
    mounts.extend(
        servers().into_iter().map(|(source, code)| {
            (MountError::Server { location: location(), others: Others::default(), source }, code)
        }),
    );
    mounts.extend(
        causes().into_iter().map(|(source, code)| {
            (MountError::Refused { location: location(), others: Others::default(), source }, code)
        }),
    );
    mounts.extend(
        causes().into_iter().map(|(source, code)| (MountError::Directory { location: location(), source }, code)),
    );
    mounts
}

/// Every error has its code and a text; the text never changes from one attempt to the next, or each would be an event of its own.
fn check(errors: Vec<(impl Coded, Code)>) {
    for (error, code) in errors {
        assert_eq!(error.code(), code, "{error:?}");
        let status = csi_runtime::status::to_status(&error);
        assert!(!status.message().is_empty());
    }
}

#[test]
fn groups() {
    let location = || "nfs:/export/pvc-1".to_owned();
    let mut groups: Vec<(GroupError, Code)> = vec![
        (GroupError::Walking { location: location(), allowed: Duration::from_secs(30) }, Code::DeadlineExceeded),
        (GroupError::Waiting { location: location() }, Code::DeadlineExceeded),
        (GroupError::Table(io_error()), Code::Internal),
    ];
    groups.extend(works().into_iter().map(|(error, code)| (error.into(), code)));
    groups.extend(mounts().into_iter().map(|(error, code)| (error.into(), code)));
    let changes = causes().into_iter();
    groups.extend(changes.map(|(source, code)| (GroupError::Change { location: location(), group: 7, source }, code)));
    check(groups);
}

#[test]
fn requests() {
    let context = volume::VolumeContext::from_map([("share", "/")]).unwrap_err();
    let options = volume::MountOptions::parse(&["nfsvers=3"], 2049).unwrap_err();
    let location = || "nfs:/export".to_owned();
    check(vec![
        (RequestError::Decode(DecodeError::Missing("volume_id")), Code::InvalidArgument),
        (RequestError::Context(context), Code::InvalidArgument),
        (RequestError::Options(options), Code::InvalidArgument),
        (RequestError::Inline(Refusal::NotListed(location())), Code::PermissionDenied),
        (RequestError::Inline(Refusal::Option { location: location(), option: "soft".into() }), Code::PermissionDenied),
        (RequestError::Inline(Refusal::Reserved(location())), Code::PermissionDenied),
        (RequestError::Inline(Refusal::Path { location: location(), source: PathError::Empty }), Code::InvalidArgument),
    ]);
}

#[test]
fn publish() {
    let mut errors = vec![
        (PublishError::Busy(path()), Code::Aborted),
        (PublishError::Revoked(path()), Code::Aborted),
        (PublishError::OtherMount { target: path(), found: "tmpfs".to_owned() }, Code::AlreadyExists),
        (PublishError::InUse { volume: "v".to_owned(), elsewhere: path() }, Code::FailedPrecondition),
        (PublishError::Weaker { target: path(), weaker: weaker() }, Code::FailedPrecondition),
        (PublishError::Table(io_error()), Code::Internal),
    ];
    errors.extend(targets().into_iter().map(|(error, code)| (error.into(), code)));
    errors.extend(works().into_iter().map(|(error, code)| (error.into(), code)));
    errors.extend(mounts().into_iter().map(|(error, code)| (error.into(), code)));
    errors.extend(causes().into_iter().map(|(source, code)| (PublishError::Attach { target: path(), source }, code)));
    check(errors);
}

#[test]
fn unpublish() {
    let mut errors = vec![
        (UnpublishError::Busy(path()), Code::Aborted),
        (UnpublishError::Unmount { target: path(), source: io_error() }, Code::Internal),
        (UnpublishError::Endless(path()), Code::Internal),
        (UnpublishError::Table(io_error()), Code::Internal),
    ];
    errors.extend(targets().into_iter().map(|(error, code)| (error.into(), code)));
    errors.extend(works().into_iter().map(|(error, code)| (error.into(), code)));
    check(errors);
}

#[test]
fn stats() {
    let mut errors = vec![
        (StatsError::NotMounted(path()), Code::NotFound),
        (StatsError::OtherVolume { path: path(), volume: "v".to_owned() }, Code::NotFound),
        (StatsError::Statfs { path: path(), source: io_error() }, Code::Internal),
        (StatsError::Table(io_error()), Code::Internal),
    ];
    errors.extend(targets().into_iter().map(|(error, code)| (error.into(), code)));
    errors.extend(works().into_iter().map(|(error, code)| (error.into(), code)));
    check(errors);
}

#[test]
fn a_refused_mount_is_told_with_place_cause_remedy_and_the_kernels_words() {
    let error = PublishError::from(MountError::Refused {
        location: "nfs.example:/export".to_owned(),
        others: Others::default(),
        source: Fault::new("fsconfig(create)", Errno::ACCESS),
    });
    assert_eq!(
        csi_runtime::status::message(&error),
        "cannot mount nfs.example:/export: the server denies access; its export rules must list this node, and where they demand a port below 1024 \
         all volumes of the server need the mount option resvport: fsconfig(create): Permission denied (os error 13)"
    );
}

/// In the order of [`servers`] and [`causes`]: what each tells people to do.
#[test]
fn every_trouble_with_a_server_names_a_remedy() {
    let of_servers = [
        "check the name, and the DNS",
        "give it one in the DNS",
        "check that the NFS server runs and listens on this port",
        "let the port through",
        "check the routes and firewalls",
        "correct \"server\" in the StorageClass",
        "let it accept calls from this node's address",
        "enable NFS version 4.1",
    ];
    let (servers, causes) = (servers(), causes());
    assert_eq!(servers.len(), of_servers.len());
    for ((fault, _), remedy) in servers.into_iter().zip(of_servers) {
        assert!(fault.to_string().contains(remedy), "{fault}");
    }
    let of_causes = [
        "export rules must list this node",
        "check the share's path, that the volume was not removed, and the export rules",
        "check the share's path",
        "put a directory there",
        "enable it there",
        "check that it runs",
        "check its export",
        "check mountOptions",
        "load the module nfs",
        "needs privileged: true",
        "kernel log",
    ];
    assert_eq!(causes.len(), of_causes.len());
    for ((source, _), remedy) in causes.into_iter().zip(of_causes) {
        let error = MountError::Directory { location: "nfs:/export".to_owned(), source };
        assert!(error.to_string().contains(remedy), "{error}");
    }
}
