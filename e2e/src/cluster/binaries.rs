//! The product's release binaries: static, built once and used by the image, the tests and the benchmarks alike.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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

fn release(words: &[&str]) -> Result<(), LabError> {
    let cargo = cargo();
    let status = Command::new(&cargo)
        .args(["build", "--release", "--locked", "--target", &target()])
        .args(words)
        // With --target, this leaves build scripts and macros alone.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(checkout())
        .status()
        .map_err(|source| LabError::Start { program: Path::new(&cargo).display().to_string(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(LabError::Command {
        command: format!("cargo build --release {}", words.join(" ")),
        status: status.to_string(),
        output: "see cargo's messages above".to_owned(),
    })
}
