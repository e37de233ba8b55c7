//! `nfsstat4`: the status of an operation (RFC 8881 §15).

use std::fmt;

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $meaning:literal;)*) => {
        /// Status of an NFSv4.1 operation that did not succeed, or [`NfsStatus::Ok`] (RFC 8881 §15).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum NfsStatus {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)*
            /// A number that RFC 8881 does not define.
            Other(u32),
        }

        impl NfsStatus {
            /// The status with this number on the wire.
            pub fn from_u32(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            pub fn to_u32(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }

            /// The name of the RFC, such as `NFS4ERR_NOENT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(_) => "NFS4ERR_?",
                }
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                    Self::Other(_) => "a status RFC 8881 does not define",
                }
            }
        }

        #[cfg(test)]
        const DEFINED: &[NfsStatus] = &[$(NfsStatus::$variant,)*];
    };
}

statuses! {
    Ok = 0, "NFS4_OK", "success";
    Perm = 1, "NFS4ERR_PERM", "the caller is not the owner or not privileged";
    NoEnt = 2, "NFS4ERR_NOENT", "no such file or directory";
    Io = 5, "NFS4ERR_IO", "the server had an input/output error";
    NxIo = 6, "NFS4ERR_NXIO", "no such device on the server";
    Access = 13, "NFS4ERR_ACCESS", "permission denied";
    Exist = 17, "NFS4ERR_EXIST", "the name exists already";
    XDev = 18, "NFS4ERR_XDEV", "source and target are on different file systems";
    NotDir = 20, "NFS4ERR_NOTDIR", "not a directory";
    IsDir = 21, "NFS4ERR_ISDIR", "is a directory";
    Inval = 22, "NFS4ERR_INVAL", "the server calls an argument invalid";
    FBig = 27, "NFS4ERR_FBIG", "the file would be too large";
    NoSpc = 28, "NFS4ERR_NOSPC", "no space left on the server";
    RoFs = 30, "NFS4ERR_ROFS", "the file system or export is read-only";
    MLink = 31, "NFS4ERR_MLINK", "too many links, or too many subdirectories in one directory";
    NameTooLong = 63, "NFS4ERR_NAMETOOLONG", "the name is longer than the server allows";
    NotEmpty = 66, "NFS4ERR_NOTEMPTY", "the directory is not empty";
    DQuot = 69, "NFS4ERR_DQUOT", "the quota is used up";
    Stale = 70, "NFS4ERR_STALE", "the file handle no longer names anything";
    BadHandle = 10001, "NFS4ERR_BADHANDLE", "the server cannot read the file handle";
    BadCookie = 10003, "NFS4ERR_BAD_COOKIE", "the directory position is no longer valid";
    NotSupp = 10004, "NFS4ERR_NOTSUPP", "the server does not support the operation";
    TooSmall = 10005, "NFS4ERR_TOOSMALL", "a buffer or request limit is too small";
    ServerFault = 10006, "NFS4ERR_SERVERFAULT", "the server had an internal error";
    BadType = 10007, "NFS4ERR_BADTYPE", "the server does not support this file type";
    Delay = 10008, "NFS4ERR_DELAY", "the server asks to try again later";
    Same = 10009, "NFS4ERR_SAME", "the attributes are the same";
    Denied = 10010, "NFS4ERR_DENIED", "a lock is held by another client";
    Expired = 10011, "NFS4ERR_EXPIRED", "the state has expired with its lease";
    Locked = 10012, "NFS4ERR_LOCKED", "the file is locked";
    Grace = 10013, "NFS4ERR_GRACE", "the server has restarted and is in its grace period";
    FhExpired = 10014, "NFS4ERR_FHEXPIRED", "the file handle has expired";
    ShareDenied = 10015, "NFS4ERR_SHARE_DENIED", "another open denies this access";
    WrongSec = 10016, "NFS4ERR_WRONGSEC", "the export demands another security flavor";
    ClidInUse = 10017, "NFS4ERR_CLID_INUSE", "another principal uses this client owner";
    Moved = 10019, "NFS4ERR_MOVED", "the file system has moved to another server";
    NoFileHandle = 10020, "NFS4ERR_NOFILEHANDLE", "no current file handle";
    MinorVersMismatch = 10021, "NFS4ERR_MINOR_VERS_MISMATCH", "the server does not speak this minor version";
    StaleClientId = 10022, "NFS4ERR_STALE_CLIENTID", "the server does not know the client id";
    StaleStateId = 10023, "NFS4ERR_STALE_STATEID", "the state id is from before the server's restart";
    OldStateId = 10024, "NFS4ERR_OLD_STATEID", "the state id has been superseded";
    BadStateId = 10025, "NFS4ERR_BAD_STATEID", "the server does not know the state id";
    NotSame = 10027, "NFS4ERR_NOT_SAME", "the attributes or the directory verifier are not the same";
    Symlink = 10029, "NFS4ERR_SYMLINK", "is a symbolic link where a directory or file is needed";
    RestoreFh = 10030, "NFS4ERR_RESTOREFH", "no saved file handle";
    AttrNotSupp = 10032, "NFS4ERR_ATTRNOTSUPP", "the server does not support an attribute that was set";
    NoGrace = 10033, "NFS4ERR_NO_GRACE", "the server is not in its grace period";
    BadXdr = 10036, "NFS4ERR_BADXDR", "the server cannot decode the request";
    OpenMode = 10038, "NFS4ERR_OPENMODE", "the open does not allow this access";
    BadOwner = 10039, "NFS4ERR_BADOWNER", "the server does not take numeric owners: it insists on name@domain mapping (idmapd)";
    BadChar = 10040, "NFS4ERR_BADCHAR", "the server does not allow a character of the name";
    BadName = 10041, "NFS4ERR_BADNAME", "the server does not allow the name";
    OpIllegal = 10044, "NFS4ERR_OP_ILLEGAL", "the server does not know the operation";
    FileOpen = 10046, "NFS4ERR_FILE_OPEN", "the file is open";
    AdminRevoked = 10047, "NFS4ERR_ADMIN_REVOKED", "an administrator revoked the state";
    BadIoMode = 10049, "NFS4ERR_BADIOMODE", "bad layout mode";
    BadLayout = 10050, "NFS4ERR_BADLAYOUT", "bad layout";
    BadSession = 10052, "NFS4ERR_BADSESSION", "the server does not know the session";
    BadSlot = 10053, "NFS4ERR_BADSLOT", "the slot is outside the session's table";
    CompleteAlready = 10054, "NFS4ERR_COMPLETE_ALREADY", "reclaim was completed already";
    ConnNotBoundToSession = 10055, "NFS4ERR_CONN_NOT_BOUND_TO_SESSION", "the connection is not bound to the session";
    BackChanBusy = 10057, "NFS4ERR_BACK_CHAN_BUSY", "the back channel is busy";
    SeqMisordered = 10063, "NFS4ERR_SEQ_MISORDERED", "the sequence number is out of order";
    SequencePos = 10064, "NFS4ERR_SEQUENCE_POS", "SEQUENCE is not the first operation";
    ReqTooBig = 10065, "NFS4ERR_REQ_TOO_BIG", "the request exceeds the session's limit";
    RepTooBig = 10066, "NFS4ERR_REP_TOO_BIG", "the reply would exceed the session's limit";
    RepTooBigToCache = 10067, "NFS4ERR_REP_TOO_BIG_TO_CACHE", "the reply would exceed the session's cache limit";
    RetryUncachedRep = 10068, "NFS4ERR_RETRY_UNCACHED_REP", "the reply to a repeated request was not kept";
    TooManyOps = 10070, "NFS4ERR_TOO_MANY_OPS", "the compound exceeds the session's limit of operations";
    OpNotInSession = 10071, "NFS4ERR_OP_NOT_IN_SESSION", "the operation needs a session";
    HashAlgUnsupp = 10072, "NFS4ERR_HASH_ALG_UNSUPP", "unsupported hash algorithm";
    ClientIdBusy = 10074, "NFS4ERR_CLIENTID_BUSY", "the client id still has sessions or state";
    SeqFalseRetry = 10076, "NFS4ERR_SEQ_FALSE_RETRY", "the server takes the request for a false retry";
    BadHighSlot = 10077, "NFS4ERR_BAD_HIGH_SLOT", "the highest slot is outside the session's table";
    DeadSession = 10078, "NFS4ERR_DEADSESSION", "the session is dead";
    EncrAlgUnsupp = 10079, "NFS4ERR_ENCR_ALG_UNSUPP", "unsupported encryption algorithm";
    NotOnlyOp = 10081, "NFS4ERR_NOT_ONLY_OP", "the operation must be alone in its compound";
    WrongCred = 10082, "NFS4ERR_WRONG_CRED", "the credential is not the one the state was made with";
    WrongType = 10083, "NFS4ERR_WRONG_TYPE", "the object has the wrong type";
}

impl NfsStatus {
    /// The server asks for a repetition later: [`Delay`](Self::Delay) or [`Grace`](Self::Grace).
    pub fn asks_to_wait(self) -> bool {
        matches!(self, Self::Delay | Self::Grace)
    }

    /// The server does not let this user do it: [`Access`](Self::Access) or [`Perm`](Self::Perm).
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Access | Self::Perm)
    }

    /// The handle that was used leads nowhere any more: walk again from the path.
    pub fn is_lost_handle(self) -> bool {
        matches!(self, Self::Stale | Self::FhExpired | Self::BadHandle)
    }

    /// The server knows the session or its client no more: it has restarted, or the lease has expired.
    pub fn is_lost_session(self) -> bool {
        matches!(self, Self::BadSession | Self::DeadSession | Self::StaleClientId | Self::Expired)
    }
}

impl fmt::Display for NfsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "NFS status {number} ({})", self.meaning()),
            known => write!(f, "{} ({})", known.name(), known.meaning()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_the_same_status() {
        for status in DEFINED {
            assert_eq!(NfsStatus::from_u32(status.to_u32()), *status);
            assert!(status.name().starts_with("NFS4"));
        }
        assert_eq!(NfsStatus::from_u32(424_242), NfsStatus::Other(424_242));
    }

    #[test]
    fn a_refused_numeric_owner_names_idmapd() {
        assert!(NfsStatus::BadOwner.to_string().contains("idmapd"));
    }
}
