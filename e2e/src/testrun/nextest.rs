//! Rust test programs, built once and run by cargo-nextest: each test in a process of its own, with an end.
//! `.config/nextest.toml` says which tests a rung consists of.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use labkit::{
    base::{LabError, Tool, cargo, checkout, tail},
    parts::{Kubernetes, Part, Parts},
};
use quick_junit::{Report, TestCaseStatus};
use serde_json::Value;

use crate::report::{self, Outcome};

/// Which programs there are: the same for every rung, so that all of them are one build.
const PROGRAMS: &[&str] = &["--workspace", "--all-features", "--locked"];
/// The target that programs run on; cargo's configuration names a runner by it.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// cargo-nextest, at the version that the lab pins.
#[derive(Debug)]
pub(super) struct Nextest {
    program: PathBuf,
}

/// Where the tests of a rung run.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Words before each test's own command line; none: it runs as it is.
    pub(super) runner: Vec<String>,
    /// Variables that tests find what they need by.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// How the names of tests begin that cannot run there.
    pub(super) leave_out: Option<&'static str>,
}

impl Nextest {
    /// Builds cargo-nextest where it is missing.
    pub(super) fn ensure() -> Result<Self, LabError> {
        let parts = Parts::open(Kubernetes::default())?;
        Ok(Self { program: parts.ensure(&[Part::CARGO_NEXTEST])?.path(Part::CARGO_NEXTEST)? })
    }

    /// Builds every test program of the workspace, showing cargo's own progress.
    pub(super) fn build(&self) -> Result<(), LabError> {
        let words = ["nextest", "run", "--no-run"];
        let status = self.command().args(words).args(PROGRAMS).status();
        let status = status.map_err(|source| self.not_started(source))?;
        if status.success() {
            return Ok(());
        }
        Err(LabError::Command {
            command: format!("cargo {} {}", words.join(" "), PROGRAMS.join(" ")),
            status: status.to_string(),
            output: "see the messages above".to_owned(),
        })
    }

    /// Every test of the workspace as nextest lists it, with whether it belongs to the rung.
    pub(super) fn list(&self, rung: &str) -> Result<Value, LabError> {
        let tool = Tool::new(&self.program).args(["nextest", "list", "--message-format=json", "--profile", rung]);
        let text = tool.arg("--cargo-quiet").args(PROGRAMS).dir(checkout()).output()?;
        serde_json::from_str(&text).map_err(LabError::reply("cargo nextest list"))
    }

    /// Runs the tests of a rung at `place`. Failures are shown as they happen; `target/report/LABEL.xml` has all of it.
    pub(super) fn run(&self, rung: &str, label: &str, place: &Place) -> Result<Outcome, LabError> {
        let junit = checkout().join("target/nextest").join(rung).join("junit.xml");
        forget(&junit)?;
        let mut command = self.command();
        command.args(["nextest", "run", "--profile", rung, "--no-tests=fail", "--cargo-quiet"]).args(PROGRAMS);
        if let Some(beginning) = place.leave_out {
            command.arg("--filterset").arg(format!("not test(/^{beginning}/)"));
        }
        if !place.runner.is_empty() {
            // A string in JSON is one in TOML too.
            let words = serde_json::to_string(&place.runner).map_err(LabError::reply("a runner"))?;
            command.arg("--config").arg(format!("target.{HOST}.runner={words}"));
        }
        let status = command.envs(place.environment.iter().map(|(key, value)| (key, value))).status();
        let status = status.map_err(|source| self.not_started(source))?;
        let outcome = fs::read_to_string(&junit).map_or_else(
            |_| Ok(Outcome::default()),
            |text| {
                let kept = report::directory()?.join(format!("{label}.xml"));
                fs::write(&kept, &text).map_err(LabError::file(&kept))?;
                account(label, &text)
            },
        )?;
        Ok(judged(label, outcome, status))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(checkout());
        command
    }

    fn not_started(&self, source: std::io::Error) -> LabError {
        LabError::Start { program: self.program.display().to_string(), source }
    }
}

/// The tests of a rung in its list: each with the program it is in.
pub(super) fn matching(list: &Value) -> impl Iterator<Item = (&Value, &str)> {
    let suites = list["rust-suites"].as_object().into_iter().flatten().map(|(_, suite)| suite);
    suites.flat_map(|suite| {
        let cases = suite["testcases"].as_object().into_iter().flatten();
        let of_rung = cases.filter(|(_, case)| case["filter-match"]["status"] == "matches");
        of_rung.map(move |(name, _)| (suite, name.as_str()))
    })
}

/// Runs the examples in the documentation, which are no test programs of their own. They count as one.
pub(super) fn examples() -> Result<Outcome, LabError> {
    let words = ["test", "--doc", "--workspace", "--all-features", "--locked", "--quiet"];
    let done = Tool::new(cargo()).args(words).dir(checkout()).finish()?;
    if done.status.success() {
        return Ok(Outcome::pass());
    }
    println!("{}", tail(&[done.stdout, done.stderr].concat()));
    Ok(Outcome::failure(format!("cargo {} ({})", words.join(" "), done.status)))
}

fn forget(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file(path)(error)),
        _ => Ok(()),
    }
}

/// Counts of a report as nextest writes it; `#[ignore]`d tests are not run.
fn account(label: &str, junit: &str) -> Result<Outcome, LabError> {
    let report = Report::deserialize_from_str(junit)
        .map_err(|error| LabError::Unmet(format!("the report of {label} cannot be read: {error}")))?;
    let mut outcome = Outcome::default();
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            match &case.status {
                TestCaseStatus::Success { .. } => outcome.passed += 1,
                TestCaseStatus::Skipped { .. } => outcome.not_run += 1,
                TestCaseStatus::NonSuccess { ty, .. } => {
                    let how = ty.as_ref().map(|ty| format!(" ({})", ty.as_str())).unwrap_or_default();
                    let (program, test) = (suite.name.as_str(), case.name.as_str());
                    outcome.add(Outcome::failure(format!("{label}: {program} {test}{how}")));
                }
            }
        }
    }
    Ok(outcome)
}

/// A run that ended badly without a failed test, or well without a test, is a failure of its own.
fn judged(label: &str, mut outcome: Outcome, status: ExitStatus) -> Outcome {
    if !status.success() && outcome.failed == 0 {
        let why = "a test program could not be listed or built, or the rung took too long";
        outcome.add(Outcome::failure(format!("{label}: nextest ended badly ({status}) without a failed test: {why}")));
    }
    if status.success() && outcome.passed == 0 {
        outcome.add(Outcome::failure(format!("{label}: not one test ran")));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const MIXED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="2" errors="0">
  <testsuite name="p::bin" tests="4" disabled="1" errors="0" failures="2">
    <testcase name="a::good" classname="p::bin" time="0.1"></testcase>
    <testcase name="a::bad" classname="p::bin" time="0.1"><failure type="test failure with exit code 101"/></testcase>
    <testcase name="a::slow" classname="p::bin" time="9"><failure type="test timeout"/></testcase>
    <testcase name="a::left" classname="p::bin" time="0"><skipped/></testcase>
  </testsuite>
</testsuites>"#;

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_report_is_counted_and_failures_say_how() {
        let outcome = account("unit", MIXED).unwrap();
        assert_eq!((outcome.passed, outcome.failed, outcome.not_run), (1, 2, 1));
        assert_eq!(
            outcome.failures,
            ["unit: p::bin a::bad (test failure with exit code 101)", "unit: p::bin a::slow (test timeout)"]
        );
        assert_eq!(judged("unit", outcome.clone(), status(100)), outcome, "the failures tell it already");
    }

    #[test]
    fn a_run_that_dies_or_runs_nothing_is_a_failure() {
        assert_eq!(judged("unit", Outcome::pass(), status(104)).failed, 1);
        assert_eq!(judged("unit", Outcome::default(), status(0)).failed, 1);
        assert_eq!(judged("unit", Outcome::pass(), status(0)), Outcome::pass());
        assert!(account("unit", "<testsuites").is_err());
    }
}
