//! The specs of the suite: which there are, and what came of them.

use std::collections::BTreeMap;

use labkit::base::LabError;
use serde::{Deserialize, Serialize};

use crate::testrun::ginkgo::{self, Spec};

/// What the name of every spec of the suite begins with.
const SUITE: &str = "External Storage ";
/// What a line begins with that says why a whole suite has no spec for this driver.
const UNREGISTERED: &str = "Skipping registration: ";

/// What `e2e.test --list-tests` tells of the suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Specs that the driver's capabilities admit, by their full names.
    pub(super) specs: Vec<String>,
    /// Suite with its pattern → why it has none.
    pub(super) left_out: BTreeMap<String, String>,
}

/// What came of a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) state: State,
    /// Seconds that it ran.
    pub(super) seconds: f64,
    /// Why it was skipped, or how it failed.
    pub(super) said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Passed,
    /// The spec itself found that it does not apply to the driver.
    NotApplicable,
    /// It failed, or did not run although it should have.
    Failed,
}

/// Reads what the list says of a driver, with the lines that `DEBUG_STORAGE_TESTSUITE` adds.
pub(super) fn listing(text: &str, driver: &str) -> Listing {
    let (begin, mark) = (format!("{SUITE}[Driver: {driver}]"), format!(" [Driver: {driver}] - "));
    let mut listing = Listing::default();
    for line in text.lines() {
        if let Some((suite, why)) = line.strip_prefix(UNREGISTERED).and_then(|rest| rest.split_once(&mark)) {
            listing.left_out.insert(suite.to_owned(), why.to_owned());
        } else if let Some(at) = line.find(&begin)
            // The nodes are Linux.
            && !line.contains("[Feature:Windows]")
        {
            listing.specs.push(line[at..].to_owned());
        }
    }
    listing
}

/// Whether nothing else may run beside a spec.
pub(super) fn is_alone(name: &str) -> bool {
    name.contains("[Serial]") || name.contains("[Disruptive]")
}

/// A spec's name without what is the same in all of them: its pattern, and what it demands.
pub(super) fn words(name: &str) -> (&str, &str) {
    let rest = name.split_once("[Testpattern: ").map_or(name, |(_, rest)| rest);
    rest.split_once("] ").unwrap_or(("", rest))
}

/// What ginkgo's report says of those `wanted`.
pub(super) fn verdicts(report: &str, wanted: &[&str]) -> Result<BTreeMap<String, Verdict>, LabError> {
    let specs = ginkgo::specs(report)?;
    let known = |name: &str| specs.iter().find(|spec| spec.name == name).map_or_else(Verdict::absent, verdict);
    Ok(wanted.iter().map(|&name| (name.to_owned(), known(name))).collect())
}

impl Verdict {
    /// Of a spec of which there is no report.
    pub(super) fn absent() -> Self {
        Self { state: State::Failed, seconds: 0.0, said: "it was not run".to_owned() }
    }
}

fn verdict(spec: &Spec) -> Verdict {
    let state = match spec.state.as_str() {
        "passed" => State::Passed,
        "skipped" if is_gate(&spec.said) => State::NotApplicable,
        _ => State::Failed,
    };
    let said = if spec.said.is_empty() && state == State::Failed { &spec.state } else { &spec.said };
    Verdict { state, seconds: spec.seconds, said: said.clone() }
}

/// Whether a spec skips itself because of what the driver file says or does not claim. One that skips because the cluster lacks
/// something, a way in by SSH or a node, would have had to run.
fn is_gate(reason: &str) -> bool {
    let of_driver =
        ["does not support", "doesn't support", "doesn't specify", "has no configured VolumeAttributesClass"];
    let others = [
        "Filesystem volume case should be covered by block volume case",
        // Of every driver whose class binds at once.
        "Multiple generic ephemeral volumes with immediate binding",
    ];
    let is_drivers = reason.starts_with("Driver ") && of_driver.iter().any(|gate| reason.contains(gate));
    is_drivers || others.iter().any(|gate| reason.starts_with(gate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "External Storage [Driver: d] [Testpattern: Dynamic PV (default fs)] volumes should store data";

    #[test]
    fn the_list_has_the_suite_without_windows_and_what_was_never_registered() {
        let text = format!(
            "Skipping registration: [Testpattern: Inline (ext3)] volumes [Driver: d] - Driver d doesn't support ext3\n\
             Skipping registration: [Testpattern: Inline (xfs)] volumes [Driver: e] - Driver e doesn't support xfs\n\
             The following spec names can be used:\n    a.go:12: [sig-node] Pods should run\n    \
             ../b.go:34: {NAME}\n    c.go:5: {NAME} [Feature:Windows]\n"
        );
        let listing = listing(&text, "d");
        assert_eq!(listing.specs, [NAME]);
        let left_out = [("[Testpattern: Inline (ext3)] volumes", "Driver d doesn't support ext3")];
        assert_eq!(listing.left_out, left_out.map(|(suite, why)| (suite.to_owned(), why.to_owned())).into());
        assert_eq!(words(NAME), ("Dynamic PV (default fs)", "volumes should store data"));
    }

    fn judged(state: &str, message: &str) -> Verdict {
        let report = ginkgo::report(&[("another", "passed", ""), (NAME, state, message)]);
        verdicts(&report, &[NAME]).unwrap().remove(NAME).unwrap()
    }

    #[test]
    fn a_spec_passes_or_does_not_apply_or_has_failed() {
        assert_eq!(judged("passed", ""), Verdict { state: State::Passed, seconds: 2.5, said: String::new() });
        assert_eq!(judged("skipped", "Driver d does not support cloning").state, State::NotApplicable);
        let others = ("skipped", "the cluster does not support two nodes");
        for (state, message) in [("failed", "boom"), ("timedout", ""), ("skipped", ""), ("pending", ""), others] {
            assert_eq!(judged(state, message).state, State::Failed, "{state} {message}");
        }
    }

    #[test]
    fn a_spec_that_skips_for_want_of_a_way_in_has_failed() {
        let verdict = judged("skipped", "No SSH Key for provider skeleton: 'error reading SSH key'");
        assert_eq!(verdict.state, State::Failed);
        assert!(verdict.said.contains("SSH"), "{verdict:?}");
    }

    #[test]
    fn a_spec_that_the_report_does_not_know_has_failed() {
        let verdicts = verdicts("[]", &[NAME]).unwrap();
        assert_eq!(verdicts[NAME], Verdict::absent());
    }
}
