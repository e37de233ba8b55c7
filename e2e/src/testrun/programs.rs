//! Test programs of one rung: the `[[test]]` targets that require the rung's Cargo feature, built by cargo.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use crate::base::{LabError, Tool, checkout};

/// A test target that requires a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Package that it belongs to.
    pub package: String,
    /// Name of the target.
    pub name: String,
    /// Features it requires.
    pub features: Vec<String>,
}

/// A built test program.
#[derive(Debug, Clone)]
pub struct TestProgram {
    /// Package and target, for people.
    pub title: String,
    /// The program.
    pub executable: PathBuf,
    /// Folder of its package: tests run there.
    pub folder: PathBuf,
}

/// Targets of the workspace that belong to `rung`: those that require its feature (one that requires several rungs'
/// features belongs to the last), and those that a package lends to it in `[[package.metadata.rung]]`, for test programs
/// that run everywhere and have more to run where a feature is on.
pub fn targets(rung: &str, ladder: &[&str]) -> Result<Vec<Target>, LabError> {
    let text = cargo().args(["metadata", "--no-deps", "--format-version=1"]).output()?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|source| LabError::Reply { what: "cargo metadata".to_owned(), source })?;
    Ok(select(&metadata, rung, ladder))
}

fn select(metadata: &Value, rung: &str, ladder: &[&str]) -> Vec<Target> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let features = strings(&target["required-features"]);
            let home = ladder.iter().rev().find(|step| features.iter().any(|feature| feature == **step));
            if strings(&target["kind"]).contains(&"test".to_owned()) && home == Some(&rung) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                found.push(Target { package: text(&package["name"]), name: text(&target["name"]), features });
            }
        }
        found.extend(lent(package, rung));
    }
    found
}

/// Targets that run in other rungs too, with more features here.
fn lent<'a>(package: &'a Value, rung: &'a str) -> impl Iterator<Item = Target> + 'a {
    let lent = package["metadata"]["rung"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lent.filter(move |lent| lent["name"] == rung).map(move |lent| Target {
        package: text(&package["name"]),
        name: text(&lent["test"]),
        features: strings(&lent["features"]),
    })
}

/// Builds one target.
pub fn build(target: &Target) -> Result<TestProgram, LabError> {
    let words = ["test", "--no-run", "--message-format=json-render-diagnostics", "--package", &target.package];
    let text = cargo()
        .args(words)
        .args(["--features", &target.features.join(","), "--test", &target.name])
        .deadline(std::time::Duration::from_mins(30))
        .output()?;
    let title = format!("{} {}", target.package, target.name);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == target.name.as_str() && message["target"]["kind"][0] == "test")
        .find_map(|message| {
            let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned();
            Some(TestProgram { title: title.clone(), executable: message["executable"].as_str()?.into(), folder })
        })
        .ok_or_else(|| LabError::Unmet(format!("cargo built {title} but named no program")))
}

/// Builds every test of the workspace, showing cargo's own progress.
pub fn build_workspace() -> Result<(), LabError> {
    let status = Command::new(cargo_path())
        .args(["test", "--workspace", "--no-run"])
        .current_dir(checkout())
        .status()
        .map_err(|source| LabError::Start { program: "cargo".to_owned(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(LabError::Command {
        command: "cargo test --workspace --no-run".to_owned(),
        status: status.to_string(),
        output: "see cargo's messages above".to_owned(),
    })
}

/// `cargo` in the checkout.
pub fn cargo() -> Tool {
    Tool::new(cargo_path()).dir(checkout())
}

fn cargo_path() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_belongs_to_the_last_rung_it_requires() {
        let metadata = json!({ "packages": [{ "name": "p", "targets": [
            { "name": "plain", "kind": ["test"] },
            { "name": "wired", "kind": ["test"], "required-features": ["wire"] },
            { "name": "both", "kind": ["test"], "required-features": ["kernel", "wire"] },
            { "name": "bench", "kind": ["bench"], "required-features": ["wire"] },
        ], "metadata": { "rung": [{ "name": "kernel", "test": "plain", "features": ["kernel", "faults"] }] }}]});
        let names = |rung| -> Vec<String> {
            select(&metadata, rung, &["wire", "kernel"]).into_iter().map(|target| target.name).collect()
        };
        assert_eq!(names("wire"), ["wired"]);
        assert_eq!(names("kernel"), ["both", "plain"]);
        assert_eq!(select(&metadata, "kernel", &["wire", "kernel"])[1].features, ["kernel", "faults"]);
    }
}
