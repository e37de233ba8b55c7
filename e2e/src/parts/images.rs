//! Image archives that the lab's nodes import, under the names that manifests use.

use std::path::Path;

use super::{
    BuiltParts, Part, PartError, debian, rustc,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};
use crate::{
    base::Tool,
    oci::{Config, Layer, write_archive},
};

pub(super) const FILE: &str = "image.tar";
const PAUSE: &str = "guest/pause.rs";

/// The pod sandbox, by the name that containerd 2.4 asks for.
pub const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Debian's static busybox.
pub const BUSYBOX_IMAGE: &str = "docker.io/library/busybox:1.36";

pub(super) fn inputs(inputs: &mut Inputs, tools: &Tools) -> Result<(), PartError> {
    for name in [PAUSE_IMAGE, BUSYBOX_IMAGE] {
        inputs.add("name", name);
    }
    // How an image is laid out is decided by this very code.
    inputs.add("code", include_bytes!("images.rs"));
    inputs.add_file(&source(PAUSE))?;
    rustc::inputs(inputs, tools)
}

pub(super) fn pause(shop: &mut Workshop<'_>) -> Result<(), PartError> {
    let program = shop.path("pause");
    rustc::build(shop, PAUSE, &program)?;
    let layer = Layer::default().host_file("/pause", 0o755, &program);
    let config = Config { entrypoint: vec!["/pause".to_owned()], user: "65535:65535".to_owned(), ..Config::default() };
    write(shop, PAUSE_IMAGE, &[layer], &config)
}

pub(super) fn busybox(shop: &Workshop<'_>, needs: &BuiltParts) -> Result<(), PartError> {
    let layer = userland(&needs.path(Part::Debian)?)?;
    let config = Config { command: vec!["sh".to_owned()], environment: vec![path()], ..Config::default() };
    write(shop, BUSYBOX_IMAGE, &[layer], &config)
}

/// Busybox with a link for each of its programs, and the few files that a user database needs.
fn userland(debian: &Path) -> Result<Layer, PartError> {
    let program = debian.join(debian::BUSYBOX);
    let list = Tool::new(&program).arg("--list").output().map_err(PartError::Tool)?;
    let users = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    let groups = b"root:x:0:\nnogroup:x:65534:\n";
    let layer = Layer::default()
        .host_file("/bin/busybox", 0o755, &program)
        .bytes_file("/etc/passwd", 0o644, users.to_vec())
        .bytes_file("/etc/group", 0o644, groups.to_vec())
        .directory("/root", 0o700)
        .directory("/tmp", 0o1777)
        .directory("/var/tmp", 0o1777);
    Ok(list
        .lines()
        .filter(|applet| *applet != "busybox")
        .fold(layer, |layer, applet| layer.link(&format!("/bin/{applet}"), "busybox")))
}

fn path() -> String {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
}

fn write(shop: &Workshop<'_>, name: &str, layers: &[Layer], config: &Config) -> Result<(), PartError> {
    write_archive(&shop.path(FILE), name, layers, config).map(drop).map_err(PartError::Image)
}
