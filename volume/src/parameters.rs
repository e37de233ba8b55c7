//! What a StorageClass says about its volumes.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    fs_group::FsGroupChange,
    names::{layout, metadata, on_delete, parameter},
    nearest::nearest,
    path::{PathError, SharePath},
    quote::Quoted,
    server::{Server, ServerError},
    template::{Metadata, Template, TemplateError},
};

/// Mode of a volume's directory when the class gives none. A shared volume is written by pods that run as whatever user
/// their image chose, so everybody may write; a class that wants less says so by `mountPermissions`, `uid` and `gid`.
pub const DEFAULT_MODE: u32 = 0o777;

/// All permission bits, with setuid, setgid and sticky.
const MODE_BITS: u32 = 0o7777;

/// What becomes of a volume's directory when the volume is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// It is moved to the trash of the share and removed from there.
    #[default]
    Delete,
    /// It stays where it is; its record moves to `.berth/retained/`.
    Retain,
}

impl OnDelete {
    /// The value as a class spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => on_delete::DELETE,
            Self::Retain => on_delete::RETAIN,
        }
    }
}

impl fmt::Display for OnDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnDelete {
    type Err = ParameterError;

    fn from_str(value: &str) -> Result<Self, ParameterError> {
        match value {
            on_delete::DELETE => Ok(Self::Delete),
            on_delete::RETAIN => Ok(Self::Retain),
            on_delete::ARCHIVE => Err(ParameterError::ArchiveNotOffered),
            other => Err(ParameterError::OnDelete(other.to_owned())),
        }
    }
}

/// Why the parameters of a class cannot be used. Nothing but an edited class helps, so none of these is worth a retry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// A key that this driver does not know.
    #[error(
        "parameter {} is not known{}; known are {}",
        Quoted(.key),
        .nearest.map(|near| format!(", did you mean {near:?}?")).unwrap_or_default(),
        parameter::ALL.join(", ")
    )]
    Unknown {
        /// The key as written.
        key: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that every class needs.
    #[error("parameter {key:?} is missing; {hint}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// `server` is no server.
    #[error("parameter \"server\" is not valid")]
    Server(#[source] ServerError),
    /// `share` is no path.
    #[error("parameter \"share\" is not valid")]
    Share(#[source] PathError),
    /// `share` lies where the driver keeps what it knows of the share around it.
    #[error(
        "parameter \"share\" is {}, which lies in {:?} of another share, where the driver keeps its records; write the path above that",
        Quoted(.0),
        layout::ROOT
    )]
    Reserved(String),
    /// `subDir` is no template.
    #[error("parameter \"subDir\" is not valid")]
    SubDir(#[source] TemplateError),
    /// `mountPermissions` is no mode.
    #[error("parameter \"mountPermissions\" is {}; write an octal mode of at most 7777, such as \"0770\" or \"2775\"", Quoted(.0))]
    MountPermissions(String),
    /// `uid` or `gid` is no id.
    #[error("parameter {key:?} is {}; write a number from 0 to {}", Quoted(.value), u32::MAX - 1)]
    Owner {
        /// `uid` or `gid`.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// `onDelete` is nothing we know.
    #[error("parameter \"onDelete\" is {}; write \"delete\" or \"retain\"", Quoted(.0))]
    OnDelete(String),
    /// `onDelete: archive`.
    #[error(
        "parameter \"onDelete\" is \"archive\", which is not offered yet; write \"retain\" to keep the directory in its place, or \"delete\""
    )]
    ArchiveNotOffered,
    /// `fsGroupChange` is nothing we know.
    #[error("parameter \"fsGroupChange\" is {}; write \"root\", \"always\" or \"none\"", Quoted(.0))]
    FsGroupChange(String),
}

/// The parameters of a StorageClass, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Where volumes are made.
    pub server: Server,
    /// Below which path.
    pub share: SharePath,
    /// In which directory; none: one at the root of the share, named by the volume's key.
    pub sub_dir: Option<Template>,
    /// Mode of the directory; none: [`DEFAULT_MODE`].
    pub mount_permissions: Option<u32>,
    /// Owner of the directory; none: whoever the server says the controller is.
    pub uid: Option<u32>,
    /// Group of the directory; none: as the server decides.
    pub gid: Option<u32>,
    /// What becomes of the directory in the end.
    pub on_delete: OnDelete,
    /// How much of the volume is given to a pod's group.
    pub fs_group_change: FsGroupChange,
    /// For whom the volume is made, as the provisioner says. Not a parameter of the class, but sent among them.
    pub metadata: Metadata,
}

impl Parameters {
    /// Reads the parameters of a `CreateVolume` call: those of the class, and the metadata that a provisioner adds.
    ///
    /// Keys are case-sensitive. A key that is not known is an error: a typo that is ignored would be a volume with the
    /// wrong owner or in the wrong place. An empty value is as if its key were not there: tools that write classes write
    /// every key.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        if let Some(key) = parameters.keys().find(|key| !is_known(key)) {
            return Err(ParameterError::Unknown { key: key.clone(), nearest: nearest(key, &parameter::ALL) });
        }
        let get = |key| parameters.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let server = get(parameter::SERVER).ok_or(ParameterError::Missing {
            key: parameter::SERVER,
            hint: "write the NFS server's host name or address, such as nfs.example.com",
        })?;
        let share = get(parameter::SHARE).ok_or(ParameterError::Missing {
            key: parameter::SHARE,
            hint: "write the path that the server exports, such as /exports/k8s, or / for the root of its exports",
        })?;
        Ok(Self {
            server: server.parse().map_err(ParameterError::Server)?,
            share: read_share(share)?,
            sub_dir: get(parameter::SUB_DIR).map(str::parse).transpose().map_err(ParameterError::SubDir)?,
            mount_permissions: get(parameter::MOUNT_PERMISSIONS).map(read_mode).transpose()?.flatten(),
            uid: get(parameter::UID).map(|value| read_owner(parameter::UID, value)).transpose()?,
            gid: get(parameter::GID).map(|value| read_owner(parameter::GID, value)).transpose()?,
            on_delete: get(parameter::ON_DELETE).map(str::parse).transpose()?.unwrap_or_default(),
            fs_group_change: get(parameter::FS_GROUP_CHANGE).map(read_change).transpose()?.unwrap_or_default(),
            metadata: Metadata::from_parameters(parameters),
        })
    }

    /// The mode that the volume's directory gets.
    pub fn mode(&self) -> u32 {
        self.mount_permissions.unwrap_or(DEFAULT_MODE)
    }
}

fn is_known(key: &str) -> bool {
    parameter::ALL.contains(&key) || metadata::ALL.contains(&key)
}

fn read_share(value: &str) -> Result<SharePath, ParameterError> {
    let share: SharePath = value.parse().map_err(ParameterError::Share)?;
    // Servers that ignore case have one directory under every spelling.
    let reserved = share.components().any(|component| component.eq_ignore_ascii_case(layout::ROOT));
    if reserved { Err(ParameterError::Reserved(value.to_owned())) } else { Ok(share) }
}

/// Zero means "as if it were not there", as in csi-driver-nfs, whose classes spell the default so.
fn read_mode(value: &str) -> Result<Option<u32>, ParameterError> {
    let digits = value.strip_prefix("0o").unwrap_or(value);
    let octal = (1..=5).contains(&digits.len()) && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    octal
        .then(|| u32::from_str_radix(digits, 8).ok())
        .flatten()
        // A directory that lets nobody in is how one that was only begun looks.
        .filter(|&mode| mode <= MODE_BITS && (mode == 0 || mode & 0o777 != 0))
        .map(|mode| (mode != 0).then_some(mode))
        .ok_or_else(|| ParameterError::MountPermissions(value.to_owned()))
}

fn read_change(value: &str) -> Result<FsGroupChange, ParameterError> {
    FsGroupChange::named(value).ok_or_else(|| ParameterError::FsGroupChange(value.to_owned()))
}

/// The highest id is −1, which `chown` takes for "leave as it is".
fn read_owner(key: &'static str, value: &str) -> Result<u32, ParameterError> {
    let decimal = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit());
    decimal
        .then(|| value.parse().ok())
        .flatten()
        .filter(|&id| id != u32::MAX)
        .ok_or_else(|| ParameterError::Owner { key, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<Parameters, ParameterError> {
        Parameters::parse(&entries.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn with(key: &str, value: &str) -> Result<Parameters, ParameterError> {
        parse(&[("server", "nfs.example.com"), ("share", "/exports"), (key, value)])
    }

    /// The whole sentence that ends up in an event.
    fn sentence(error: &ParameterError) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }

    #[test]
    fn a_share_inside_the_drivers_own_folder_is_refused() {
        for share in ["/.berth", "/exports/.berth/trash", "/exports/.BERTH/records/", "//.berth"] {
            let error = parse(&[("server", "nfs"), ("share", share)]).expect_err(share).to_string();
            assert!(error.contains("lies in \".berth\" of another share"), "{error}");
        }
        for share in ["/exports/.berth2", "/berth"] {
            assert!(parse(&[("server", "nfs"), ("share", share)]).is_ok(), "{share}");
        }
    }

    #[test]
    fn reads_the_least_a_class_can_say() {
        let parameters = parse(&[("server", "nfs.example.com"), ("share", "/exports")]).expect("legal");
        assert_eq!(parameters.server.host(), "nfs.example.com");
        assert_eq!(parameters.share.as_str(), "/exports");
        assert_eq!(parameters.sub_dir, None);
        assert_eq!((parameters.uid, parameters.gid, parameters.mount_permissions), (None, None, None));
        assert_eq!(parameters.mode(), 0o777);
        assert_eq!(parameters.on_delete, OnDelete::Delete);
        assert_eq!(parameters.metadata, Metadata::default());
    }

    #[test]
    fn reads_everything() {
        let parameters = parse(&[
            ("server", "10.0.0.2:20049"),
            ("share", "/"),
            ("subDir", "${pvc.metadata.namespace}/${pvc.metadata.name}"),
            ("mountPermissions", "02770"),
            ("uid", "1000"),
            ("gid", "0"),
            ("onDelete", "retain"),
            ("fsGroupChange", "always"),
            ("csi.storage.k8s.io/pvc/name", "data"),
            ("csi.storage.k8s.io/pvc/namespace", "shop"),
            ("csi.storage.k8s.io/pv/name", "pvc-1"),
        ])
        .expect("legal");
        assert_eq!((parameters.uid, parameters.gid, parameters.mode()), (Some(1000), Some(0), 0o2770));
        assert_eq!(parameters.on_delete, OnDelete::Retain);
        assert_eq!(parameters.fs_group_change, FsGroupChange::Always);
        let path = parameters.sub_dir.expect("given").render(&parameters.metadata).expect("complete");
        assert_eq!(path.as_str(), "shop/data");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let error = with("subdir", "x").expect_err("keys are case-sensitive");
        assert_eq!(
            sentence(&error),
            "parameter \"subdir\" is not known, did you mean \"subDir\"?; known are server, share, subDir, \
             mountPermissions, uid, gid, onDelete, fsGroupChange"
        );
        let error = with("fileSystemId", "fs-1").expect_err("not known").to_string();
        assert!(error.starts_with("parameter \"fileSystemId\" is not known; known are server"), "{error}");
        assert!(matches!(with("csi.storage.k8s.io/fstype", "nfs"), Err(ParameterError::Unknown { .. })));
    }

    #[test]
    fn a_missing_key_is_named_with_an_example() {
        let error = parse(&[("share", "/")]).expect_err("no server").to_string();
        assert_eq!(
            error,
            "parameter \"server\" is missing; write the NFS server's host name or address, such as nfs.example.com"
        );
        assert!(matches!(parse(&[("server", "nfs")]), Err(ParameterError::Missing { key: "share", .. })));
    }

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("0777", 0o777), ("770", 0o770), ("2775", 0o2775), ("07777", 0o7777), ("0o755", 0o755)] {
            assert_eq!(with("mountPermissions", text).expect(text).mode(), mode, "{text}");
        }
        for text in ["0", "0000"] {
            assert_eq!(with("mountPermissions", text).expect(text).mount_permissions, None, "{text}");
        }
        for text in ["rwx", "0888", "10000", "-1", "+777", "0x1ff", "0o", "000777", " 777", "2000", "7000"] {
            assert!(matches!(with("mountPermissions", text), Err(ParameterError::MountPermissions(_))), "{text}");
        }
    }

    #[test]
    fn owners_are_numbers() {
        assert_eq!(with("uid", "4294967294").expect("the highest").uid, Some(u32::MAX - 1));
        for text in ["root", "-1", "4294967295", "4294967296", "+1", "1.0"] {
            assert!(matches!(with("gid", text), Err(ParameterError::Owner { key: "gid", .. })), "{text}");
        }
    }

    #[test]
    fn on_delete_says_what_is_offered() {
        assert_eq!(with("onDelete", "delete").expect("legal").on_delete, OnDelete::Delete);
        let error = with("onDelete", "archive").expect_err("not offered").to_string();
        assert!(error.contains("not offered yet"), "{error}");
        let error = with("onDelete", "Retain").expect_err("case").to_string();
        assert_eq!(error, "parameter \"onDelete\" is \"Retain\"; write \"delete\" or \"retain\"");
    }

    #[test]
    fn how_much_is_given_to_a_group_is_one_of_three() {
        let error = with("fsGroupChange", "OnRootMismatch").expect_err("of a pod").to_string();
        assert_eq!(error, "parameter \"fsGroupChange\" is \"OnRootMismatch\"; write \"root\", \"always\" or \"none\"");
    }

    #[test]
    fn what_is_empty_is_as_if_it_were_not_there() {
        let least = parse(&[("server", "nfs.example.com"), ("share", "/exports")]).expect("legal");
        let optional = ["subDir", "mountPermissions", "uid", "gid", "onDelete", "fsGroupChange"];
        for key in optional {
            assert_eq!(with(key, ""), Ok(least.clone()), "{key}");
        }
        let mut all = vec![("server", "nfs.example.com"), ("share", "/exports")];
        all.extend(optional.map(|key| (key, "")));
        assert_eq!(parse(&all), Ok(least));
        for key in ["server", "share"] {
            let error = parse(&[("server", "nfs"), ("share", "/"), (key, "")]).expect_err(key);
            assert!(matches!(error, ParameterError::Missing { key: missing, .. } if missing == key), "{error}");
        }
        assert!(matches!(with("subdir", ""), Err(ParameterError::Unknown { .. })), "a typo stays one");
    }

    #[test]
    fn the_chain_reads_as_one_sentence() {
        let error = with("subDir", "../etc").expect_err("escapes");
        assert_eq!(
            sentence(&error),
            "parameter \"subDir\" is not valid: the path is not usable: \"../etc\" holds the component \"..\"; \".\" and \
             \"..\" are not allowed"
        );
        let error = parse(&[("server", "nfs:99999"), ("share", "/")]).expect_err("port");
        assert_eq!(
            sentence(&error),
            "parameter \"server\" is not valid: port \"99999\" is not a number from 1 to 65535"
        );
    }
}
