//! Berth's own image: both programs on an empty file system.

use std::{
    fs,
    path::{Path, PathBuf},
};

use labkit::{
    base::{LabError, checkout},
    oci::{Arch, Config, Image, Tree},
};

use super::binaries::Binaries;

/// Name of the image without its tag, as the chart has it by default.
const REPOSITORY: &str = "localhost/berth";
/// User and group of a container that says nothing else: nobody in particular, as in other images without a base.
const USER: &str = "65532:65532";

/// The image as an OCI archive.
#[derive(Debug, Clone)]
pub struct BerthImage {
    /// Name without its tag.
    pub repository: String,
    /// Tag; derived from the programs, so that a cluster sees a new image exactly when they changed.
    pub tag: String,
    /// The archive.
    pub archive: PathBuf,
    /// The same image under the version that the chart names.
    pub release: PathBuf,
}

impl BerthImage {
    /// Full name.
    pub fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// Size of the archive in megabytes (10⁶ bytes).
    pub fn megabytes(&self) -> Result<f64, LabError> {
        let bytes = fs::metadata(&self.archive).map_err(LabError::file(&self.archive))?.len();
        // Exact for anything below 2^53 bytes; rounded to a kilobyte first, which fits.
        Ok(f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0)
    }
}

/// Writes the image of `binaries` to `target/image/berth.tar`, once under a tag of its contents and once, as
/// `target/image/berth-VERSION.tar`, under the version that the chart names.
pub fn build(binaries: &Binaries) -> Result<BerthImage, LabError> {
    let dir = checkout().join("target/image");
    fs::create_dir_all(&dir).map_err(LabError::file(&dir))?;
    let release = dir.join(format!("berth-{}.tar", env!("CARGO_PKG_VERSION")));
    write(binaries, &release, env!("CARGO_PKG_VERSION"))?;
    let archive = dir.join("berth.tar");
    let tag = contents_tag(binaries)?;
    write(binaries, &archive, &tag)?;
    Ok(BerthImage { repository: REPOSITORY.to_owned(), tag, archive, release })
}

fn write(binaries: &Binaries, path: &Path, tag: &str) -> Result<(), LabError> {
    let programs = [("/berth-controller", binaries.controller()), ("/berth-node", binaries.node())];
    let layer = programs.iter().fold(Tree::default(), |tree, (path, program)| tree.host_file(path, 0o755, program));
    let name = format!("{REPOSITORY}:{tag}");
    // The binaries are those of this machine.
    let image = Image { names: &[&name], architecture: Arch::default(), layers: &[layer], config: config() };
    image.write(path).map(drop)
}

/// How a container of the image starts when nobody says otherwise.
pub(super) fn config() -> Config {
    let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    let labels = [
        label("title", "berth"),
        label("description", "ReadWriteMany volumes for Kubernetes on any NFS server"),
        label("licenses", "Apache-2.0"),
        label("version", env!("CARGO_PKG_VERSION")),
    ];
    let mut config = Config::default();
    config.set_user(Some(USER.to_owned())).set_labels(Some(labels.into()));
    config
}

/// The first characters of a digest over both programs.
fn contents_tag(binaries: &Binaries) -> Result<String, LabError> {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for program in [binaries.controller(), binaries.node()] {
        digest.update(fs::read(&program).map_err(LabError::file(&program))?);
    }
    let mut tag = format!("{:x}", digest.finalize());
    tag.truncate(12);
    Ok(tag)
}
