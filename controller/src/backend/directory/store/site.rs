//! Where a share is, and how it is spoken to.

use nfs_client::Client;
use volume::{Server, SharePath};

use crate::backend::directory::faults::Faults;
use crate::error::OperationError;
use crate::notices::{Notice, NoticeKind, Notices};

/// One share of one server.
#[derive(Debug)]
pub(crate) struct Site {
    server: Server,
    path: SharePath,
    client: Client,
    faults: Faults,
    notices: Notices,
}

impl Site {
    pub(crate) fn new(server: Server, path: SharePath, client: Client, faults: Faults, notices: Notices) -> Self {
        Self { server, path, client, faults, notices }
    }

    /// Another share of the same server.
    pub(crate) fn beside(&self, path: SharePath) -> Self {
        let (server, client) = (self.server.clone(), self.client.clone());
        Self { server, path, client, faults: self.faults.clone(), notices: self.notices.clone() }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn path(&self) -> &SharePath {
        &self.path
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Tells people something about the share.
    pub(crate) fn tell(&self, kind: NoticeKind, text: String) {
        let (server, share) = (self.server.clone(), self.path.clone());
        self.notices.tell(Notice { server, share, kind, text });
    }

    /// `server:share`
    pub(crate) fn location(&self) -> String {
        format!("{}:{}", self.server, self.path)
    }

    /// `server:path` of something below the share.
    pub(crate) fn at(&self, below: impl AsRef<str>) -> String {
        format!("{}:{}/{}", self.server, self.path.as_str().trim_end_matches('/'), below.as_ref())
    }

    /// The error for something that failed below the share.
    pub(crate) fn failed(
        &self,
        doing: &'static str,
        below: impl AsRef<str>,
        error: nfs_client::Error,
    ) -> OperationError {
        OperationError::Storage { doing, location: self.at(below), source: error }
    }
}
