//! What keeps a volume out of its place.

use std::fmt;

/// What is in a volume's place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupied {
    /// A directory that no record names.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A file, a socket, a device.
    Other,
    /// Another volume, by its record's name.
    Volume(String),
    /// Another volume lies around it, by its path below the share.
    Inside(String),
    /// Another share lies around it, by its path below the share.
    Share(String),
    /// Another volume holds it and is not there yet.
    Unfinished(String),
    /// A volume has begun to take it, and nobody can tell which.
    Begun,
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("a directory that is no volume of this driver"),
            Self::Symlink => f.write_str("a symbolic link"),
            Self::Other => f.write_str("something that is no directory"),
            Self::Volume(key) => write!(f, "volume {key}"),
            Self::Inside(path) => write!(f, "the volume in {path:?}, inside which it would be"),
            Self::Share(path) => write!(f, "the share in {path:?}, inside which it would be"),
            Self::Unfinished(key) => write!(f, "volume {key}, which is being made"),
            Self::Begun => f.write_str("a volume that is being made"),
        }
    }
}
