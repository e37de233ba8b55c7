//! What can go wrong with the lab and the cluster, and where to look then.

use std::path::PathBuf;

/// A step of the lab failed. Each variant names what was tried and, where a log exists, the file to read.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// Program that was to run.
        program: String,
        /// Why the kernel refused.
        #[source]
        source: std::io::Error,
    },
    /// A program ran and said no.
    #[error("{command} failed ({status}): {output}")]
    Command {
        /// Command line as a person would type it.
        command: String,
        /// Exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A state was not reached in time.
    #[error("{what} did not happen within {seconds} s; last seen: {last}")]
    Timeout {
        /// The state that was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The last observation.
        last: String,
    },
    /// A part of the lab died or never became ready.
    #[error("{part} is not running: {why}; its log: {}", log.display())]
    Part {
        /// Part of the lab.
        part: String,
        /// What was seen.
        why: String,
        /// Its log.
        log: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that says itself why it failed: an answer that cannot be read, a certificate that cannot be made.
    #[error("{what}")]
    Because {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A step of building a part failed.
    #[error("{part}: `{command}` failed ({status}); its log: {}\n{said}", log.display())]
    Step {
        /// The part.
        part: String,
        /// Command line.
        command: String,
        /// Exit status.
        status: String,
        /// Everything that was printed.
        log: PathBuf,
        /// The end of it.
        said: String,
    },
    /// Debian's archive, or the mirror, no longer has what a part is made from.
    #[error("{part}: Debian no longer serves it; what apt said: {}", log.display())]
    NotServed {
        /// The part.
        part: String,
        /// Everything that was printed.
        log: PathBuf,
    },
    /// The agent in a guest could not be talked to.
    #[error("no talk with the agent of guest {guest} at {address}")]
    Agent {
        /// Name of the guest.
        guest: String,
        /// Where it was looked for.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The surroundings do not allow what was asked.
    #[error("{0}")]
    Precondition(String),
    /// A scenario or a check found something other than what must hold.
    #[error("{0}")]
    Unmet(String),
}

/// Joins an error and its sources by `: `, for people.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

impl LabError {
    /// For `map_err` on what an error that is not the lab's says about `what`.
    pub fn because<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Because { what, source: source.into() }
    }

    /// For `map_err` on reading an answer of `whom` that is not what it documents.
    pub fn reply(whom: impl std::fmt::Display) -> impl FnOnce(serde_json::Error) -> Self {
        Self::because(format!("unexpected reply from {whom}"))
    }

    /// A file error at `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_prints_every_source_once() {
        let error = LabError::file("/x")(std::io::Error::other("no such thing"));
        assert_eq!(chain(&error), "/x: no such thing");
    }
}
