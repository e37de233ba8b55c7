//! A volume as it is asked for.

use nfs_client::{Attributes, Principal, SetAttributes};
use volume::capacity::Range;
use volume::{Record, VolumeId};

use crate::backend::directory::store::Site;
use crate::error::OperationError;

/// Names that servers give to an owner they do not want to name.
const NOBODY: [&str; 2] = ["nobody", "nogroup"];

/// Everything that makes a volume.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Its id; its key names record and default place.
    pub(crate) id: VolumeId,
    /// Its record.
    pub(crate) record: Record,
    /// The record as it is written.
    pub(crate) text: String,
    /// What size would do, if it exists already.
    pub(crate) range: Range,
    /// Mode of its directory.
    pub(crate) mode: u32,
    /// Owner of its directory.
    pub(crate) uid: Option<u32>,
    /// Group of its directory.
    pub(crate) gid: Option<u32>,
}

impl Wanted {
    /// Whether its place needs a hold; a default place needs none, because the key is the place.
    pub(crate) fn is_custom(&self) -> bool {
        self.record.path != self.id.key().default_place()
    }

    /// The owner to set, if any.
    pub(crate) fn owner(&self) -> Option<SetAttributes> {
        let owner = SetAttributes::owner(self.uid, self.gid);
        (!owner.is_empty()).then_some(owner)
    }

    /// `uid:gid`, with `-` for what stays as it is.
    pub(crate) fn owner_text(&self) -> String {
        let text = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        format!("{}:{}", text(self.uid), text(self.gid))
    }

    /// Whether a volume that exists answers the request.
    pub(crate) fn accept(&self, site: &Site, found: &Record) -> Result<(), OperationError> {
        let (what, found, wanted) = if found.name != self.record.name {
            ("the name", format!("{:?}", found.name), format!("{:?}", self.record.name))
        } else if !self.range.admits(found.size_bytes) {
            ("a size of", format!("{} bytes", found.size_bytes), self.size())
        } else if found.path != self.record.path {
            ("the directory", format!("{:?}", found.path.as_str()), format!("{:?}", self.record.path.as_str()))
        } else if found.on_delete != self.record.on_delete {
            ("onDelete", found.on_delete.to_string(), self.record.on_delete.to_string())
        } else {
            return Ok(());
        };
        Err(OperationError::Different {
            name: self.record.name.clone(),
            location: site.location(),
            what,
            found,
            wanted,
        })
    }

    fn size(&self) -> String {
        let Range { required, limit } = self.range;
        match (required, limit) {
            (required, 0) => format!("{required} bytes"),
            (required, limit) if required == limit => format!("{required} bytes"),
            (required, limit) => format!("{required} to {limit} bytes"),
        }
    }

    /// Whether the server did what it said it did.
    pub(crate) fn verify(&self, site: &Site, found: &Attributes) -> Result<(), OperationError> {
        let refuse = |what, wanted: String, found: String| {
            let location = site.at(self.record.path.as_str());
            Err(OperationError::NotKept { location, what, wanted, found })
        };
        if let Some(mode) = found.mode.filter(|mode| *mode != self.mode) {
            return refuse("mode", format!("{:04o}", self.mode), format!("{mode:04o}"));
        }
        let sides = [("owner", self.uid, &found.owner), ("group", self.gid, &found.group)];
        for (what, wanted, found) in sides {
            if let (Some(wanted), Some(found)) = (wanted, found)
                && !may_be(wanted, found)
            {
                return refuse(what, wanted.to_string(), found.to_string());
            }
        }
        Ok(())
    }

    /// Whether a directory certainly has the owner and the group that were asked for.
    pub(crate) fn owns(&self, found: &Attributes) -> bool {
        let sides = [(self.uid, &found.owner), (self.gid, &found.group)];
        sides.into_iter().all(|(wanted, found)| wanted.is_none_or(|wanted| *found == Some(Principal::Id(wanted))))
    }
}

/// Whether a principal can be the one that was set. A server that maps ids answers with a name, which proves nothing
/// unless it is the name for "none of those I know".
fn may_be(wanted: u32, found: &Principal) -> bool {
    match found {
        Principal::Id(id) => *id == wanted,
        Principal::Name(name) => {
            let user = name.split('@').next().unwrap_or_default();
            !NOBODY.contains(&user)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_squashed_owner_is_seen_and_a_mapped_one_is_believed() {
        assert!(may_be(1000, &Principal::Id(1000)));
        assert!(!may_be(1000, &Principal::Id(65534)));
        assert!(may_be(1000, &Principal::Name("app@example.com".to_owned())));
        assert!(!may_be(1000, &Principal::Name("nobody@example.com".to_owned())));
        assert!(!may_be(1000, &Principal::Name("nogroup".to_owned())));
    }
}
