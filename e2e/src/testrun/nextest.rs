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
    /// Which tests of a rung to run, in nextest's language of filters; none: all.
    only: Option<String>,
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
    /// Builds cargo-nextest where it is missing. `only`: the filter of the tests to run.
    pub(super) fn ensure(only: Option<&str>) -> Result<Self, LabError> {
        let parts = Parts::open(Kubernetes::default())?;
        let program = parts.ensure(&[Part::CARGO_NEXTEST])?.path(Part::CARGO_NEXTEST)?;
        Ok(Self { program, only: only.map(str::to_owned) })
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

    /// Every test of the workspace as nextest lists it, with whether it belongs to the rung; `#[ignore]`d ones belong to
    /// one like others.
    pub(super) fn list(&self, rung: &str) -> Result<Value, LabError> {
        self.list_filtered(rung, None)
    }

    /// The same, where only what is to be run belongs to the rung.
    pub(super) fn selected(&self, rung: &str) -> Result<Value, LabError> {
        self.list_filtered(rung, self.only.as_deref())
    }

    fn list_filtered(&self, rung: &str, filter: Option<&str>) -> Result<Value, LabError> {
        let words = ["nextest", "list", "--message-format=json", "--run-ignored=all", "--profile", rung];
        let filter = filter.map(|filter| ["--filterset", filter]).into_iter().flatten();
        let tool = Tool::new(&self.program).args(words).args(filter);
        let text = tool.arg("--cargo-quiet").args(PROGRAMS).dir(checkout()).output()?;
        serde_json::from_str(&text).map_err(LabError::reply("cargo nextest list"))
    }

    /// Runs the tests of a rung at `place`. Failures are shown as they happen; `target/report/LABEL.xml` has all of it.
    pub(super) fn run(&self, rung: &str, label: &str, place: &Place) -> Result<Outcome, LabError> {
        let due = Due::at(&self.selected(rung)?, place.leave_out);
        let junit = checkout().join("target/nextest").join(rung).join("junit.xml");
        forget(&junit)?;
        let mut command = self.command();
        command.args(["nextest", "run", "--profile", rung, "--no-tests=fail", "--cargo-quiet"]).args(PROGRAMS);
        if let Some(filter) = filter(self.only.as_deref(), place.leave_out) {
            command.arg("--filterset").arg(filter);
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
        Ok(judged(label, outcome, due, status))
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

/// A test of a rung, as nextest lists it.
pub(super) struct Case<'a> {
    /// The program that it is in.
    pub(super) suite: &'a Value,
    pub(super) name: &'a str,
    is_ignored: bool,
}

/// The tests of a rung in its list.
pub(super) fn matching(list: &Value) -> impl Iterator<Item = Case<'_>> {
    let suites = list["rust-suites"].as_object().into_iter().flatten().map(|(_, suite)| suite);
    suites.flat_map(|suite| {
        let cases = suite["testcases"].as_object().into_iter().flatten();
        let of_rung = cases.filter(|(_, case)| case["filter-match"]["status"] == "matches");
        of_rung.map(move |(name, case)| Case { suite, name, is_ignored: case["ignored"] == true })
    })
}

/// How many tests of a rung have to run at a place, and how many are not to: ignored, or left out there.
#[derive(Debug, Clone, Copy)]
struct Due {
    tests: usize,
    others: usize,
}

impl Due {
    fn at(list: &Value, leave_out: Option<&str>) -> Self {
        let is_due = |case: &Case<'_>| !case.is_ignored && !leave_out.is_some_and(|begin| case.name.starts_with(begin));
        let tests = matching(list).filter(is_due).count();
        Self { tests, others: matching(list).count() - tests }
    }
}

/// One filter of both: of several, nextest runs what fits any.
fn filter(only: Option<&str>, leave_out: Option<&str>) -> Option<String> {
    let only = only.map(|only| format!("({only})"));
    let rest = leave_out.map(|beginning| format!("not test(/^{beginning}/)"));
    let both: Vec<String> = only.into_iter().chain(rest).collect();
    (!both.is_empty()).then(|| both.join(" & "))
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

/// Counts of a report as nextest writes it.
fn account(label: &str, junit: &str) -> Result<Outcome, LabError> {
    let report = Report::deserialize_from_str(junit)
        .map_err(|error| LabError::Unmet(format!("the report of {label} cannot be read: {error}")))?;
    let mut outcome = Outcome::default();
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            match &case.status {
                TestCaseStatus::Success { .. } => outcome.passed += 1,
                // What is not to run is counted from the list.
                TestCaseStatus::Skipped { .. } => {}
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

/// A run that has not come to every test, or ended badly without a failed one, or well without a test, is a failure of its
/// own.
fn judged(label: &str, mut outcome: Outcome, due: Due, status: ExitStatus) -> Outcome {
    outcome.not_run += due.others;
    let missing = due.tests.saturating_sub(outcome.passed + outcome.failed);
    if missing > 0 {
        outcome.not_run += missing;
        let why = "did the rung take longer than its global-timeout in .config/nextest.toml?";
        outcome.add(Outcome::failure(format!("{label}: {missing} of {} tests were not run: {why}", due.tests)));
    } else if !status.success() && outcome.failed == 0 {
        let why = "could a test program not be listed or built?";
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

    use serde_json::json;

    use super::*;

    const MIXED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="2" errors="0">
  <testsuite name="p::bin" tests="3" disabled="0" errors="0" failures="2">
    <testcase name="a::good" classname="p::bin" time="0.1"></testcase>
    <testcase name="a::bad" classname="p::bin" time="0.1"><failure type="test failure with exit code 101"/></testcase>
    <testcase name="a::slow" classname="p::bin" time="9"><failure type="test timeout"/></testcase>
  </testsuite>
</testsuites>"#;

    fn due(tests: usize, others: usize) -> Due {
        Due { tests, others }
    }

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_report_is_counted_and_failures_say_how() {
        let outcome = account("unit", MIXED).unwrap();
        assert_eq!((outcome.passed, outcome.failed, outcome.not_run), (1, 2, 0));
        assert_eq!(
            outcome.failures,
            ["unit: p::bin a::bad (test failure with exit code 101)", "unit: p::bin a::slow (test timeout)"]
        );
        assert_eq!(judged("unit", outcome.clone(), due(3, 0), status(100)), outcome, "the failures tell it already");
    }

    #[test]
    fn tests_that_a_run_has_not_come_to_are_counted_and_a_failure() {
        let cut_off = judged("unit", account("unit", MIXED).unwrap(), due(889, 2), status(100));
        assert_eq!((cut_off.passed, cut_off.failed, cut_off.not_run), (1, 3, 888));
        assert!(cut_off.failures[2].contains("886 of 889 tests were not run"), "{:?}", cut_off.failures);
        let nothing = judged("unit", Outcome::default(), due(5, 0), status(104));
        assert_eq!((nothing.failed, nothing.not_run), (1, 5));
    }

    #[test]
    fn ignored_tests_and_those_left_out_at_a_place_are_not_due() {
        let case = |ignored: bool, status: &str| json!({ "ignored": ignored, "filter-match": { "status": status } });
        let list = json!({ "rust-suites": { "p::bin": { "testcases": {
            "a::one": case(false, "matches"), "a::two": case(true, "matches"),
            "fold::three": case(false, "matches"), "b::another_rungs": case(true, "mismatch"),
        }}}});
        let Due { tests, others } = Due::at(&list, None);
        assert_eq!((tests, others), (2, 1));
        let Due { tests, others } = Due::at(&list, Some("fold::"));
        assert_eq!((tests, others), (1, 2));
    }

    #[test]
    fn what_is_left_out_at_a_place_stays_out_of_a_choice() {
        assert_eq!(filter(None, None), None);
        assert_eq!(filter(None, Some("fold::")).unwrap(), "not test(/^fold::/)");
        let both = filter(Some("test(a) | test(b)"), Some("fold::")).unwrap();
        assert_eq!(both, "(test(a) | test(b)) & not test(/^fold::/)");
    }

    #[test]
    fn a_run_that_dies_or_runs_nothing_is_a_failure() {
        assert_eq!(judged("unit", Outcome::pass(), due(1, 0), status(104)).failed, 1);
        assert_eq!(judged("unit", Outcome::default(), due(0, 0), status(0)).failed, 1);
        assert_eq!(judged("unit", Outcome::pass(), due(1, 0), status(0)), Outcome::pass());
        assert!(account("unit", "<testsuites").is_err());
    }
}
