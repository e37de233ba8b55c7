//! What the `volumeHandle` of a PersistentVolume names.
//!
//! A driver may be installed under the name of another one, whose volumes it then serves: their handles are read as that
//! driver writes them. Under any other name such a handle is a stranger's.

mod csi_driver_nfs;
mod efs;

use thiserror::Error;

pub use self::csi_driver_nfs::CsiDriverNfsHandle;
pub use self::efs::{EfsHandle, EfsService};
use crate::{
    id::{IdError, VolumeId},
    names::peer,
    quote::Quoted,
};

/// A volume, by its handle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolumeHandle {
    /// A directory that this driver made on a share.
    Directory(VolumeId),
    /// A volume of aws-efs-csi-driver.
    Efs(EfsHandle),
    /// A volume of csi-driver-nfs.
    CsiDriverNfs(CsiDriverNfsHandle),
}

/// Why a handle names no volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandleError {
    /// No release of this driver gives such a handle, nor does the one whose name it has: no volume has it.
    #[error("the volume handle {} is none that driver {driver} gives", Quoted(.handle))]
    Foreign {
        /// The handle.
        handle: String,
        /// Under which name the driver runs.
        driver: String,
    },
    /// Some release of this driver gave it, and this one cannot read it.
    #[error(transparent)]
    Unreadable(IdError),
}

impl VolumeHandle {
    /// Reads a handle, for a driver that runs under the name `driver`.
    pub fn parse(driver: &str, handle: &str) -> Result<Self, HandleError> {
        match handle.parse() {
            Ok(id) => return Ok(Self::Directory(id)),
            Err(error) if VolumeId::is_ours(handle) => return Err(HandleError::Unreadable(error)),
            Err(_) => {}
        }
        let peers = match driver {
            peer::EFS => EfsHandle::parse(handle).map(Self::Efs),
            peer::CSI_DRIVER_NFS => CsiDriverNfsHandle::parse(handle).map(Self::CsiDriverNfs),
            _ => None,
        };
        peers.ok_or_else(|| HandleError::Foreign { handle: handle.to_owned(), driver: driver.to_owned() })
    }

    /// The driver that made the volume, if it is another one.
    pub fn peer(&self) -> Option<&'static str> {
        match self {
            Self::Directory(_) => None,
            Self::Efs(_) => Some(peer::EFS),
            Self::CsiDriverNfs(_) => Some(peer::CSI_DRIVER_NFS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::DRIVER_NAME;

    #[test]
    fn a_handle_is_read_by_the_rules_of_the_name_under_which_the_driver_runs() {
        let (ours, efs, nfs) = ("berth://nfs/export#pvc-1", "fs-0123abcd::fsap-0123abcd", "nfs#export#pvc-1##");
        for driver in [DRIVER_NAME, peer::EFS, peer::CSI_DRIVER_NFS] {
            assert!(matches!(VolumeHandle::parse(driver, ours), Ok(VolumeHandle::Directory(_))), "{driver}");
            let is_served = |handle, name| {
                let parsed = VolumeHandle::parse(driver, handle);
                assert_eq!(parsed.is_ok(), driver == name, "{driver} {handle}");
                assert_eq!(parsed.ok().and_then(|parsed| parsed.peer()), (driver == name).then_some(name));
            };
            is_served(efs, peer::EFS);
            is_served(nfs, peer::CSI_DRIVER_NFS);
            assert!(matches!(VolumeHandle::parse(driver, "berth9://x"), Err(HandleError::Unreadable(_))), "{driver}");
            assert!(matches!(VolumeHandle::parse(driver, "archive"), Err(HandleError::Foreign { .. })), "{driver}");
        }
    }
}
