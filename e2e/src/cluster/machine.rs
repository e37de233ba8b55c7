//! A guest of the lab at its place in the network.

use std::{ops::Deref, path::Path};

use labkit::guest::Guest;

use super::network::Nic;

/// A running guest with its place; it is used as the guest that it is.
#[derive(Debug)]
pub struct Machine {
    nic: Nic,
    guest: Guest,
}

impl Machine {
    /// A booted guest at its place.
    pub fn new(guest: Guest, nic: Nic) -> Self {
        Self { nic, guest }
    }

    /// The guest whose files are in `dir`, if it runs.
    pub fn attach(nic: Nic, dir: &Path) -> Option<Self> {
        Guest::attach(dir).ok().filter(Guest::alive).map(|guest| Self { nic, guest })
    }

    /// Its place in the lab's network.
    pub fn nic(&self) -> &Nic {
        &self.nic
    }
}

impl Deref for Machine {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}
