//! Container images without a container engine: an OCI image archive (image-spec v1.1) is a tar file of a few JSON
//! documents and the layers, each stored under its SHA-256. The bytes depend on the contents alone: no times, no users, no
//! order of a directory.

mod tree;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

pub use oci_spec::image::{Arch, Config};
use oci_spec::{
    OciSpecError,
    image::{
        ANNOTATION_REF_NAME, Descriptor, ImageConfiguration, ImageIndexBuilder, ImageManifestBuilder, MediaType,
        OciLayoutBuilder, Os, PlatformBuilder, RootFs, SCHEMA_VERSION, Sha256Digest,
    },
};
use serde::Serialize;
use sha2::{Digest, Sha256};
pub use tree::Tree;

use crate::base::LabError;

/// Annotation by which containerd names an image that it imports.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The image that an archive holds: programs of one architecture, under full names such as
/// `docker.io/library/busybox:1.36`.
#[derive(Debug)]
pub struct Image<'a> {
    /// Full names with their tags.
    pub names: &'a [&'a str],
    /// Processors that its programs run on.
    pub architecture: Arch,
    /// Its files, lowest layer first.
    pub layers: &'a [Tree],
    /// How its containers run.
    pub config: Config,
}

impl Image<'_> {
    /// Puts the image's archive in its place at once or not at all, and returns the digest of its manifest, `sha256:…`.
    pub fn write(self, path: &Path) -> Result<String, LabError> {
        let mut archive = Archive::default();
        let manifest = archive.image(self)?;
        let fresh = path.with_extension("new");
        let to = BufWriter::new(File::create(&fresh).map_err(LabError::file(&fresh))?);
        archive.tree.write(to)?.flush().map_err(LabError::file(&fresh))?;
        fs::rename(&fresh, path).map_err(LabError::file(path))?;
        Ok(manifest)
    }
}

/// An OCI image layout that grows.
#[derive(Default)]
struct Archive {
    tree: Tree,
}

impl Archive {
    fn image(&mut self, Image { names, architecture, layers, config }: Image<'_>) -> Result<String, LabError> {
        let layers = layers.iter().map(|layer| self.blob(MediaType::ImageLayer, layer.write(Vec::new())?));
        let layers = layers.collect::<Result<Vec<Descriptor>, LabError>>()?;
        // Layers are not compressed, so a layer's DiffID is its digest.
        let mut rootfs = RootFs::default();
        rootfs.set_diff_ids(layers.iter().map(|layer| layer.digest().to_string()).collect());
        let mut image = ImageConfiguration::default();
        image.set_architecture(architecture.clone()).set_os(Os::Linux).set_config(Some(config)).set_rootfs(rootfs);
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(self.blob(MediaType::ImageConfig, document(&image)?)?)
            .layers(layers)
            .build()
            .map_err(malformed)?;
        let mut manifest = self.blob(MediaType::ImageManifest, document(&manifest)?)?;
        let digest = manifest.digest().to_string();
        manifest.set_platform(Some(
            PlatformBuilder::default().architecture(architecture).os(Os::Linux).build().map_err(malformed)?,
        ));
        let named = names.iter().map(|name| {
            let mut manifest = manifest.clone();
            let names = [(CONTAINERD_NAME, *name), (ANNOTATION_REF_NAME, tag(name)?)];
            manifest.set_annotations(Some(names.map(|(key, value)| (key.to_owned(), value.to_owned())).into()));
            Ok(manifest)
        });
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(named.collect::<Result<Vec<Descriptor>, LabError>>()?)
            .build()
            .map_err(malformed)?;
        self.file("index.json", document(&index)?);
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0".to_owned()).build().map_err(malformed)?;
        self.file("oci-layout", document(&layout)?);
        Ok(digest)
    }

    fn blob(&mut self, kind: MediaType, bytes: Vec<u8>) -> Result<Descriptor, LabError> {
        let digest = format!("{:x}", Sha256::digest(&bytes));
        let descriptor = Descriptor::new(kind, bytes.len() as u64, digest.parse::<Sha256Digest>().map_err(malformed)?);
        self.file(&format!("blobs/sha256/{digest}"), bytes);
        Ok(descriptor)
    }

    fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.tree = std::mem::take(&mut self.tree).bytes_file(path, 0o644, bytes);
    }
}

fn malformed(why: OciSpecError) -> LabError {
    LabError::File { path: "a document of an image".into(), source: io::Error::other(why) }
}

/// A document's bytes, by way of a value that sorts its keys: the types themselves keep labels and annotations in an order
/// that differs from run to run.
fn document(value: &impl Serialize) -> Result<Vec<u8>, LabError> {
    let value = serde_json::to_value(value).map_err(LabError::reply("a document of an image"))?;
    Ok(value.to_string().into_bytes())
}

/// The tag of a full image name.
fn tag(name: &str) -> Result<&str, LabError> {
    let full = |name: &str| {
        let (registry, rest) = name.split_once('/')?;
        let (repository, tag) = rest.rsplit_once(':')?;
        let host = registry == "localhost" || registry.contains(['.', ':']);
        (host && !repository.is_empty() && !tag.is_empty() && !tag.contains('/')).then_some(tag.len())
    };
    // containerd finds an imported image under its full name only.
    let why = || format!("`{name}` is not a full image name such as docker.io/library/busybox:1.36");
    full(name).map(|length| &name[name.len() - length..]).ok_or_else(|| LabError::Precondition(why()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tool;

    const NAME: &str = "docker.io/berth/tool:1";
    const ALIAS: &str = "docker.io/berth/alias:2";

    fn write(path: &Path) -> String {
        let tree = Tree::default().directory("/tmp", 0o1777).bytes_file("/bin/tool", 0o755, b"#!tool".to_vec());
        let mut config = Config::default();
        let labels = ["title", "version", "licenses", "source", "vendor", "url"];
        config
            .set_entrypoint(Some(vec!["/bin/tool".to_owned()]))
            .set_user(Some("65532:65532".to_owned()))
            .set_labels(Some(labels.map(|key| (key.to_owned(), "tool".to_owned())).into()));
        Image { names: &[NAME, ALIAS], architecture: Arch::ARM64, layers: &[tree], config }.write(path).unwrap()
    }

    fn member(archive: &Path, name: &str) -> Vec<u8> {
        Tool::new("tar").arg("-xOf").arg(archive).arg(name).finish().unwrap().stdout
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let home = tempfile::tempdir().unwrap();
        let paths = ["one.tar", "two.tar"].map(|name| home.path().join(name));
        assert_eq!(write(&paths[0]), write(&paths[1]));
        assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_that_digest_and_size() {
        use serde_json::{Value, json};
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("image.tar");
        let returned = write(&path);
        let read = |name: &str| -> Value { serde_json::from_slice(&member(&path, name)).unwrap() };
        assert_eq!(read("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
        let index = read("index.json");
        assert_eq!(index["manifests"][0]["digest"], returned);
        let annotations = json!({ "io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "1" });
        assert_eq!(index["manifests"][0]["annotations"], annotations);
        assert_eq!(index["manifests"][1]["annotations"]["io.containerd.image.name"], ALIAS);
        assert_eq!(index["manifests"][1]["digest"], returned);
        assert_eq!(index["manifests"][0]["platform"], json!({ "architecture": "arm64", "os": "linux" }));
        let digest = |bytes: &[u8]| format!("sha256:{:x}", Sha256::digest(bytes));
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
        assert_eq!(image["rootfs"], json!({ "type": "layers", "diff_ids": [digest(&layer)] }));
        assert_eq!((&image["architecture"], &image["os"]), (&json!("arm64"), &json!("linux")));
        assert_eq!(image["config"]["User"], "65532:65532");
        assert_eq!(image["config"]["Entrypoint"], json!(["/bin/tool"]));
        assert_eq!(image["config"]["Cmd"], Value::Null);
    }

    #[test]
    fn short_names_are_refused() {
        for name in ["busybox", "busybox:1", "library/busybox:1", "docker.io/library/busybox", "docker.io/x:"] {
            assert!(matches!(tag(name), Err(LabError::Precondition(_))), "{name}");
        }
        assert_eq!(tag("localhost/berth:0.1.0").unwrap(), "0.1.0");
        assert_eq!(tag("registry.k8s.io/pause:3.10").unwrap(), "3.10");
        assert_eq!(tag("localhost:5000/a/b:x").unwrap(), "x");
    }
}
