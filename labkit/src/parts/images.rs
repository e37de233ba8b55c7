//! Image archives that the lab's nodes import, under the names that manifests use.

use std::path::Path;

use super::{
    BuiltParts, LabError, Part, debian, rustc,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};
use crate::{
    base::Tool,
    oci::{Arch, Config, Image, Tree},
};

pub(super) const FILE: &str = "image.tar";
const PAUSE: &str = "guest/pause.rs";

/// The pod sandbox, by the name that containerd 2.4 asks for.
pub const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Debian's static busybox.
pub const BUSYBOX_IMAGE: &str = "docker.io/library/busybox:1.36";
/// Where its shell looks for programs.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn inputs(inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
    for name in [PAUSE_IMAGE, BUSYBOX_IMAGE] {
        inputs.add("name", name);
    }
    // How an image is laid out is decided by this very code and what it calls.
    for file in [PAUSE, "src/parts/images.rs", "src/oci/mod.rs", "src/oci/tree.rs"] {
        inputs.add_file(&source(file))?;
    }
    rustc::inputs(inputs, tools)
}

pub(super) fn pause(shop: &mut Workshop) -> Result<(), LabError> {
    let program = shop.path("pause");
    rustc::build(shop, PAUSE, &program)?;
    let mut config = Config::default();
    config.set_entrypoint(Some(vec!["/pause".to_owned()])).set_user(Some("65535:65535".to_owned()));
    write(shop, &[PAUSE_IMAGE], Tree::default().host_file("/pause", 0o755, &program), config)
}

pub(super) fn busybox(shop: &Workshop, needs: &BuiltParts) -> Result<(), LabError> {
    let layer = userland(&needs.path(Part::DEBIAN)?)?;
    let mut config = Config::default();
    config.set_cmd(Some(vec!["sh".to_owned()])).set_env(Some(vec![PATH.to_owned()]));
    write(shop, &[BUSYBOX_IMAGE], layer, config)
}

/// Images that Kubernetes' storage tests run. Of all but agnhost they want a shell and its tools.
const SUITE: &[&str] = &["agnhost", "busybox", "glibc-dns-testing", "nginx"];

/// One image under each name that the tests of this Kubernetes have for those of [`SUITE`]: busybox, and agnhost beside it.
pub(super) fn suite(shop: &Workshop, needs: &BuiltParts) -> Result<(), LabError> {
    let listed = Tool::new(needs.path(Part::E2E_TEST)?).arg("--list-images").output()?;
    let mut names: Vec<&str> = listed.lines().filter(|name| SUITE.contains(&repository(name))).collect();
    names.sort_unstable();
    if let Some(missing) = SUITE.iter().find(|wanted| !names.iter().any(|name| repository(name) == **wanted)) {
        return Err(shop.odd(format!("the tests name no image called {missing}")));
    }
    let layer = userland(&needs.path(Part::DEBIAN)?)?.host_file("/agnhost", 0o755, &needs.path(Part::AGNHOST)?);
    let mut config = Config::default();
    config.set_env(Some(vec![PATH.to_owned()]));
    config.set_entrypoint(Some(vec!["/agnhost".to_owned()])).set_cmd(Some(vec!["pause".to_owned()]));
    write(shop, &names, layer, config)
}

/// The last word of a full image name, without its tag.
fn repository(name: &str) -> &str {
    let word = name.rsplit('/').next().unwrap_or(name);
    word.split(':').next().unwrap_or(word)
}

/// Busybox with a link for each of its programs, and the few files that a user database needs.
fn userland(debian: &Path) -> Result<Tree, LabError> {
    let program = debian.join(debian::BUSYBOX);
    let list = Tool::new(&program).arg("--list").output()?;
    let users = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    let groups = b"root:x:0:\nnogroup:x:65534:\n";
    let tree = Tree::default()
        .host_file("/bin/busybox", 0o755, &program)
        .bytes_file("/etc/passwd", 0o644, users.to_vec())
        .bytes_file("/etc/group", 0o644, groups.to_vec())
        .directory("/root", 0o700)
        .directory("/tmp", 0o1777)
        .directory("/var/tmp", 0o1777);
    Ok(list
        .lines()
        .filter(|applet| *applet != "busybox")
        .fold(tree, |tree, applet| tree.link(&format!("/bin/{applet}"), "busybox")))
}

fn write(shop: &Workshop, names: &[&str], layer: Tree, config: Config) -> Result<(), LabError> {
    // Its programs are those of this machine.
    let image = Image { names, architecture: Arch::default(), layers: &[layer], config };
    image.write(&shop.path(FILE)).map(drop)
}
