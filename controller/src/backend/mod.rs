//! What makes volumes out of what a server offers.

pub mod directory;
