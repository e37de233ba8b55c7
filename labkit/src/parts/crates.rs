//! Tools from crates.io, each at the version that is pinned here and with the versions of its own lock file.

use std::process::Command;

use super::{
    LabError,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};

/// A tool and where it comes from.
#[derive(Debug)]
pub(super) struct Crate {
    /// Name of the crate and of its program.
    pub(super) name: &'static str,
    /// The program, in the part's directory.
    pub(super) file: &'static str,
    version: &'static str,
    features: &'static str,
}

/// Without its own updates, which would change what the version says.
pub(super) const NEXTEST: Crate =
    Crate { name: "cargo-nextest", file: "bin/cargo-nextest", version: "0.9.151", features: "default-no-update" };

pub(super) fn inputs(tool: &Crate, inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
    inputs.add("version", tool.version);
    inputs.add("features", tool.features);
    inputs.add("rust", tools.rust()?);
    Ok(())
}

pub(super) fn build(tool: &Crate, shop: &mut Workshop) -> Result<(), LabError> {
    let mut command = Command::new("cargo");
    command.args(["install", tool.name, "--version", tool.version, "--locked", "--no-default-features", "--no-track"]);
    command.args(["--features", tool.features, "--root"]).arg(shop.path(""));
    // In the checkout, for the compiler that it pins; the target directory goes with the part's build.
    command.arg("--target-dir").arg(shop.path("target")).current_dir(source(""));
    // A tool that starts others needs no more than this, and half the time to build.
    command.args(["--config", "profile.release.opt-level=1", "--config", "profile.release.lto=false"]);
    shop.run(command)?;
    let target = shop.path("target");
    std::fs::remove_dir_all(&target).map_err(LabError::file(&target))
}
