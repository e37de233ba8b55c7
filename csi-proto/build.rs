//! Compiles the interface files with protox, so that building needs no `protoc`.

use std::error::Error;
use std::path::PathBuf;

/// Extension of `google.protobuf.FieldOptions` by which CSI marks a field that must not be logged.
const SECRET: &str = "csi.v1.csi_secret";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let include = PathBuf::from("proto");
    let mut compiler = protox::Compiler::new([&include])?;
    compiler.include_imports(true);
    compiler.open_files([include.join("csi.proto"), include.join("pluginregistration.proto")])?;

    let pool = compiler.descriptor_pool();
    let secret = pool.get_extension_by_name(SECRET).ok_or("csi.proto no longer declares csi_secret")?;
    let with_secrets: Vec<String> = pool
        .all_messages()
        .filter(|message| message.fields().any(|field| field.options().has_extension(&secret)))
        .map(|message| format!(".{}", message.full_name()))
        .collect();
    if with_secrets.is_empty() {
        return Err("no message carries a csi_secret field: secrets would be printable".into());
    }

    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(with_secrets)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
