//! The product's release binaries: static, built once and used by the image, the tests and the benchmarks alike.

use std::{ffi::OsStr, path::PathBuf, process::Command};

use labkit::base::{LabError, cargo, checkout};

/// The target that static binaries are built for: this machine's.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Static release binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Builds both programs, or finds them fresh.
    pub fn build() -> Result<Self, LabError> {
        release(&["--package", "controller", "--package", "node-plugin"])?;
        Ok(Self { dir: checkout().join("target").join(target()).join("release") })
    }

    /// `berth-controller`.
    pub fn controller(&self) -> PathBuf {
        self.dir.join("berth-controller")
    }

    /// `berth-node`.
    pub fn node(&self) -> PathBuf {
        self.dir.join("berth-node")
    }

    /// Builds and returns the load generator, static as well.
    pub fn load_generator(&self) -> Result<PathBuf, LabError> {
        release(&["--package", "e2e", "--features", "load", "--bin", "lab-load"])?;
        Ok(self.dir.join("lab-load"))
    }
}

/// Builds the controller with its fault points (`BERTH_ABORT_BEFORE`), which no release has: unoptimised, and the same build
/// as for the tests of the ladder.
pub fn with_fault_points() -> Result<PathBuf, LabError> {
    let words = ["build", "--locked", "--workspace", "--all-features", "--bin=berth-controller", "--test=process"];
    built(Command::new(cargo()).args(words))?;
    Ok(checkout().join("target/debug/berth-controller"))
}

fn release(words: &[&str]) -> Result<(), LabError> {
    let mut command = Command::new(cargo());
    command.args(["build", "--release", "--locked", "--target", &target()]).args(words);
    // With --target, this leaves build scripts and macros alone.
    built(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))
}

/// Runs cargo in the checkout, showing its own progress.
fn built(command: &mut Command) -> Result<(), LabError> {
    let shown = |text: &OsStr| text.to_string_lossy().into_owned();
    let program = shown(command.get_program());
    let status = command.current_dir(checkout()).status();
    let status = status.map_err(|source| LabError::Start { program: program.clone(), source })?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<String> = command.get_args().map(shown).collect();
    Err(LabError::Command {
        command: format!("{program} {}", words.join(" ")),
        status: status.to_string(),
        output: "see cargo's messages above".to_owned(),
    })
}
