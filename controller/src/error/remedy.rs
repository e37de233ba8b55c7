//! What a person can do about an error, where the error itself does not say it.

use nfs_client::{NfsStatus, OpCode};

use super::{Occupied, OperationError};

/// What to do about a server whose sessions are too small.
const TOO_LITTLE: &str = "Linux clients need 8 operations and 4 KiB in a request and its reply as well: raise the limit on the \
                          server, free memory there, or update its software";

/// What to do where others could write to what the driver makes for itself alone.
const OVERRULED: &str = "an access control list that directories inherit, or the file system, decides there: let modes decide on the share \
                         (NetApp: security style UNIX; ZFS: aclmode=passthrough or discard; vfat and the like: mount it with umask=077; \
                         elsewhere remove the inheritable entries that let others write)";

impl OperationError {
    /// What a person can do, where the error itself does not say it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::InProgress(_)
            | Self::Missing(_)
            | Self::NotOffered(_)
            | Self::Parameters(_)
            | Self::SubDir(_)
            | Self::Id(_)
            | Self::Capacity(_)
            | Self::MountOptions(_)
            | Self::Unrecordable(_)
            | Self::NoVolume(_)
            | Self::Contended(_) => None,
            Self::Different { .. } => Some("delete that volume first, or ask under another name"),
            Self::Occupied { by, .. } => occupied_remedy(by),
            Self::UnreadableId(_) => Some(
                "nothing was deleted; a later release of the driver may have given the id, so delete the volume by that one, or set \
                 the PersistentVolume's reclaim policy to Retain to let go of it",
            ),
            Self::PeersVolume(_) => Some(
                "nothing was deleted; let that driver delete it, or set the PersistentVolume's reclaim policy to Retain to let go of it",
            ),
            Self::Record { .. } => Some("nothing was changed; remove the record by hand to give the volume up"),
            Self::NotBelieved { .. } => Some(
                "nothing was changed; others could write there, as where a pod with an fsGroup used the whole share as its volume; see \
                 what it says, and remove it by hand; if that is right and only its permissions are not, set them to 0600",
            ),
            Self::Untrusted { .. } => Some(
                "after checking what is in it, give it to the user for whom the server takes the controller (with no_root_squash: \
                 chown -R root), with mode 0700",
            ),
            Self::ShareMissing { high_port: true, .. } => Some(
                "export it, or correct \"share\" in the StorageClass; if it is exported to callers from ports below 1024 alone \
                 (\"secure\"), allow ports above, or let the controller have one: controller.reservedPorts=true in the chart",
            ),
            Self::ShareMissing { high_port: false, .. } => {
                Some("export it, or correct \"share\" in the StorageClass; it is the path as NFSv4 clients mount it")
            }
            Self::ShareEmpty { .. } => Some(
                "nothing was made or deleted; see whether the server has mounted the disk that belongs there, and whether it exports the \
                 same directory as before; if everything on it was removed on purpose, set the reclaim policy of the PersistentVolumes \
                 that were there to Retain and delete them",
            ),
            Self::ShareReplaced { .. } => Some(
                "nothing was made or deleted; see whether the server has mounted the disk that belongs there, and whether it exports the \
                 same directory as before; if this one holds the same volumes, as a restored copy does, write the identity that they \
                 have there: ln -sfn IDENTITY .berth/identity; if it took the place of the other on purpose, set the reclaim policy of \
                 the PersistentVolumes that were on that to Retain and delete them",
            ),
            Self::ShareInVolume { .. } => Some(
                "nothing was changed; deleting that volume would delete everything on the share: name one in the StorageClass that lies \
                 in no volume",
            ),
            Self::ShareReadOnly { .. } => Some(
                "export it read-write with no_root_squash, or let the user that the server maps root to write to its \
                 root directory",
            ),
            Self::OwnerRefused { .. } => {
                Some("export the share with no_root_squash, or leave \"uid\" and \"gid\" out of the StorageClass")
            }
            Self::ModesOverruled { .. } => Some(OVERRULED),
            Self::ModeRefused { .. } | Self::NotKept { what: "mode", .. } => Some(
                "an access control list that directories inherit may decide there: let modes decide on the share (NetApp: security style \
                 UNIX; ZFS: aclmode=passthrough or discard; elsewhere remove the inheritable entries), or set \"mountPermissions\" in the \
                 StorageClass to the mode that the server gives",
            ),
            Self::NotKept { .. } => Some(
                "export the share with no_root_squash, or change \"mountPermissions\", \"uid\" and \"gid\" in the \
                 StorageClass to what the server keeps",
            ),
            Self::OtherFileSystem { .. } => {
                Some("export that file system as a share of its own and name it in a StorageClass")
            }
            Self::Storage { source, .. } => storage_remedy(source),
            Self::InDoubt(error) => error.remedy(),
            Self::Shared(error) => error.remedy(),
            Self::NotAnswering { .. } => Some(
                "the controller tries again; check that the server runs and that its NFS port can be reached from the \
                 controller's pod",
            ),
            Self::Crashed(_) => Some("this is a bug of the controller; its log says more"),
        }
    }
}

fn occupied_remedy(by: &Occupied) -> Option<&'static str> {
    match by {
        Occupied::Directory => Some(
            "nothing was changed; move it away, or use another \"subDir\" in the StorageClass; if it is empty and the server overrules \
             modes, a crash may have left it: remove it then (rmdir)",
        ),
        Occupied::Symlink | Occupied::Other => {
            Some("nothing was changed; move it away, or use another \"subDir\" in the StorageClass")
        }
        Occupied::Volume(_) => Some("use a \"subDir\" in the StorageClass that differs for each volume"),
        Occupied::Inside(_) => Some("use a \"subDir\" in the StorageClass that lies in no volume"),
        Occupied::Share(_) => Some("use a \"subDir\" in the StorageClass that lies in no other share"),
        Occupied::Unfinished(_) | Occupied::Begun => None,
    }
}

fn storage_remedy(error: &nfs_client::Error) -> Option<&'static str> {
    use nfs_client::Error;
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::OutcomeUnknown { .. } => Some(
            "the controller tries again; check that the server runs and that its NFS port can be reached from the \
             controller's pod",
        ),
        Error::NotNfs { .. } => {
            Some("check \"server\" in the StorageClass and its port; the server has to offer NFSv4.1 over TCP")
        }
        Error::RpcDenied { .. } => Some(
            "let the export accept AUTH_SYS (sec=sys) from the controller's address; if it demands a source port \
             below 1024 (\"secure\"), allow ports above, or let the controller have one: controller.reservedPorts=true in the chart",
        ),
        Error::Status { status, op, .. } => status_remedy(*status, *op),
        Error::OwnerRefused { .. }
        | Error::Protocol { .. }
        | Error::ShutDown { .. }
        | Error::Symlink { .. }
        | Error::NotDirectory { .. }
        | Error::BadName { .. } => None,
        Error::TooLarge { .. } => Some(TOO_LITTLE),
    }
}

fn status_remedy(status: NfsStatus, op: OpCode) -> Option<&'static str> {
    match status {
        NfsStatus::NoSpc | NfsStatus::DQuot => Some("free space on the server, or raise its quota"),
        NfsStatus::MLink => {
            Some("the directory holds as many entries as its file system allows: use a \"subDir\" with more levels")
        }
        NfsStatus::NameTooLong | NfsStatus::BadName | NfsStatus::BadChar => {
            Some("change \"subDir\" in the StorageClass to names that the server allows")
        }
        NfsStatus::Perm | NfsStatus::Access => Some(
            "let the export accept the controller's address read-write with no_root_squash; if it demands a source port \
             below 1024 (\"secure\"), allow ports above, or let the controller have one: controller.reservedPorts=true in the chart",
        ),
        NfsStatus::WrongSec => Some("let the export accept AUTH_SYS (sec=sys) from the controller's address"),
        NfsStatus::RoFs => Some("export the share read-write"),
        NfsStatus::XDev => Some(
            "the directory has to be on the same file system of the server as its share, and a quota tree (qtree, project, dataset) may \
             begin above it but not with it: remove the directory's own quota on the server",
        ),
        NfsStatus::Moved => Some("name the server that has the file system now in the StorageClass"),
        NfsStatus::BadOwner => Some(
            "let the server take numeric owners (knfsd: nfs4_disable_idmapping=1; Ganesha: Only_Numeric_Owners=true)",
        ),
        NfsStatus::ReqTooBig | NfsStatus::RepTooBig | NfsStatus::RepTooBigToCache | NfsStatus::TooManyOps => {
            Some(TOO_LITTLE)
        }
        NfsStatus::OpIllegal | NfsStatus::BadXdr => {
            Some("the server does not implement NFSv4.1 as RFC 8881 has it; a newer release of its software may")
        }
        NfsStatus::AttrNotSupp if op == OpCode::SetAttr => Some(
            "the server cannot keep an owner or mode: leave \"uid\", \"gid\" and \"mountPermissions\" out of the StorageClass",
        ),
        _ => None,
    }
}
