//! Container images without a container engine: an OCI image archive (image-spec v1.1) is a tar file of a few JSON
//! documents and the layers, each stored under its SHA-256. The bytes depend on the contents alone: no times, no users, no
//! order of a directory.

mod layer;
mod tar;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

pub use layer::Layer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::base::hex;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How containers of an image run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Program and its fixed arguments; may be empty where every user names the program.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub command: Vec<String>,
    /// `KEY=VALUE`.
    pub environment: Vec<String>,
    /// `UID:GID`; empty is root.
    pub user: String,
    /// Labels (`org.opencontainers.image.*`).
    pub labels: BTreeMap<String, String>,
}

/// An image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A file of the host could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path does not fit into a tar header (100 bytes).
    #[error("the path `{0}` is too long for an image")]
    LongPath(String),
    /// The name is not a full one. containerd finds an imported image under its full name only.
    #[error("`{0}` is not a full image name such as docker.io/library/busybox:1.36")]
    Name(String),
}

/// Writes the archive of a single-platform image (linux/amd64) called `name`, such as `docker.io/library/busybox:1.36`, and
/// returns the digest of its manifest, `sha256:…`.
pub fn write_archive(path: &Path, name: &str, layers: &[Layer], config: &Config) -> Result<String, OciError> {
    let tag = tag(name)?;
    let mut blobs = BTreeMap::new();
    let mut keep = |bytes: Vec<u8>| {
        let (digest, size) = (digest(&bytes), bytes.len());
        blobs.insert(digest.clone(), bytes);
        (digest, size)
    };
    let mut descriptors = Vec::new();
    for layer in layers {
        let (digest, size) = keep(layer.bytes()?);
        descriptors.push(json!({ "mediaType": LAYER, "digest": digest, "size": size }));
    }
    // Layers are not compressed, so a layer's DiffID is its digest.
    let diff_ids: Vec<&Value> = descriptors.iter().map(|layer| &layer["digest"]).collect();
    let (config_digest, config_size) = keep(document(&image_config(config, &diff_ids)));
    let (manifest_digest, manifest_size) = keep(document(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_digest, "size": config_size },
        "layers": descriptors,
    })));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest_digest,
            "size": manifest_size,
            "platform": { "architecture": "amd64", "os": "linux" },
            "annotations": { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag },
        }],
    });
    pack(path, &document(&index), &blobs)?;
    Ok(manifest_digest)
}

fn image_config(config: &Config, diff_ids: &[&Value]) -> Value {
    let mut run = serde_json::Map::new();
    for (key, words) in [("Entrypoint", &config.entrypoint), ("Cmd", &config.command), ("Env", &config.environment)] {
        if !words.is_empty() {
            run.insert(key.to_owned(), json!(words));
        }
    }
    if !config.user.is_empty() {
        run.insert("User".to_owned(), json!(config.user));
    }
    if !config.labels.is_empty() {
        run.insert("Labels".to_owned(), json!(config.labels));
    }
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": run,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
}

/// Puts the archive in its place at once or not at all.
fn pack(path: &Path, index: &[u8], blobs: &BTreeMap<String, Vec<u8>>) -> Result<(), OciError> {
    let fresh = path.with_extension("new");
    let failed = |source| OciError::File { path: fresh.clone(), source };
    let mut archive = tar::Writer::new(BufWriter::new(File::create(&fresh).map_err(failed)?));
    let mut write = || -> io::Result<()> {
        archive.file("oci-layout", 0o644, &document(&json!({ "imageLayoutVersion": "1.0.0" })))?;
        archive.file("index.json", 0o644, index)?;
        archive.directory("blobs", 0o755)?;
        archive.directory("blobs/sha256", 0o755)?;
        for (digest, bytes) in blobs {
            archive.file(&format!("blobs/{}", digest.replace(':', "/")), 0o644, bytes)?;
        }
        Ok(())
    };
    write().map_err(failed)?;
    archive.finish().and_then(|mut to| to.flush()).map_err(failed)?;
    fs::rename(&fresh, path).map_err(|source| OciError::File { path: path.to_owned(), source })
}

fn document(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(Sha256::digest(bytes)))
}

/// The tag of a full image name.
fn tag(name: &str) -> Result<&str, OciError> {
    let full = |name: &str| {
        let (registry, rest) = name.split_once('/')?;
        let (repository, tag) = rest.rsplit_once(':')?;
        let host = registry == "localhost" || registry.contains(['.', ':']);
        (host && !repository.is_empty() && !tag.is_empty() && !tag.contains('/')).then_some(tag.len())
    };
    full(name).map(|length| &name[name.len() - length..]).ok_or_else(|| OciError::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tool;

    fn sample() -> (Vec<Layer>, Config) {
        let layer = Layer::default().directory("/tmp", 0o1777).bytes_file("/bin/tool", 0o755, b"#!tool".to_vec());
        let config = Config {
            entrypoint: vec!["/bin/tool".into()],
            user: "65532:65532".into(),
            labels: [("org.opencontainers.image.title".to_owned(), "tool".to_owned())].into(),
            ..Config::default()
        };
        (vec![layer], config)
    }

    fn member(archive: &Path, name: &str) -> Vec<u8> {
        Tool::new("tar").arg("-xOf").arg(archive).arg(name).finish().unwrap().stdout
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let home = tempfile::tempdir().unwrap();
        let (layers, config) = sample();
        let paths = ["one.tar", "two.tar"].map(|name| home.path().join(name));
        let digests =
            paths.each_ref().map(|path| write_archive(path, "docker.io/berth/tool:1", &layers, &config).unwrap());
        assert_eq!(digests[0], digests[1]);
        assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_that_digest_and_size() {
        let home = tempfile::tempdir().unwrap();
        let (layers, config) = sample();
        let path = home.path().join("image.tar");
        let returned = write_archive(&path, "docker.io/berth/tool:1", &layers, &config).unwrap();
        let index: Value = serde_json::from_slice(&member(&path, "index.json")).unwrap();
        assert_eq!(index["manifests"][0]["digest"], returned);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/berth/tool:1");
        assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
        let follow = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let bytes = member(&path, &format!("blobs/{}", name.replace(':', "/")));
            assert_eq!(digest(&bytes), name);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes
        };
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).unwrap();
        let image: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(image["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(image["config"]["User"], "65532:65532");
        assert_eq!(image["config"]["Entrypoint"], json!(["/bin/tool"]));
        assert_eq!(image["config"]["Cmd"], Value::Null);
    }

    #[test]
    fn digests_are_sha256() {
        // FIPS 180-2, appendix B.1.
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), known);
    }

    #[test]
    fn short_names_are_refused() {
        for name in ["busybox", "busybox:1", "library/busybox:1", "docker.io/library/busybox", "docker.io/x:"] {
            assert!(matches!(tag(name), Err(OciError::Name(_))), "{name}");
        }
        assert_eq!(tag("localhost/berth:0.1.0").unwrap(), "0.1.0");
        assert_eq!(tag("registry.k8s.io/pause:3.10").unwrap(), "3.10");
        assert_eq!(tag("localhost:5000/a/b:x").unwrap(), "x");
    }
}
