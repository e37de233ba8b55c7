//! Where a volume is on its server: the share, and the directory below it.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{names::layout, quote::Quoted};

/// Longest name of one file or directory that common servers accept, in bytes (`NAME_MAX`).
pub const LONGEST_COMPONENT: usize = 255;
/// Longest path that is accepted here, in bytes. Paths end up in records, ids and volume attributes, which have tighter
/// limits of their own; this one bounds what has to be looked at.
pub const LONGEST_PATH: usize = 1024;

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// Nothing was written.
    #[error("the path is empty")]
    Empty,
    /// A share must be absolute.
    #[error("{} does not begin with \"/\"", Quoted(.0))]
    NotAbsolute(String),
    /// `.` or `..`.
    #[error("{} holds the component {}; \".\" and \"..\" are not allowed", Quoted(.path), Quoted(.component))]
    Dots {
        /// The whole path.
        path: String,
        /// `.` or `..`.
        component: String,
    },
    /// A NUL byte, a line break or another control character.
    #[error("{} holds a control character", Quoted(.0))]
    ControlCharacter(String),
    /// A component of more than [`LONGEST_COMPONENT`] bytes.
    #[error("the component {} is longer than {LONGEST_COMPONENT} bytes", Quoted(.0))]
    LongComponent(String),
    /// More than [`LONGEST_PATH`] bytes.
    #[error("{} is longer than {LONGEST_PATH} bytes", Quoted(.0))]
    LongPath(String),
    /// The directory in which the controller keeps its own state.
    #[error("{} begins with {:?}, which the driver keeps for itself on each share", Quoted(.0), layout::ROOT)]
    Reserved(String),
}

/// Path of an export, or of a directory inside one: absolute, without empty, `.` or `..` components and without control
/// characters. `/` is the root of the server's export tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharePath(String);

impl SharePath {
    /// The path as text: `/`, or `/` and the components joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components in order; none for `/`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// The path of a directory below this share, as a client that mounts it directly has to name it.
    #[must_use]
    pub fn join(&self, below: &SubPath) -> String {
        format!("{}/{below}", self.0.trim_end_matches('/'))
    }
}

impl FromStr for SharePath {
    type Err = PathError;

    /// Reads an absolute path. Slashes that change nothing (doubled, or at the end) are dropped, so that `/exports` and
    /// `/exports/` are one share.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute(text.to_owned()));
        }
        let path = format!("/{}", joined(text)?);
        check_length(&path)?;
        Ok(Self(path))
    }
}

impl fmt::Display for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Path of a directory below a share: relative, at least one component, none of them empty, `.` or `..`, no control
/// characters. It cannot leave the share, and it cannot enter the directory that the controller keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubPath(String);

impl SubPath {
    /// The path as text, components joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components in order; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// The path without its last component; none when there is only one.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The last component.
    pub fn leaf(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, leaf)| leaf)
    }
}

impl FromStr for SubPath {
    type Err = PathError;

    /// Reads a path below a share. Slashes that change nothing (doubled, at the beginning or at the end) are dropped, so
    /// that `a/b` and `/a/b/` are one directory.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let path = joined(text)?;
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        check_length(&path)?;
        let path = Self(path);
        // Servers that ignore case would take ".Berth" for the same directory.
        if path.components().next().is_some_and(is_reserved) {
            return Err(PathError::Reserved(text.to_owned()));
        }
        Ok(path)
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a name at the root of a share belongs to the controller.
pub(crate) fn is_reserved(component: &str) -> bool {
    component.eq_ignore_ascii_case(layout::ROOT)
}

/// The components of `text`, checked and joined by single slashes.
fn joined(text: &str) -> Result<String, PathError> {
    let components: Vec<&str> = text.split('/').filter(|component| !component.is_empty()).collect();
    components.iter().try_for_each(|component| check_component(text, component))?;
    Ok(components.join("/"))
}

/// Checks one component of `path`, which is only named in the error.
pub(crate) fn check_component(path: &str, component: &str) -> Result<(), PathError> {
    if component == "." || component == ".." {
        return Err(PathError::Dots { path: path.to_owned(), component: component.to_owned() });
    }
    if component.chars().any(char::is_control) {
        return Err(PathError::ControlCharacter(path.to_owned()));
    }
    if component.len() > LONGEST_COMPONENT {
        return Err(PathError::LongComponent(component.to_owned()));
    }
    Ok(())
}

fn check_length(path: &str) -> Result<(), PathError> {
    if path.len() > LONGEST_PATH { Err(PathError::LongPath(path.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_normalised() {
        for (text, normal, components) in [
            ("/", "/", vec![]),
            ("//", "/", vec![]),
            ("/exports/", "/exports", vec!["exports"]),
            ("//exports//k8s", "/exports/k8s", vec!["exports", "k8s"]),
            ("/mit Leerzeichen/é#%", "/mit Leerzeichen/é#%", vec!["mit Leerzeichen", "é#%"]),
            ("/...", "/...", vec!["..."]),
        ] {
            let share: SharePath = text.parse().expect(text);
            assert_eq!(share.as_str(), normal);
            assert_eq!(share.components().collect::<Vec<_>>(), components);
        }
    }

    #[test]
    fn a_share_that_could_mean_something_else_is_refused() {
        let long = format!("/{}", "a".repeat(256));
        let longer = "/abc".repeat(300);
        for (text, error) in [
            ("", PathError::Empty),
            ("exports", PathError::NotAbsolute("exports".into())),
            ("/a/../b", PathError::Dots { path: "/a/../b".into(), component: "..".into() }),
            ("/./b", PathError::Dots { path: "/./b".into(), component: ".".into() }),
            ("/a\0", PathError::ControlCharacter("/a\0".into())),
            ("/a\nb", PathError::ControlCharacter("/a\nb".into())),
            (&long, PathError::LongComponent(long[1..].into())),
            (&longer, PathError::LongPath(longer.clone())),
        ] {
            assert_eq!(text.parse::<SharePath>(), Err(error));
        }
    }

    #[test]
    fn a_directory_below_a_share_has_parts() {
        let path: SubPath = "team/app/data".parse().expect("legal");
        assert_eq!(path.components().collect::<Vec<_>>(), ["team", "app", "data"]);
        assert_eq!(path.leaf(), "data");
        assert_eq!(path.parent().expect("two above").as_str(), "team/app");
        let single: SubPath = "data".parse().expect("legal");
        assert_eq!((single.parent(), single.leaf()), (None, "data"));
    }

    #[test]
    fn slashes_that_change_nothing_are_dropped() {
        for text in ["/archive/2026/", "archive//2026", "//archive/2026//"] {
            assert_eq!(text.parse::<SubPath>().expect(text).as_str(), "archive/2026");
        }
    }

    #[test]
    fn joining_never_doubles_a_slash() {
        let below: SubPath = "a/b".parse().expect("legal");
        assert_eq!("/".parse::<SharePath>().expect("legal").join(&below), "/a/b");
        assert_eq!("/exports".parse::<SharePath>().expect("legal").join(&below), "/exports/a/b");
    }

    #[test]
    fn a_directory_cannot_leave_its_share_nor_enter_ours() {
        for (text, error) in [
            ("", PathError::Empty),
            ("//", PathError::Empty),
            ("..", PathError::Dots { path: "..".into(), component: "..".into() }),
            ("a/..", PathError::Dots { path: "a/..".into(), component: "..".into() }),
            (".berth", PathError::Reserved(".berth".into())),
            (".Berth/records", PathError::Reserved(".Berth/records".into())),
            ("//.berth", PathError::Reserved("//.berth".into())),
            ("/a//../b", PathError::Dots { path: "/a//../b".into(), component: "..".into() }),
            ("a\u{7f}", PathError::ControlCharacter("a\u{7f}".into())),
        ] {
            assert_eq!(text.parse::<SubPath>(), Err(error));
        }
        for text in ["a/.berth", ".berth2", "...", "a b"] {
            assert!(text.parse::<SubPath>().is_ok(), "{text}");
        }
    }
}
