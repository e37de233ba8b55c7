//! How a volume is going to be used.

use thiserror::Error;

use crate::{names::FS_TYPES, quote::Quoted};

/// CSI `VolumeCapability.AccessMode.Mode`, without its unknown value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessMode {
    /// One node reads and writes.
    SingleNodeWriter,
    /// One node reads.
    SingleNodeReaderOnly,
    /// Many nodes read.
    MultiNodeReaderOnly,
    /// Many nodes read, one of them writes.
    MultiNodeSingleWriter,
    /// Many nodes read and write.
    MultiNodeMultiWriter,
    /// One pod on one node reads and writes (`ReadWriteOncePod`).
    SingleNodeSingleWriter,
    /// Many pods on one node read and write (`ReadWriteOnce`).
    SingleNodeMultiWriter,
}

impl AccessMode {
    /// Every mode, in the order of the specification.
    pub const ALL: [Self; 7] = [
        Self::SingleNodeWriter,
        Self::SingleNodeReaderOnly,
        Self::MultiNodeReaderOnly,
        Self::MultiNodeSingleWriter,
        Self::MultiNodeMultiWriter,
        Self::SingleNodeSingleWriter,
        Self::SingleNodeMultiWriter,
    ];

    /// The mode as Kubernetes spells it; as CSI does, where Kubernetes has no such mode or means one of two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleNodeWriter => "SINGLE_NODE_WRITER",
            Self::SingleNodeReaderOnly => "SINGLE_NODE_READER_ONLY",
            Self::MultiNodeReaderOnly => "ReadOnlyMany",
            Self::MultiNodeSingleWriter => "MULTI_NODE_SINGLE_WRITER",
            Self::MultiNodeMultiWriter => "ReadWriteMany",
            Self::SingleNodeSingleWriter => "ReadWriteOncePod",
            Self::SingleNodeMultiWriter => "ReadWriteOnce",
        }
    }

    /// The mode that is spelled so, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether nobody may write.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::SingleNodeReaderOnly | Self::MultiNodeReaderOnly)
    }

    /// Whether at most one target on a node may be published at a time.
    ///
    /// `SingleNodeWriter` is not among them: before the two newer modes existed it meant `ReadWriteOnce`, which several
    /// pods of one node share, and provisioners that do not know the newer modes still send it for that.
    pub fn is_single_target(self) -> bool {
        matches!(self, Self::SingleNodeSingleWriter)
    }
}

/// Why a volume cannot be used in the way asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// A file system that NFS is not.
    #[error("file system type {} is not offered; leave it empty or write \"nfs\" or \"nfs4\"", Quoted(.0))]
    FsType(String),
    /// A group that is none.
    #[error("the group {} (volume_mount_group) is no number from 0 to {}", Quoted(.0), u32::MAX - 1)]
    Group(String),
}

/// A mounted volume in one access mode. Block volumes do not exist here: whoever decodes a request refuses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    mode: AccessMode,
    fs_type: String,
    mount_flags: Vec<String>,
    group: Option<u32>,
}

impl Capability {
    /// A capability with a file system type of `""`, `"nfs"` or `"nfs4"`, and mount options as they were written;
    /// [`MountOptions::parse`](crate::MountOptions::parse) checks those.
    pub fn new(mode: AccessMode, fs_type: String, mount_flags: Vec<String>) -> Result<Self, CapabilityError> {
        if !fs_type.is_empty() && !FS_TYPES.contains(&fs_type.as_str()) {
            return Err(CapabilityError::FsType(fs_type));
        }
        Ok(Self { mode, fs_type, mount_flags, group: None })
    }

    /// The same for a pod whose `fsGroup` is this; empty: it has none.
    pub fn for_group(self, group: &str) -> Result<Self, CapabilityError> {
        if group.is_empty() {
            return Ok(Self { group: None, ..self });
        }
        // The highest number is −1, which `chown` takes for "leave as it is".
        let is_decimal = group.bytes().all(|digit| digit.is_ascii_digit());
        let number = is_decimal.then(|| group.parse().ok()).flatten().filter(|&number| number != u32::MAX);
        match number {
            Some(number) => Ok(Self { group: Some(number), ..self }),
            None => Err(CapabilityError::Group(group.to_owned())),
        }
    }

    /// Who may read and write.
    pub fn mode(&self) -> AccessMode {
        self.mode
    }

    /// File system type as it was asked for; may be empty.
    pub fn fs_type(&self) -> &str {
        &self.fs_type
    }

    /// Mount options as they were written, not yet checked.
    pub fn mount_flags(&self) -> &[String] {
        &self.mount_flags
    }

    /// The group that the pod's processes are in, and that the caller leaves to the driver.
    pub fn group(&self) -> Option<u32> {
        self.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nfs_is_a_file_system_here() {
        for fs_type in ["", "nfs", "nfs4"] {
            let made = Capability::new(AccessMode::MultiNodeMultiWriter, fs_type.into(), vec!["hard".into()]);
            let made = made.expect(fs_type);
            assert_eq!((made.fs_type(), made.mount_flags()), (fs_type, ["hard".to_owned()].as_slice()));
        }
        let error = Capability::new(AccessMode::SingleNodeWriter, "ext4".into(), Vec::new()).expect_err("a disk's");
        assert_eq!(
            error.to_string(),
            "file system type \"ext4\" is not offered; leave it empty or write \"nfs\" or \"nfs4\""
        );
    }

    #[test]
    fn a_group_is_a_number() {
        let capability = Capability::new(AccessMode::MultiNodeMultiWriter, String::new(), Vec::new()).expect("legal");
        for (text, group) in [("", None), ("0", Some(0)), ("2000", Some(2000)), ("4294967294", Some(4_294_967_294))] {
            assert_eq!(capability.clone().for_group(text).expect(text).group(), group);
        }
        for text in ["-1", "4294967295", "staff", "+5", " 5"] {
            assert_eq!(capability.clone().for_group(text), Err(CapabilityError::Group(text.to_owned())));
        }
    }

    #[test]
    fn a_mode_has_one_name() {
        for mode in AccessMode::ALL {
            assert_eq!(AccessMode::named(&mode.as_str().to_lowercase()), Some(mode));
        }
        assert_eq!(AccessMode::named("ReadWriteTwice"), None);
    }

    #[test]
    fn modes_know_what_they_forbid() {
        let read_only: Vec<_> = AccessMode::ALL.into_iter().filter(|mode| mode.is_read_only()).collect();
        assert_eq!(read_only, [AccessMode::SingleNodeReaderOnly, AccessMode::MultiNodeReaderOnly]);
        let single: Vec<_> = AccessMode::ALL.into_iter().filter(|mode| mode.is_single_target()).collect();
        assert_eq!(single, [AccessMode::SingleNodeSingleWriter]);
    }
}
