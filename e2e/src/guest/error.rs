//! What can go wrong with a guest.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::base::LabError;

/// A guest could not be started, reached or used.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The description of the guest makes no sense.
    #[error("{what} `{value}`: {wanted}")]
    Spec {
        /// Which property.
        what: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        wanted: &'static str,
    },
    /// A file of the guest could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A guest's note is not one.
    #[error("{} does not describe a guest", path.display())]
    Record {
        /// The note.
        path: PathBuf,
        /// Where decoding stopped.
        #[source]
        source: serde_json::Error,
    },
    /// Another guest lives in the same directory.
    #[error("the guest {name} already runs (pid {pid})")]
    Running {
        /// Its name.
        name: String,
        /// Its qemu.
        pid: u32,
    },
    /// qemu or a tool beside it failed.
    #[error("host side of a guest")]
    Process(#[source] LabError),
    /// The guest is not there.
    #[error("{why}; its console: {}\n{said}", console.display())]
    Lost {
        /// What was seen.
        why: String,
        /// The end of what qemu and the console said.
        said: String,
        /// The console's log.
        console: PathBuf,
    },
    /// The agent could not be talked to.
    #[error("no talk with the agent at {address}")]
    Agent {
        /// Where it was looked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guest could not start a command.
    #[error("the guest cannot start `{command}`: {why}")]
    Start {
        /// Command line.
        command: String,
        /// The guest's words.
        why: String,
    },
    /// A command took too long and was ended.
    #[error("`{command}` did not end within {seconds} s; it printed: {printed}")]
    Timeout {
        /// Command line.
        command: String,
        /// How long, in seconds.
        seconds: u64,
        /// The end of what it printed.
        printed: String,
    },
    /// A command that had to succeed did not.
    #[error("`{command}` failed with status {status}: {printed}")]
    Failed {
        /// Command line.
        command: String,
        /// Exit status.
        status: i32,
        /// The end of what it printed.
        printed: String,
    },
}

impl GuestError {
    /// For `map_err` on what happened to `path`.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { path, source }
    }
}
