//! The steps of operations on a share.

/// One step of an operation: what is changed on the share, in the order in which it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Create: take a custom place: nobody else may hold it.
    Hold,
    /// Create: write into the hold whose it is, where that is a step of its own.
    HoldText,
    /// Create: make the parents of a custom place that are missing.
    Parents,
    /// Create: make the directory, without any permission: it is begun.
    Place,
    /// Create: write the record: the volume exists.
    Record,
    /// Create: write the text of the record, where that is a step of its own: the volume exists then.
    RecordText,
    /// Create: set owner and group.
    Owner,
    /// Create: set the mode: the directory is complete.
    Mode,
    /// Create: answer.
    Created,
    /// Delete: move the directory to the trash.
    Trash,
    /// Delete, where nothing can be moved to the trash: write there where the directory is put aside.
    Note,
    /// Delete: write its text, where that is a step of its own.
    NoteText,
    /// Delete, where nothing can be moved to the trash: put the directory aside.
    Aside,
    /// Delete, with the directory kept: move the record to the retained ones.
    Retain,
    /// Delete: give the hold on a custom place up.
    GiveUp,
    /// Delete: remove the record: the volume is gone.
    Forget,
    /// Delete: answer.
    Deleted,
}

impl Step {
    /// Every step.
    #[cfg(feature = "fault-points")]
    pub(crate) const ALL: [Self; 17] = [
        Self::Hold,
        Self::HoldText,
        Self::Parents,
        Self::Place,
        Self::Record,
        Self::RecordText,
        Self::Owner,
        Self::Mode,
        Self::Created,
        Self::Trash,
        Self::Note,
        Self::NoteText,
        Self::Aside,
        Self::Retain,
        Self::GiveUp,
        Self::Forget,
        Self::Deleted,
    ];

    /// What it does, as the middle of "cannot … server:path".
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Self::Hold | Self::HoldText => "take the place",
            Self::Parents => "make the parents of",
            Self::Place => "make the directory",
            Self::Record | Self::RecordText => "write the record of",
            Self::Owner => "set the owner of",
            Self::Mode | Self::Created => "set the mode of",
            Self::Trash | Self::Note | Self::NoteText | Self::Aside => "move to the trash",
            Self::Retain => "move to the retained records the record of",
            Self::GiveUp => "give up the place",
            Self::Forget | Self::Deleted => "remove the record of",
        }
    }
}
