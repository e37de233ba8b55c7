//! How an entry of a registry lies on a share: as a symbolic link or, where the server makes none, as a small file.
//!
//! A link is there with its whole text, or not at all. A file is there before its text is: the text is sealed
//! ([`volume::sealed`]), so that one whose writing has not come to its end is known, and counts for nothing.

use nfs_client::{Attributes, Compound, FileType, Replies};
use volume::sealed::{LONGEST_FILE, Sealed, seal, unseal};

use super::layout::FILE_MODE;
use super::trust::is_writable;

/// Which of the two. All entries of a share have the form that its identity has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Link,
    File,
}

/// What makes an entry in its folder, which is current before.
pub(crate) struct Making {
    /// Makes it, exclusively; it is current afterwards.
    pub(crate) entry: Compound,
    /// Gives it its text, in the same request, where it has none yet.
    pub(crate) text: Option<Compound>,
}

/// What is written in an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Whole(String),
    /// Nothing yet, or not all of it.
    Begun,
}

impl Form {
    /// What makes an entry with this text, and ends with `and`, of the entry.
    pub(super) fn making(self, name: &str, text: &str, and: Compound) -> Making {
        match self {
            Self::Link => Making { entry: Compound::new().create_symlink(name, text).append(and), text: None },
            Self::File => {
                let text = Compound::new().fill(seal(text)).append(and);
                Making { entry: Compound::new().create_file(name, FILE_MODE), text: Some(text) }
            }
        }
    }

    /// What reads the text of an entry, which is current.
    pub(super) fn read(self, there: Compound) -> Compound {
        match self {
            Self::Link => there.read_link(),
            // A byte more than there may be.
            Self::File => there.read_start(u32::try_from(LONGEST_FILE + 1).unwrap_or(u32::MAX)),
        }
    }

    /// The text in the reply to [`read`](Self::read); none if the driver has not written it so.
    pub(super) fn text(self, replies: &Replies) -> Option<Text> {
        match self {
            Self::Link => {
                let text = String::from_utf8_lossy(replies.target(0).unwrap_or_default());
                Some(Text::Whole(text.into_owned()))
            }
            Self::File => match unseal(replies.data(0).unwrap_or_default()) {
                Sealed::Whole(text) => Some(Text::Whole(text.to_owned())),
                Sealed::Begun => Some(Text::Begun),
                Sealed::Foreign => None,
            },
        }
    }

    /// Whether the reply to [`read`](Self::read) is there.
    pub(super) fn is_read(self, replies: &Replies) -> bool {
        match self {
            Self::Link => replies.target(0).is_some(),
            Self::File => replies.data(0).is_some(),
        }
    }

    /// Whether the text in that reply is all of an entry that has `size` bytes.
    pub(super) fn is_all(self, replies: &Replies, size: u64) -> bool {
        match self {
            Self::Link => true,
            Self::File => replies.data(0).is_some_and(|data| u64::try_from(data.len()).is_ok_and(|read| read == size)),
        }
    }

    /// What an entry is.
    pub(super) fn file_type(self) -> FileType {
        match self {
            Self::Link => FileType::Symlink,
            Self::File => FileType::Regular,
        }
    }

    /// The mode with which others could have changed an entry, if they could. Nobody changes a link.
    pub(super) fn changeable(self, found: &Attributes) -> Option<u32> {
        match self {
            Self::Link => None,
            Self::File => found.mode.filter(|mode| is_writable(*mode)),
        }
    }
}

impl Making {
    /// Both, as one.
    pub(super) fn whole(self) -> Compound {
        self.entry.append(self.text.unwrap_or_default())
    }
}
