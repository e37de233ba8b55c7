use nfs_client::{OpCode, Replies};

use super::*;

const LOCATION: &str = "nfs.example:/export/pvc-1";

/// The numbers that RFC 8881 and RFC 7862 give to statuses lie below.
const STATUSES: std::ops::Range<u32> = 1..10_200;

fn status(status: NfsStatus) -> nfs_client::Error {
    nfs_client::Error::Status {
        server: "nfs.example:2049".into(),
        op: OpCode::Create,
        index: 1,
        status,
        completed: Replies::default(),
    }
}

/// One error of every kind that the NFS client has, beside statuses.
fn client_errors() -> Vec<(nfs_client::Error, Code)> {
    use nfs_client::Error;
    let server = || "nfs.example:2049".into();
    let detail = || "why".to_owned();
    let (path, name) = (|| "/a".to_owned(), || "a".to_owned());
    vec![
        (Error::Unreachable { server: server(), address: name(), detail: detail(), source: None }, Code::Unavailable),
        (Error::NotNfs { server: server(), detail: detail() }, Code::FailedPrecondition),
        (Error::RpcDenied { server: server(), detail: detail() }, Code::PermissionDenied),
        (
            Error::OwnerRefused { server: server(), owner: "1:1".to_owned(), status: NfsStatus::Perm },
            Code::FailedPrecondition,
        ),
        (Error::OutcomeUnknown { server: server(), detail: detail(), may_still_happen: true }, Code::DeadlineExceeded),
        (Error::OutcomeUnknown { server: server(), detail: detail(), may_still_happen: false }, Code::Unavailable),
        (
            Error::Timeout { server: server(), after: std::time::Duration::from_millis(1), detail: detail() },
            Code::DeadlineExceeded,
        ),
        (Error::Protocol { server: server(), detail: detail() }, Code::Unavailable),
        (Error::Symlink { server: server(), path: path() }, Code::FailedPrecondition),
        (Error::NotDirectory { server: server(), path: path() }, Code::FailedPrecondition),
        (Error::BadName { name: name(), reason: "it is empty" }, Code::InvalidArgument),
        (Error::TooLarge { server: server(), unit: "bytes", given: 2, limit: 1 }, Code::FailedPrecondition),
        (Error::ShutDown { server: server() }, Code::Unavailable),
    ]
}

/// One error of every kind, with the code it must have.
fn every_error() -> Vec<(OperationError, Code)> {
    let location = || LOCATION.to_owned();
    let source = || status(NfsStatus::Perm);
    let occupied = |by| OperationError::Occupied { location: location(), by };
    let volume_error = "x".parse::<volume::VolumeId>().unwrap_err();
    let (record, other) = (volume::Record::from_text("{").unwrap_err(), volume::Record::from_text("[").unwrap_err());
    let mut all = vec![
        (OperationError::InProgress("volume v".to_owned()), Code::Aborted),
        (OperationError::Contended(location()), Code::Aborted),
        (occupied(Occupied::Unfinished("k".to_owned())), Code::Aborted),
        (occupied(Occupied::Begun), Code::Aborted),
        (OperationError::Missing("name"), Code::InvalidArgument),
        (OperationError::NotOffered("copies are not offered"), Code::InvalidArgument),
        (OperationError::Parameters(ParameterError::MountPermissions("9".to_owned())), Code::InvalidArgument),
        (OperationError::SubDir(TemplateError::Unclosed("${".to_owned())), Code::InvalidArgument),
        (OperationError::Id(volume_error), Code::InvalidArgument),
        (OperationError::Capacity(CapacityError::Contradiction { required: 2, limit: 1 }), Code::InvalidArgument),
        (OperationError::MountOptions(MountOptionError::Version("vers=3".to_owned())), Code::InvalidArgument),
        (OperationError::Unrecordable(record), Code::InvalidArgument),
        (OperationError::UnreadableId("berth3://x".parse::<volume::VolumeId>().unwrap_err()), Code::FailedPrecondition),
        (OperationError::PeersVolume("efs.csi.aws.com"), Code::FailedPrecondition),
        (OperationError::NoVolume("berth://nfs.example/export#v".to_owned()), Code::NotFound),
        (
            OperationError::Different {
                name: "v".to_owned(),
                location: location(),
                what: "a size of",
                found: "1 bytes".to_owned(),
                wanted: "2 bytes".to_owned(),
            },
            Code::AlreadyExists,
        ),
        (occupied(Occupied::Directory), Code::FailedPrecondition),
        (occupied(Occupied::Symlink), Code::FailedPrecondition),
        (occupied(Occupied::Other), Code::FailedPrecondition),
        (occupied(Occupied::Volume("k".to_owned())), Code::FailedPrecondition),
        (occupied(Occupied::Inside("team".to_owned())), Code::FailedPrecondition),
        (occupied(Occupied::Share("team".to_owned())), Code::FailedPrecondition),
        (OperationError::ShareInVolume { location: location(), volume: location() }, Code::FailedPrecondition),
        (OperationError::Record { location: location(), source: other }, Code::FailedPrecondition),
        (
            OperationError::NotBelieved { location: location(), problem: "it is another volume's" },
            Code::FailedPrecondition,
        ),
        (
            OperationError::ModesOverruled { location: location(), wanted: 0o700, found: 0o777 },
            Code::FailedPrecondition,
        ),
        (
            OperationError::ModeRefused { location: location(), wanted: 0o700, source: source() },
            Code::FailedPrecondition,
        ),
        (OperationError::Untrusted { location: location(), problem: "is a symbolic link" }, Code::FailedPrecondition),
        (
            OperationError::ShareMissing { location: location(), high_port: false, source: source() },
            Code::FailedPrecondition,
        ),
        (
            OperationError::ShareMissing { location: location(), high_port: true, source: source() },
            Code::FailedPrecondition,
        ),
        (OperationError::ShareEmpty { location: location() }, Code::FailedPrecondition),
        (
            OperationError::ShareReplaced {
                location: location(),
                found: None,
                expected: volume::ShareIdentity::new(1),
            },
            Code::FailedPrecondition,
        ),
        (OperationError::ShareReadOnly { location: location(), source: source() }, Code::FailedPrecondition),
        (
            OperationError::OwnerRefused { location: location(), wanted: "1:1".to_owned(), source: source() },
            Code::FailedPrecondition,
        ),
        (
            OperationError::NotKept {
                location: location(),
                what: "mode",
                wanted: "2770".to_owned(),
                found: "0770".to_owned(),
            },
            Code::FailedPrecondition,
        ),
        (OperationError::OtherFileSystem { location: location() }, Code::FailedPrecondition),
        (OperationError::OtherFileSystem { location: location() }.in_doubt(), Code::Unavailable),
        (OperationError::Crashed("volume v".to_owned()), Code::Unavailable),
        (OperationError::NotAnswering { location: location(), reason: "why".to_owned() }, Code::Unavailable),
        (
            OperationError::Shared(Arc::new(OperationError::OtherFileSystem { location: location() })),
            Code::FailedPrecondition,
        ),
    ];
    all.extend(client_errors().into_iter().map(|(source, code)| (storage(source), code)));
    all
}

fn storage(source: nfs_client::Error) -> OperationError {
    OperationError::Storage { doing: "make the directory", location: LOCATION.to_owned(), source }
}

#[test]
fn every_error_has_its_code_and_a_sentence() {
    for (error, code) in every_error() {
        let message = error.message();
        assert_eq!(error.code(), code, "{message}");
        assert_eq!(message, error.message(), "the same failure has the same text");
        assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn whatever_ends_an_attempt_on_a_server_names_the_place_and_most_say_what_to_do() {
    for (error, code) in every_error() {
        let has_place = !matches!(error, OperationError::UnreadableId(_) | OperationError::PeersVolume(_));
        if has_place && matches!(code, Code::FailedPrecondition | Code::PermissionDenied | Code::AlreadyExists) {
            assert!(error.message().contains(LOCATION), "{}", error.message());
        }
        if matches!(error, OperationError::Storage { .. }) {
            continue;
        }
        if matches!(code, Code::FailedPrecondition | Code::AlreadyExists) {
            assert!(error.remedy().is_some(), "{}", error.message());
        }
    }
}

#[test]
fn every_status_of_a_server_has_a_code() {
    for number in STATUSES {
        let found = NfsStatus::from_u32(number);
        let expected = match found.name() {
            "NFS4ERR_NOSPC" | "NFS4ERR_DQUOT" | "NFS4ERR_MLINK" | "NFS4ERR_FBIG" => Code::ResourceExhausted,
            "NFS4ERR_NAMETOOLONG" | "NFS4ERR_BADNAME" | "NFS4ERR_BADCHAR" => Code::InvalidArgument,
            "NFS4ERR_PERM" | "NFS4ERR_ACCESS" | "NFS4ERR_WRONGSEC" => Code::PermissionDenied,
            "NFS4ERR_ROFS"
            | "NFS4ERR_XDEV"
            | "NFS4ERR_MOVED"
            | "NFS4ERR_BADOWNER"
            | "NFS4ERR_ATTRNOTSUPP"
            | "NFS4ERR_NOTSUPP"
            | "NFS4ERR_BADTYPE"
            | "NFS4ERR_EXIST"
            | "NFS4ERR_NOTEMPTY"
            | "NFS4ERR_NOENT"
            | "NFS4ERR_NOTDIR"
            | "NFS4ERR_SYMLINK"
            | "NFS4ERR_INVAL"
            | "NFS4ERR_BADXDR"
            | "NFS4ERR_OP_ILLEGAL"
            | "NFS4ERR_REQ_TOO_BIG"
            | "NFS4ERR_REP_TOO_BIG"
            | "NFS4ERR_REP_TOO_BIG_TO_CACHE"
            | "NFS4ERR_TOO_MANY_OPS" => Code::FailedPrecondition,
            _ => Code::Unavailable,
        };
        let error = storage(status(found));
        assert_eq!(error.code(), expected, "{}", error.message());
        let remedied = matches!(expected, Code::ResourceExhausted | Code::PermissionDenied | Code::InvalidArgument);
        assert!(!remedied || error.remedy().is_some() || found == NfsStatus::FBig, "{}", error.message());
    }
}

#[test]
fn a_sentence_names_what_failed_where_why_and_the_remedy() {
    assert_eq!(
        storage(status(NfsStatus::NoSpc)).message(),
        "cannot make the directory nfs.example:/export/pvc-1: NFS server nfs.example:2049: CREATE: NFS4ERR_NOSPC (no space \
         left on the server); free space on the server, or raise its quota"
    );
}

#[test]
fn what_a_repetition_goes_on_from_is_not_undone_and_what_none_can_help_is_left_alone() {
    for (error, code) in every_error() {
        let (message, finality) = (error.message(), error.finality());
        let retried = matches!(code, Code::Aborted | Code::Unavailable | Code::DeadlineExceeded);
        assert_eq!(finality == Finality::InBackground, retried, "{message}");
        assert_eq!(finality == Finality::Infeasible, code == Code::InvalidArgument, "{message}");
        assert_eq!(error.is_retried(), retried, "{message}");
    }
}
