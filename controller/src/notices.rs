//! What people should know and nobody has asked about.

use tokio::sync::broadcast;
use volume::{Server, SharePath};

/// How many notices wait for somebody who is slow; the oldest ones are lost beyond.
const WAITING: usize = 64;

/// Something about a share that a person has to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who serves the share.
    pub server: Server,
    /// The share.
    pub share: SharePath,
    /// What it is about.
    pub kind: NoticeKind,
    /// A sentence: what, where, why, and after a semicolon what to do.
    pub text: String,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeKind {
    /// The server lets nobody remove something of deleted volumes, so it keeps taking room.
    TrashStuck,
}

/// Passes notices on to whoever listens; they are in the log whether anybody does or not. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Notices(broadcast::Sender<Notice>);

impl Default for Notices {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Notices {
    pub(crate) fn tell(&self, notice: Notice) {
        let _nobody_listens = self.0.send(notice);
    }

    /// Notices from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Notice> {
        self.0.subscribe()
    }
}
