//! On which server and share classes and volumes are.

use ::volume::names::parameter;
use ::volume::{Server, SharePath, VolumeId};

use super::api::objects::{Class, Volume};

/// The share that a class makes volumes on, if it says so in a way that can be read.
pub(crate) fn share_of_class(class: &Class) -> Option<(Server, SharePath)> {
    let server = class.parameters.get(parameter::SERVER)?.parse().ok()?;
    let share = class.parameters.get(parameter::SHARE)?.parse().ok()?;
    Some((server, share))
}

/// The share that a volume is on, if its id is one that this driver makes.
pub(crate) fn share_of_volume(volume: &Volume) -> Option<(Server, SharePath)> {
    share_of_handle(&volume.spec.csi.as_ref()?.volume_handle)
}

/// The share of the backing volume with this id, if it is one that this driver makes.
pub(crate) fn share_of_handle(handle: &str) -> Option<(Server, SharePath)> {
    let id: VolumeId = handle.parse().ok()?;
    Some((id.server().clone(), id.share().clone()))
}
