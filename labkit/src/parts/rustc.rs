//! Static programs of the lab's own for inside guests and images. They need nothing but `std`, so the compiler alone builds
//! them in a few seconds.

use std::{path::Path, process::Command};

use super::{
    LabError,
    store::Inputs,
    workshop::{Tools, Workshop, source},
};

const FLAGS: &[&str] =
    &["--edition=2024", "-Copt-level=s", "-Cstrip=symbols", "-Cpanic=abort", "-Ctarget-feature=+crt-static"];

pub(super) fn inputs(inputs: &mut Inputs, tools: &Tools) -> Result<(), LabError> {
    inputs.add("rust", tools.rust()?);
    inputs.add("flags", FLAGS.join(" "));
    Ok(())
}

pub(super) fn build(shop: &mut Workshop, file: &str, to: &Path) -> Result<(), LabError> {
    let mut command = Command::new("rustc");
    command.args(FLAGS).arg("-o").arg(to).arg(source(file)).current_dir(source(""));
    shop.run(command)
}
