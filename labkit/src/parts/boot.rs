//! The initial RAM disk but for the kernel's modules: busybox, the lab's agent and writer, and its scripts.

use std::fs;

use super::{
    BuiltParts, LabError, Part, debian, rustc,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};
use crate::guest::cpio::archive;

pub(super) const INITRD: &str = "initrd";

const AGENT: &str = "guest/agent/main.rs";
const AGENT_WIRE: &str = "src/guest/wire.rs";
/// Writes records and checks them, in pods and on servers.
const WRITER: &str = "guest/writer.rs";
/// Scripts that end up in `/lab`, and later in `/run/lab`.
const SCRIPTS: &[&str] = &["start", "serve-nfs", "serve-ssh", "systemctl"];

pub(super) fn inputs(inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
    rustc::inputs(inputs, tools)?;
    for file in [AGENT, AGENT_WIRE, WRITER, "guest/init"] {
        inputs.add_file(&source(file))?;
    }
    for script in SCRIPTS {
        inputs.add_file(&source("guest").join(script))?;
    }
    Ok(())
}

pub(super) fn build(shop: &mut Workshop, needs: &BuiltParts) -> Result<(), LabError> {
    let debian = needs.path(Part::DEBIAN)?;
    let (agent, writer) = (shop.path("lab-agent"), shop.path("lab-writer"));
    rustc::build(shop, AGENT, &agent)?;
    rustc::build(shop, WRITER, &writer)?;
    let read = |path: &std::path::Path| fs::read(path).map_err(LabError::file(path));

    let mut files = vec![
        ("/bin/busybox".to_owned(), 0o755, read(&debian.join(debian::BUSYBOX))?),
        ("/init".to_owned(), 0o755, read(&source("guest/init"))?),
        ("/lab/agent".to_owned(), 0o755, read(&agent)?),
        ("/lab/writer".to_owned(), 0o755, read(&writer)?),
    ];
    for script in SCRIPTS {
        files.push((format!("/lab/{script}"), 0o755, read(&source("guest").join(script))?));
    }
    let path = shop.path(INITRD);
    archive(&["/bin", "/lab"], &files).and_then(|bytes| fs::write(&path, bytes)).map_err(LabError::file(&path))
}
