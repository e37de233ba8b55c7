//! From generated messages to the contract's types.

use csi_proto::csi;
use csi_proto::csi::volume_capability::AccessType;
use csi_proto::csi::volume_capability::access_mode::Mode;
use tonic::{Code, Status};
use volume::capability::CapabilityError;
use volume::{AccessMode, Capability};

use crate::status::{Coded, to_status};

/// Why a request cannot be understood. Always `INVALID_ARGUMENT`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A field that the specification requires is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An access mode that is unset or that this version of the specification does not have.
    #[error("access mode {0} is unknown")]
    AccessMode(i32),
    /// A raw block volume was asked for.
    #[error("block volumes are not offered: a volume is a directory on an NFS share")]
    Block,
    /// The rest of the capability does not hold together.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

impl Coded for DecodeError {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

impl From<DecodeError> for Status {
    fn from(error: DecodeError) -> Self {
        to_status(&error)
    }
}

/// The value of a required text field; `name` is how the specification spells the field.
pub fn required<'a>(value: &'a str, name: &'static str) -> Result<&'a str, DecodeError> {
    if value.is_empty() { Err(DecodeError::Missing(name)) } else { Ok(value) }
}

/// The one capability of a request, which requires it.
pub fn capability(capability: Option<&csi::VolumeCapability>) -> Result<Capability, DecodeError> {
    decode(capability.ok_or(DecodeError::Missing("volume_capability"))?)
}

/// All capabilities of a request, which requires at least one.
pub fn capabilities(capabilities: &[csi::VolumeCapability]) -> Result<Vec<Capability>, DecodeError> {
    if capabilities.is_empty() {
        return Err(DecodeError::Missing("volume_capabilities"));
    }
    capabilities.iter().map(decode).collect()
}

fn decode(capability: &csi::VolumeCapability) -> Result<Capability, DecodeError> {
    let mount = match capability.access_type.as_ref() {
        Some(AccessType::Mount(mount)) => mount,
        Some(AccessType::Block(_)) => return Err(DecodeError::Block),
        None => return Err(DecodeError::Missing("volume_capability.access_type")),
    };
    let mode = capability.access_mode.as_ref().ok_or(DecodeError::Missing("volume_capability.access_mode"))?.mode;
    let capability = Capability::new(access_mode(mode)?, mount.fs_type.clone(), mount.mount_flags.clone())?;
    Ok(capability.for_group(&mount.volume_mount_group)?)
}

fn access_mode(number: i32) -> Result<AccessMode, DecodeError> {
    match Mode::try_from(number) {
        Ok(Mode::SingleNodeWriter) => Ok(AccessMode::SingleNodeWriter),
        Ok(Mode::SingleNodeReaderOnly) => Ok(AccessMode::SingleNodeReaderOnly),
        Ok(Mode::MultiNodeReaderOnly) => Ok(AccessMode::MultiNodeReaderOnly),
        Ok(Mode::MultiNodeSingleWriter) => Ok(AccessMode::MultiNodeSingleWriter),
        Ok(Mode::MultiNodeMultiWriter) => Ok(AccessMode::MultiNodeMultiWriter),
        Ok(Mode::SingleNodeSingleWriter) => Ok(AccessMode::SingleNodeSingleWriter),
        Ok(Mode::SingleNodeMultiWriter) => Ok(AccessMode::SingleNodeMultiWriter),
        Ok(Mode::Unknown) | Err(_) => Err(DecodeError::AccessMode(number)),
    }
}

#[cfg(test)]
mod tests {
    use csi_proto::csi::volume_capability::{AccessMode as ProtoMode, BlockVolume, MountVolume};

    use super::*;

    fn mounted(mode: i32) -> csi::VolumeCapability {
        csi::VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume {
                fs_type: "nfs".to_owned(),
                mount_flags: vec!["hard".to_owned()],
                ..Default::default()
            })),
            access_mode: Some(ProtoMode { mode }),
        }
    }

    #[test]
    fn every_mode_of_the_specification_is_known() {
        let decoded: Vec<_> = (1..=7).map(|mode| decode(&mounted(mode)).unwrap().mode()).collect();
        assert_eq!(
            decoded,
            [
                AccessMode::SingleNodeWriter,
                AccessMode::SingleNodeReaderOnly,
                AccessMode::MultiNodeReaderOnly,
                AccessMode::MultiNodeSingleWriter,
                AccessMode::MultiNodeMultiWriter,
                AccessMode::SingleNodeSingleWriter,
                AccessMode::SingleNodeMultiWriter,
            ]
        );
        assert!(Mode::try_from(8).is_err(), "a mode was added: decide what it means");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(capability(None), Err(DecodeError::Missing("volume_capability")));
        assert_eq!(capabilities(&[]), Err(DecodeError::Missing("volume_capabilities")));
        assert_eq!(required("", "volume_id"), Err(DecodeError::Missing("volume_id")));
        assert_eq!(required("v", "volume_id"), Ok("v"));
        let no_type = csi::VolumeCapability { access_type: None, ..mounted(1) };
        assert_eq!(capability(Some(&no_type)), Err(DecodeError::Missing("volume_capability.access_type")));
        let no_mode = csi::VolumeCapability { access_mode: None, ..mounted(1) };
        assert_eq!(capability(Some(&no_mode)), Err(DecodeError::Missing("volume_capability.access_mode")));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let block = csi::VolumeCapability { access_type: Some(AccessType::Block(BlockVolume {})), ..mounted(1) };
        assert_eq!(capability(Some(&block)), Err(DecodeError::Block));
        let mut grouped = mounted(1);
        let Some(AccessType::Mount(mount)) = &mut grouped.access_type else { unreachable!() };
        mount.volume_mount_group = "2000".to_owned();
        assert_eq!(decode(&grouped).unwrap().group(), Some(2000));
        let Some(AccessType::Mount(mount)) = &mut grouped.access_type else { unreachable!() };
        mount.volume_mount_group = "staff".to_owned();
        assert_eq!(decode(&grouped), Err(DecodeError::Capability(CapabilityError::Group("staff".to_owned()))));
        for mode in [0, 99] {
            assert_eq!(capability(Some(&mounted(mode))), Err(DecodeError::AccessMode(mode)));
        }
        assert_eq!(Status::from(DecodeError::Block).code(), Code::InvalidArgument);
    }
}
