//! Which server and share claims, classes and volumes need.

use ::volume::names::parameter;
use ::volume::{Server, SharePath, VolumeId};

use super::super::lanes::Lane;
use super::{Key, Progress, State};
use crate::kubernetes::api::objects::{Class, Volume};
use crate::kubernetes::provision::claim;

impl State {
    /// The server that the work on an item needs.
    pub(crate) fn lane(&self, key: &Key) -> Lane {
        let server = match key {
            Key::Claim(uid) => match self.progress.get(uid) {
                Some(Progress::InBackground(attempts)) => attempts.first().map(|attempt| &attempt.class),
                _ => self.claims.get(uid).and_then(|claim| self.classes.get(claim::class_name(claim))),
            }
            .and_then(|class| share_of_class(class))
            .map(|(server, _)| server),
            Key::Volume(name) => {
                let id: Option<VolumeId> = self.volumes.get(name).and_then(|known| known.handle.as_ref()?.parse().ok());
                id.map(|id| id.server().clone())
            }
        };
        server.map(|server| server.to_string()).unwrap_or_default().into()
    }
}

/// The share that a class makes volumes on, if it says so in a way that can be read.
pub(super) fn share_of_class(class: &Class) -> Option<(Server, SharePath)> {
    let server = class.parameters.get(parameter::SERVER)?.parse().ok()?;
    let share = class.parameters.get(parameter::SHARE)?.parse().ok()?;
    Some((server, share))
}

/// The share that a volume is on, if its id is one that this driver makes.
pub(super) fn share_of_volume(volume: &Volume) -> Option<(Server, SharePath)> {
    let id: VolumeId = volume.spec.csi.as_ref()?.volume_handle.parse().ok()?;
    Some((id.server().clone(), id.share().clone()))
}
