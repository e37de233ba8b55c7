//! Ganesha's configuration file.

use std::{net::IpAddr, path::Path};

/// Who becomes nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Squash {
    /// Nobody does.
    #[default]
    None,
    /// User 0.
    Root,
    /// Everybody.
    All,
}

/// How a test's Ganesha behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaneshaOptions {
    /// Seconds a client lives without a sign of life.
    pub lease_seconds: u32,
    /// Seconds after a start in which state can only be reclaimed; `None` means no grace period at all. Ganesha ends it
    /// early when every client it knew of has come back.
    pub grace_seconds: Option<u32>,
    /// Who becomes nobody.
    pub squash: Squash,
    /// Only callers from ports below 1024 may use the export.
    pub privileged_port: bool,
}

impl Default for GaneshaOptions {
    fn default() -> Self {
        Self { lease_seconds: 60, grace_seconds: None, squash: Squash::None, privileged_port: false }
    }
}

/// A configuration file of Ganesha with one export: NFSv4.1 and 4.2 over TCP, without the protocols beside it.
#[derive(Debug, Clone)]
pub struct GaneshaConfig<'a> {
    /// The only address it listens on; all of them without one.
    pub address: Option<IpAddr>,
    /// The port it listens on.
    pub port: u16,
    /// The directory that is exported.
    pub export: &'a Path,
    /// The path that clients know it by.
    pub pseudo: &'a str,
    /// Where it remembers its clients over a restart; the directory must exist.
    pub recovery: &'a Path,
    /// How it behaves.
    pub options: &'a GaneshaOptions,
}

impl GaneshaConfig<'_> {
    /// The file's text.
    pub fn render(&self) -> String {
        let squash = match self.options.squash {
            Squash::None => "No_Root_Squash",
            Squash::Root => "Root_Squash",
            Squash::All => "All_Squash",
        };
        let bind = self.address.map(|address| format!("Bind_addr = {address}; ")).unwrap_or_default();
        format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {}; MNT_Port = 0; {bind}\
             Enable_NLM = false; Enable_RQUOTA = false; }}\n\
             NFSv4 {{ Graceless = {}; Grace_Period = {}; Lease_Lifetime = {}; RecoveryBackend = fs; \
             RecoveryRoot = \"{}\"; Minor_Versions = 1, 2; }}\n\
             EXPORT {{ Export_Id = 1; Path = \"{}\"; Pseudo = \"{}\"; Access_Type = RW; Squash = {squash}; \
             SecType = sys; Protocols = 4; PrivilegedPort = {}; FSAL {{ Name = VFS; }} }}\n",
            self.port,
            self.options.grace_seconds.is_none(),
            self.options.grace_seconds.unwrap_or(0),
            self.options.lease_seconds,
            self.recovery.display(),
            self.export.display(),
            self.pseudo,
            self.options.privileged_port,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn render(address: Option<IpAddr>, options: &GaneshaOptions) -> String {
        let (export, recovery) = (Path::new("/e"), Path::new("/r"));
        GaneshaConfig { address, port: 2049, export, pseudo: "/share", recovery, options }.render()
    }

    #[test]
    fn a_grace_period_is_either_given_or_switched_off() {
        assert!(render(None, &GaneshaOptions::default()).contains("Graceless = true"));
        let graceful = render(None, &GaneshaOptions { grace_seconds: Some(7), ..GaneshaOptions::default() });
        assert!(graceful.contains("Graceless = false; Grace_Period = 7;"));
    }

    #[test]
    fn an_address_is_bound_only_if_it_is_given() {
        let options = GaneshaOptions { squash: Squash::Root, privileged_port: true, ..GaneshaOptions::default() };
        let bound = render(Some(Ipv4Addr::LOCALHOST.into()), &options);
        for part in ["Bind_addr = 127.0.0.1;", "Pseudo = \"/share\"", "Root_Squash", "PrivilegedPort = true"] {
            assert!(bound.contains(part), "{part}: {bound}");
        }
        assert!(!render(None, &options).contains("Bind_addr"));
    }
}
