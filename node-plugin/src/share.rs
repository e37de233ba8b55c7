//! A share, and a volume of it, as the node mounts them.

use std::fmt::Write as _;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use volume::mount_options::MountAttributes;
use volume::{MountOptions, Server, SharePath, SubPath};

/// What shares one superblock: the same server, path and options.
#[derive(Debug, Clone)]
pub struct Share {
    /// Who serves it.
    pub server: Server,
    /// Its path there.
    pub path: SharePath,
    /// Options, of which those of the superblock count here.
    pub options: MountOptions,
    /// Whether symbolic links in its path are followed: those above a share are the administrator's, those below it may be a pod's.
    pub follows_links: bool,
    /// Of all that is above: it is asked for many times in a publish.
    pool_name: String,
}

/// What a publish is to bring about.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which share.
    pub share: Share,
    /// Which directory of it; none: the whole share.
    pub below: Option<SubPath>,
    /// With which flags.
    pub attributes: MountAttributes,
    /// Where.
    pub target: PathBuf,
}

impl Share {
    /// A share, which stays as it is made: its place in the pool follows from all of this.
    pub fn new(server: Server, path: SharePath, options: MountOptions, follows_links: bool) -> Self {
        let mut hash = Sha256::new();
        let links = if follows_links { "" } else { "without links" };
        for part in [&server.to_string(), path.as_str(), &options.pool_key(), links] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let pool_name = hash.finalize().iter().take(16).fold(String::new(), |mut name, byte| {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
            name
        });
        Self { server, path, options, follows_links, pool_name }
    }

    /// `host:/path`, as the kernel is given it and the mount table shows it. Without the port: that is an option.
    pub fn location(&self) -> String {
        self.locate(self.path.as_str())
    }

    /// `host:/path` of a directory of the share.
    pub fn location_of(&self, below: Option<&SubPath>) -> String {
        below.map_or_else(|| self.location(), |below| self.locate(&self.path.join(below)))
    }

    fn locate(&self, path: &str) -> String {
        let host = self.server.host();
        if host.contains(':') { format!("[{host}]:{path}") } else { format!("{host}:{path}") }
    }

    /// File name of the share's mount in the pool: the same for every volume that can use it, and different for all others.
    pub fn pool_name(&self) -> &str {
        &self.pool_name
    }
}

impl Wanted {
    /// `host:/path` of what is wanted.
    pub fn location(&self) -> String {
        self.share.location_of(self.below.as_ref())
    }

    /// The volume's directory as a share of its own, where the server does not let the share be mounted as a whole; none if its path is too long.
    pub fn alone(&self) -> Option<Share> {
        let Some(below) = &self.below else { return Some(self.share.clone()) };
        let path = self.share.path.join(below).parse().ok()?;
        Some(Share::new(self.share.server.clone(), path, self.share.options.clone(), false))
    }
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
