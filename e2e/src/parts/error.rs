//! What can go wrong while parts are built.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::base::LabError;

/// A part could not be built or found.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A program could not be started at all.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step of a build failed.
    #[error("{part}: `{command}` failed ({status}); its log: {}\n{said}", log.display())]
    Step {
        /// The part.
        part: &'static str,
        /// Command line.
        command: String,
        /// Exit status.
        status: String,
        /// Everything that was printed.
        log: PathBuf,
        /// The end of it.
        said: String,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A short command failed.
    #[error("tool of the lab")]
    Tool(#[source] LabError),
    /// An image could not be written.
    #[error("image")]
    Image(#[source] LabError),
    /// A build did not bring forth what it should.
    #[error("{part}: {why}")]
    Odd {
        /// The part.
        part: &'static str,
        /// What was found instead.
        why: String,
    },
    /// Debian's archive, or the mirror, no longer has what the part is made from.
    #[error("{part}: Debian no longer serves it; what apt said: {}", log.display())]
    NotServed {
        /// The part.
        part: &'static str,
        /// Everything that was printed.
        log: PathBuf,
    },
    /// Debian packages are missing and cannot be installed from here.
    #[error("the lab needs these packages: {}; {why}, so install them first", packages.join(" "))]
    Packages {
        /// Names of the packages.
        packages: Vec<&'static str>,
        /// Why this program does not.
        why: &'static str,
    },
    /// Parts were asked for that are not there.
    #[error("not built: {}; `lab parts` builds what is missing", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// There is no place for the cache.
    #[error("no place for the lab's cache: set BERTH_LAB_CACHE or HOME")]
    NoHome,
}

impl PartError {
    /// For `map_err` on what happened to `path`.
    pub(super) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { path, source }
    }
}
