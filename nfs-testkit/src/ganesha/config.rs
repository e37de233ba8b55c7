//! Ganesha's configuration file.

use std::path::Path;

/// What becomes of user 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Squash {
    /// It stays root.
    #[default]
    None,
    /// It becomes nobody.
    Root,
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
    pub(super) fn render(&self, port: u16, export: &Path, recovery: &Path) -> String {
        let squash = match self.squash {
            Squash::None => "No_Root_Squash",
            Squash::Root => "Root_Squash",
        };
        format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; MNT_Port = 0; Bind_addr = 127.0.0.1; \
             Enable_NLM = false; Enable_RQUOTA = false; }}\n\
             NFSv4 {{ Graceless = {}; Grace_Period = {}; Lease_Lifetime = {}; RecoveryBackend = fs; \
             RecoveryRoot = {}; Minor_Versions = 1,2; }}\n\
             EXPORT {{ Export_Id = 1; Path = {}; Pseudo = /export; Access_Type = RW; Squash = {squash}; \
             SecType = sys; PrivilegedPort = {}; FSAL {{ Name = VFS; }} }}\n",
            self.grace_seconds.is_none(),
            self.grace_seconds.unwrap_or(0),
            self.lease_seconds,
            recovery.display(),
            export.display(),
            self.privileged_port,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_is_either_given_or_switched_off() {
        let render = |options: GaneshaOptions| options.render(2049, Path::new("/e"), Path::new("/r"));
        assert!(render(GaneshaOptions::default()).contains("Graceless = true"));
        let graceful = render(GaneshaOptions { grace_seconds: Some(7), ..GaneshaOptions::default() });
        assert!(graceful.contains("Graceless = false; Grace_Period = 7;"));
    }
}
