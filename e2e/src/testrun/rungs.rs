//! How each rung's test programs are run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::programs::{self, TestProgram};
use crate::{
    base::{LabError, Tool, chain},
    cluster::single::Single,
    report::{self, Outcome, Timeline},
};

/// How long one test program may take.
const PATIENCE: Duration = Duration::from_mins(20);

/// Rungs whose tests are Cargo test targets that require the feature of the same name, weakest first.
pub(super) const LADDER: &[&str] = &["wire", "privileged", "apiserver", "guest", "kernel"];

/// Runs `cargo test --workspace`: what needs nothing outside its process.
pub(super) fn unit(timeline: &Timeline) -> Result<Outcome, LabError> {
    programs::build_workspace()?;
    let done = programs::cargo().args(["test", "--workspace", "--no-fail-fast"]).deadline(PATIENCE).finish()?;
    let text = done.text();
    keep("unit", &text, &done.printed())?;
    let outcome = Outcome::from_libtest("cargo test", &text, done.status.success());
    tell(timeline, "unit", &outcome, &text);
    Ok(outcome)
}

/// Builds the programs of a rung and runs each with `run`, which answers with what the program printed and whether it
/// succeeded. A program that does not build or start is a failure and does not stop the rest.
pub(super) fn each(
    rung: &str,
    timeline: &Timeline,
    mut run: impl FnMut(&TestProgram) -> Result<(String, bool), LabError>,
) -> Result<Outcome, LabError> {
    let mut outcome = Outcome::default();
    for target in programs::targets(rung, LADDER)? {
        let title = format!("{} {}", target.package, target.name);
        let begun = Instant::now();
        let one = match programs::build(&target).and_then(|program| run(&program)) {
            Ok((text, succeeded)) => {
                keep(rung, &format!("==== {title}\n{text}"), "")?;
                let one = Outcome::from_libtest(&title, &text, succeeded);
                tell(timeline, &format!("{rung}: {title} ({:.0} s)", begun.elapsed().as_secs_f64()), &one, &text);
                one
            }
            Err(error) => {
                timeline.note(&format!("{rung}: {title}: {}", chain(&error)));
                Outcome::failure(format!("{title}: {}", chain(&error)))
            }
        };
        outcome.add(one);
    }
    if outcome == Outcome::default() {
        outcome.add(Outcome::failure(format!("rung {rung} has no tests")));
    }
    Ok(outcome)
}

/// Runs a test program on this host with these variables set.
pub(super) fn on_host(
    program: &TestProgram,
    words: &[&str],
    environment: &[(&str, &Path)],
) -> Result<(String, bool), LabError> {
    let mut tool = Tool::new(&program.executable)
        .args(words)
        .dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .deadline(PATIENCE);
    for (key, value) in environment {
        tool = tool.env(key, value);
    }
    let done = tool.finish()?;
    Ok((format!("{}{}", done.text(), String::from_utf8_lossy(&done.stderr)), done.status.success()))
}

/// Runs a test program on this host with mounts of its own, so that a test that dies leaves none behind.
pub(super) fn in_mount_namespace(program: &TestProgram) -> Result<(String, bool), LabError> {
    let words = ["--mount", "--propagation", "private", "--"];
    let done = Tool::new("unshare")
        .args(words)
        .arg(&program.executable)
        .dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .deadline(PATIENCE)
        .finish()?;
    Ok((format!("{}{}", done.text(), String::from_utf8_lossy(&done.stderr)), done.status.success()))
}

/// Runs a test program in a guest, as root, beside a share that the guest itself serves.
pub(super) fn in_guest(program: &TestProgram, single: &Single) -> Result<(String, bool), LabError> {
    let name = program.executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = format!("/var/tmp/{name}");
    single.machine().copy_in(&program.executable, &path, 0o755)?;
    let variables = single.environment().map(|(name, value)| format!("{name}={value}")).join(" ");
    // What runs on a fake has run on the host, ten times as fast.
    let script = format!("export {variables}\n{path} --skip fake:: 2>&1");
    let done = single.machine().run(&script, PATIENCE)?;
    Ok((String::from_utf8_lossy(&done.stdout).into_owned(), done.status == 0))
}

/// Where a rung's whole output is kept.
pub(super) fn log_of(rung: &str) -> Result<PathBuf, LabError> {
    let dir = report::directory()?.join("logs");
    fs::create_dir_all(&dir).map_err(LabError::file(&dir))?;
    Ok(dir.join(format!("{rung}.log")))
}

fn keep(rung: &str, text: &str, errors: &str) -> Result<(), LabError> {
    use std::io::Write;
    let path = log_of(rung)?;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(LabError::file(&path))?;
    writeln!(file, "{text}\n{errors}").map_err(LabError::file(&path))
}

fn tell(timeline: &Timeline, what: &str, outcome: &Outcome, text: &str) {
    timeline.note(&format!("{what}: {} passed, {} failed", outcome.passed, outcome.failed));
    if outcome.failed > 0 {
        println!("{}", failures(text));
    }
}

/// What libtest prints about the tests that failed.
fn failures(text: &str) -> &str {
    text.find("\nfailures:\n").map_or(text, |start| &text[start..])
}
