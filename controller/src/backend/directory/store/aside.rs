//! Directories that cannot be moved to the trash, because the server renames nothing from one quota tree into another.
//!
//! They are renamed where they are, to a name that nothing else has, and a link in the trash says where that is. The link is
//! made first: whatever ends the operation between the two, nothing is forgotten.

use volume::names::layout::{ASIDE, TRASH_SEPARATOR};
use volume::{RecordKey, SubPath};

use super::folders::Store;
use super::form::Text;
use super::layout::{ROOT, TRASH, unique_tree};
use super::registry::{About, Entry};
use crate::error::OperationError;

/// What the links in the trash are.
pub(super) const ABOUT: About =
    About { folder: &[ROOT, TRASH], reading: "read the link", not_one: "holds something that is no link" };

/// Length of what [`unique_tree`] gives.
const UNIQUE: usize = 17;

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
    /// Nothing yet: whoever made it may be about to write where a directory is put aside.
    Begun {
        /// When it was made, in seconds since 1970 by the server's clock.
        written: Option<i64>,
    },
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
        let Ok(name) = std::str::from_utf8(name) else { return Ok(Note::Nothing) };
        let entry = match self.notes.read(name).await {
            Ok(entry) => entry,
            // It is no link (where a listing tells no types, everything is asked for its text), or somebody else's, who could
            // name any directory.
            Err(OperationError::Untrusted { .. } | OperationError::NotBelieved { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(Entry { text, written, .. }) = entry else { return Ok(Note::Nothing) };
        Ok(match text {
            // Anything else that is no text is no note either.
            Text::Begun if is_unique(name) => Note::Begun { written },
            Text::Begun => Note::Nothing,
            Text::Whole(text) => path_of(&text).map_or(Note::Nothing, |path| Note::Aside { path, written }),
        })
    }
}

/// The path that a link's text names, if that is one of a directory that was put aside.
fn path_of(text: &str) -> Option<SubPath> {
    let path: SubPath = text.strip_prefix(SCHEME)?.parse().ok()?;
    let leaf = path.leaf();
    (leaf.starts_with(ASIDE) && leaf.len() == ASIDE.len() + UNIQUE && is_unique(leaf)).then_some(path)
}

/// Whether a name ends as the driver ends names that nothing else has.
fn is_unique(name: &str) -> bool {
    let unique = name.len().checked_sub(UNIQUE).and_then(|before| name.get(before..));
    unique
        .and_then(|unique| unique.strip_prefix(TRASH_SEPARATOR))
        .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
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
            let named = path_of(&aside.text).unwrap();
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
            assert_eq!(path_of(text), None, "{text}");
        }
    }
}
