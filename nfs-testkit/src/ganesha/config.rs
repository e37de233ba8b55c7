//! Ganesha's configuration file.

use std::{net::Ipv4Addr, path::Path};

/// What becomes of user 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Squash {
    /// It stays root.
    #[default]
    None,
    /// It becomes nobody.
    Root,
}

/// Where a Ganesha listens, and what it exports there.
#[derive(Debug, Clone, Copy)]
pub struct GaneshaPlace<'a> {
    /// Address that it listens on.
    pub address: Ipv4Addr,
    /// Port that it listens on.
    pub port: u16,
    /// The directory that is exported.
    pub directory: &'a Path,
    /// The path under which clients find it.
    pub pseudo: &'a str,
    /// Where it keeps what lets clients recover; an existing directory.
    pub recovery: &'a Path,
}

/// How a test's Ganesha behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaneshaOptions {
    /// Seconds a client lives without a sign of life.
    pub lease_seconds: u32,
    /// Seconds after a start in which state can only be reclaimed; `None` means no grace period at all.
    pub grace_seconds: Option<u32>,
    /// What becomes of user 0.
    pub squash: Squash,
    /// Only callers from ports below 1024 may use the export.
    pub privileged_port: bool,
}

impl Default for GaneshaOptions {
    fn default() -> Self {
        Self { lease_seconds: 60, grace_seconds: None, squash: Squash::None, privileged_port: false }
    }
}

impl GaneshaOptions {
    /// The configuration file of a server at `place` with these options.
    pub fn render(&self, place: GaneshaPlace<'_>) -> String {
        let GaneshaPlace { address, port, directory, pseudo, recovery } = place;
        let squash = match self.squash {
            Squash::None => "No_Root_Squash",
            Squash::Root => "Root_Squash",
        };
        format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; MNT_Port = 0; Bind_addr = {address}; \
             Enable_NLM = false; Enable_RQUOTA = false; }}\n\
             NFSv4 {{ Graceless = {}; Grace_Period = {}; Lease_Lifetime = {}; RecoveryBackend = fs; \
             RecoveryRoot = \"{}\"; Minor_Versions = 1,2; }}\n\
             EXPORT {{ Export_Id = 1; Path = \"{}\"; Pseudo = \"{pseudo}\"; Access_Type = RW; Squash = {squash}; \
             SecType = sys; PrivilegedPort = {}; FSAL {{ Name = VFS; }} }}\n",
            self.grace_seconds.is_none(),
            self.grace_seconds.unwrap_or(0),
            self.lease_seconds,
            recovery.display(),
            directory.display(),
            self.privileged_port,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_was_asked_for() {
        let (directory, recovery) = (Path::new("/a b"), Path::new("/r"));
        let place = GaneshaPlace { address: Ipv4Addr::LOCALHOST, port: 2049, directory, pseudo: "/export", recovery };
        let render = |options: GaneshaOptions| options.render(place);
        assert!(render(GaneshaOptions::default()).contains("Path = \"/a b\"; Pseudo = \"/export\";"));
        assert!(render(GaneshaOptions::default()).contains("Graceless = true"));
        let graceful = render(GaneshaOptions { grace_seconds: Some(7), ..GaneshaOptions::default() });
        assert!(graceful.contains("Graceless = false; Grace_Period = 7;"));
    }
}
