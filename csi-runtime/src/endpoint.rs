//! The unix socket on which a CSI process is reached.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::UnixListener;
use tonic::transport::Channel;

/// Longest path that fits `sockaddr_un` with its terminating NUL (unix(7)).
const LONGEST_PATH: usize = 107;

/// Address of a CSI socket, written `unix:///absolute/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    path: PathBuf,
}

/// Why a text is no endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Another scheme, or a relative path.
    #[error("endpoint \"{0}\" is not a unix socket: write unix:///absolute/path.sock")]
    NotUnix(String),
    /// The kernel would refuse the path.
    #[error("endpoint \"{0}\" is longer than the {LONGEST_PATH} bytes that a unix socket's path may have")]
    TooLong(String),
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}")]
pub struct BindError {
    path: String,
    #[source]
    source: io::Error,
}

/// A bound socket, not yet served.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
}

impl Endpoint {
    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Listens on the socket, which only the process's own user may open (mode 0600). A socket that an earlier process left behind is
    /// replaced; anything else at that path is left alone and is an error.
    ///
    /// Must be called inside a tokio runtime.
    pub fn bind(&self) -> Result<Listener, BindError> {
        self.listen().map(|inner| Listener { inner }).map_err(|source| BindError { path: self.to_string(), source })
    }

    fn listen(&self) -> io::Result<UnixListener> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&self.path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "something that is no socket is in its place",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&self.path)?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Connects to whoever serves the socket.
    pub async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        tonic::transport::Endpoint::from_shared(self.to_string())?.connect().await
    }
}

impl Listener {
    pub(crate) fn into_inner(self) -> UnixListener {
        self.inner
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(EndpointError::NotUnix(text.to_owned()));
        }
        if path.len() > LONGEST_PATH {
            return Err(EndpointError::TooLong(text.to_owned()));
        }
        Ok(Self { path: PathBuf::from(path) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        text.parse()
    }

    #[test]
    fn a_unix_url_and_a_bare_path_name_the_same_socket() {
        assert_eq!(parse("unix:///csi/csi.sock"), parse("/csi/csi.sock"));
        assert_eq!(parse("unix:///csi/csi.sock").unwrap().to_string(), "unix:///csi/csi.sock");
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["", "tcp://127.0.0.1:1", "unix://relative.sock", "csi.sock", "unix:///dir/"] {
            assert_eq!(parse(text), Err(EndpointError::NotUnix(text.to_owned())), "{text}");
        }
        let long = format!("unix:///{}", "a".repeat(120));
        assert_eq!(parse(&long), Err(EndpointError::TooLong(long.clone())));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = parse(&format!("unix://{}/csi.sock", dir.path().display())).unwrap();
        let first = endpoint.bind().unwrap();
        let _second = endpoint.bind().unwrap();
        drop(first);
        assert_eq!(fs::metadata(endpoint.path()).unwrap().permissions().mode() & 0o777, 0o600);

        let occupied = parse(&format!("{}/file", dir.path().display())).unwrap();
        fs::write(occupied.path(), "precious").unwrap();
        assert!(occupied.bind().is_err());
        assert_eq!(fs::read_to_string(occupied.path()).unwrap(), "precious");
    }
}
