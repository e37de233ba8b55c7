//! Directories that cannot be moved to the trash, because the server renames nothing from one quota tree into another.
//!
//! They are renamed where they are, to a name that nothing else has, and a link in the trash says where that is. The link is
//! made first: whatever ends the operation between the two, nothing is forgotten.

use nfs_client::{Compound, NfsStatus};
use volume::names::layout::ASIDE;
use volume::{RecordKey, SubPath};

use super::folders::Store;
use super::layout::{ROOT, TRASH, unique_tree};
use crate::error::OperationError;

/// Before the path in the text of such a link. No other link in the trash has a text like it.
const SCHEME: &str = "aside:";

/// Where a directory is put aside.
#[derive(Debug)]
pub(crate) struct Aside {
    /// Name of the link in the trash.
    pub(crate) link: String,
    /// Name of the directory from then on, in the same parent.
    pub(crate) leaf: String,
    /// Text of the link.
    pub(crate) text: String,
}

impl Aside {
    /// For the directory of a volume.
    pub(crate) fn new(key: &RecordKey, path: &SubPath) -> Self {
        let unique = unique_tree();
        let leaf = format!("{ASIDE}{unique}");
        let parent = path.parent().map(|parent| format!("{parent}/")).unwrap_or_default();
        Self { link: format!("{key}{unique}"), text: format!("{SCHEME}{parent}{leaf}"), leaf }
    }
}

/// What a link in the trash says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing of ours: it is removed as it is.
    Nothing,
    /// A directory was put aside here, or was to be.
    Aside {
        path: SubPath,
        /// When it was written, in seconds since 1970 by the server's clock.
        written: Option<i64>,
    },
}

impl Store {
    /// Reads a link in the trash.
    pub(crate) async fn note(&self, name: &[u8]) -> Result<Note, OperationError> {
        let request = Compound::new().put_handle(&self.trash).lookup(name).read_link().get_attr();
        let replies = match self.site.client().call(request).await {
            Ok(replies) => replies,
            // It is gone, or no link: where a listing tells no types, everything is asked for its text.
            Err(error)
                if [NfsStatus::NoEnt, NfsStatus::Inval, NfsStatus::WrongType].iter().any(|&it| error.is_status(it)) =>
            {
                return Ok(Note::Nothing);
            }
            Err(error) => {
                let path = format!("{ROOT}/{TRASH}/{}", String::from_utf8_lossy(name));
                return Err(self.site.failed("read the link", path, error));
            }
        };
        // Somebody else could name any directory.
        let found = replies.attributes(0).filter(|found| self.is_ours(found));
        let path = found.and_then(|_| path_of(replies.target(0)?));
        let written = found.and_then(|found| found.modified).map(|(seconds, _)| seconds);
        Ok(path.map_or(Note::Nothing, |path| Note::Aside { path, written }))
    }
}

/// The path that a link's text names, if that is one of a directory that was put aside.
fn path_of(text: &[u8]) -> Option<SubPath> {
    let path: SubPath = std::str::from_utf8(text).ok()?.strip_prefix(SCHEME)?.parse().ok()?;
    let unique = path.leaf().strip_prefix(ASIDE)?;
    let is_unique = unique.len() == unique_tree().len() && unique.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit());
    is_unique.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_what_was_put_aside_and_nothing_else() {
        let key: RecordKey = "pvc-1".parse().unwrap();
        for path in ["pvc-1", "team/data", "a/b/c"] {
            let path: SubPath = path.parse().unwrap();
            let aside = Aside::new(&key, &path);
            let named = path_of(aside.text.as_bytes()).unwrap();
            assert_eq!((named.parent(), named.leaf()), (path.parent(), aside.leaf.as_str()));
            assert!(aside.link.starts_with("pvc-1~"), "{aside:?}");
        }
        for text in [
            "pvc-1",
            "clock",
            "aside:team/data",
            "aside:.berth-trash",
            "aside:team/.berth-trash~xyz",
            "aside:../.berth-trash~0123456789abcdef",
        ] {
            assert_eq!(path_of(text.as_bytes()), None, "{text}");
        }
    }
}
