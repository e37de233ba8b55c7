//! What came of the suite, for people and for machines: a table in Markdown, and a report in XML.

use std::{collections::BTreeMap, fs, time::Duration};

use labkit::base::{LabError, checkout};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::spec::{State, Verdict, words};
use crate::report::{self, row};

/// The page with the table.
const PAGE: &str = "docs/conformance.md";
/// What stands above the line is written by hand, what stands below by [`publish`].
const LINE: &str = "<!-- Below this line: written by `lab conformance --docs`. -->\n";

/// Rewrites the table of the page in the documentation.
pub(super) fn publish(table: &str) -> Result<(), LabError> {
    report::rewrite(&checkout().join(PAGE), LINE, table)
}

/// The tables: specs that passed or failed, those that found that they do not apply, and suites without any spec for the
/// driver.
pub(super) fn markdown(
    about: &str,
    verdicts: &BTreeMap<String, Verdict>,
    left_out: &BTreeMap<String, String>,
) -> String {
    let (gated, ran): (Vec<_>, Vec<_>) =
        verdicts.iter().partition(|(_, verdict)| verdict.state == State::NotApplicable);
    let passed = ran.iter().filter(|(_, verdict)| verdict.state == State::Passed).count();
    let mut text = format!("{about}: {} specs apply, {passed} of them passed.\n\n", ran.len());
    row(&mut text, &["volume", "spec", "result", "s"]);
    row(&mut text, &["---", "---", "---", "--:"]);
    for (name, verdict) in ran {
        let (pattern, spec) = words(name);
        let result = if verdict.state == State::Passed { "passed" } else { &verdict.said };
        row(&mut text, &[pattern, spec, result, &format!("{:.0}", verdict.seconds)]);
    }
    text.push_str("\n## What does not apply\n\n");
    row(&mut text, &["volume", "spec", "why"]);
    row(&mut text, &["---", "---", "---"]);
    for (name, verdict) in gated {
        let (pattern, spec) = words(name);
        row(&mut text, &[pattern, spec, &verdict.said]);
    }
    let mut suites: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (suite, why) in left_out {
        let (pattern, suite) = words(suite);
        suites.entry((suite, why)).or_default().push(pattern.trim_start());
    }
    for ((suite, why), patterns) in suites {
        row(&mut text, &[&patterns.join(", "), &format!("all of {suite}"), why]);
    }
    text
}

/// Writes `target/report/LABEL.xml`.
pub(super) fn junit(label: &str, verdicts: &BTreeMap<String, Verdict>) -> Result<(), LabError> {
    let mut suite = TestSuite::new("External Storage");
    for (name, verdict) in verdicts {
        let mut status = match verdict.state {
            State::Passed => TestCaseStatus::success(),
            State::NotApplicable => TestCaseStatus::skipped(),
            State::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        status.set_message(verdict.said.as_str());
        let mut case = TestCase::new(name.as_str(), status);
        case.set_time(Duration::from_secs_f64(verdict.seconds));
        suite.add_test_case(case);
    }
    let mut report = Report::new(label);
    report.add_test_suite(suite);
    let path = report::directory()?.join(format!("{label}.xml"));
    let text = report.to_string().map_err(|error| LabError::Unmet(format!("the report of {label}: {error}")))?;
    fs::write(&path, text).map_err(LabError::file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_tell_what_passed_and_why_the_rest_does_not_apply() {
        let name = |spec: &str| format!("External Storage [Driver: d] [Testpattern: Dynamic PV (default fs)] {spec}");
        let verdict = |state, said: &str| Verdict { state, seconds: 1.6, said: said.to_owned() };
        let verdicts = BTreeMap::from([
            (name("a should work"), verdict(State::Passed, "")),
            (name("b should hold"), verdict(State::Failed, "it\nbroke")),
            (name("c should clone"), verdict(State::NotApplicable, "no clones")),
        ]);
        let suite = |pattern: &str| (format!("[Testpattern: {pattern}] volumes"), "no such disk".to_owned());
        let text = markdown("Kubernetes", &verdicts, &BTreeMap::from([suite("ext3"), suite("xfs")]));
        for line in [
            "Kubernetes: 2 specs apply, 1 of them passed.",
            "| Dynamic PV (default fs) | a should work | passed | 2 |",
            "| Dynamic PV (default fs) | b should hold | it broke | 2 |",
            "| Dynamic PV (default fs) | c should clone | no clones |",
            "| ext3, xfs | all of volumes | no such disk |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
