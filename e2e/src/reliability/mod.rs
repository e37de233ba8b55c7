//! The fault table: what goes wrong around a volume, what has to hold then, and what a run has seen of it.
//!
//! Each row is a scenario, run in full. `target/report/reliability.json` has what came of each, and a run that was cut off is
//! gone on with.

mod page;
mod table;

use std::{collections::BTreeMap, thread, time::Instant};

use labkit::base::{LabError, chain};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cluster::{Lab, parts::LabParts},
    report::{Ledger, Line, Outcome, Timeline},
    scenarios::{self, Size},
    target::Target,
};
use table::ROWS;

/// How a run of the table goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Scenarios of the rows to run; none: all.
    pub names: &'a [String],
    /// Whether to run again what an earlier run has found out.
    pub again: bool,
    /// Whether to run nothing, and only write the page.
    pub known: bool,
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Verdict {
    /// How it failed; empty when it passed.
    failure: String,
    /// How long it took.
    seconds: f64,
    figures: Vec<Line>,
}

impl Verdict {
    /// What does not hold of it: how it failed, or which figures miss their goals.
    fn trouble(&self) -> Option<String> {
        if !self.failure.is_empty() {
            return Some(self.failure.clone());
        }
        let missed = self.figures.iter().filter(|figure| figure.holds == Some(false));
        let missed: Vec<&str> = missed.map(|figure| figure.name.as_str()).collect();
        (!missed.is_empty()).then(|| format!("{} does not hold", missed.join(", ")))
    }

    fn passed(&self) -> bool {
        self.trouble().is_none()
    }
}

/// Whether every name is that of a row's scenario: to be asked before a cluster is brought up for them.
pub fn check(names: &[String]) -> Result<(), LabError> {
    let known: Vec<&str> = ROWS.iter().filter_map(|row| row.scenario).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let known = known.join(", ");
            Err(LabError::Precondition(format!("no row of the table is tried by {name}; there are {known}")))
        }
        None => Ok(()),
    }
}

/// Runs the rows; a run that was cut off is gone on with. A run of all of them ends by writing docs/reliability.md. Figures that do
/// not keep to their goals are failures, and rows that nobody has built are not run.
pub fn run(plan: Plan<'_>, target: &Target, timeline: &Timeline) -> Result<Outcome, LabError> {
    let broken = || LabError::Precondition("the fault table breaks machines, and therefore the lab's alone".to_owned());
    let (lab, parts) = target.lab().zip(target.parts()).ok_or_else(broken)?;
    let driver = target.driver();
    let mut subject = parts.inputs().clone();
    subject.insert("image".to_owned(), driver.image.clone());
    // What has failed is told until it is run again.
    let mut ledger = Ledger::<Verdict>::open("reliability", &subject, |_| true)?;
    let asked = |name: &str| plan.names.is_empty() || plan.names.iter().any(|wanted| wanted == name);
    if plan.again {
        ledger.verdicts.retain(|name, _| !asked(name));
    }
    for name in ROWS.iter().filter_map(|row| row.scenario).filter(|name| asked(name) && !plan.known) {
        if ledger.verdicts.get(name).is_some_and(Verdict::passed) {
            timeline.note(&format!("{name}: known from a run before: `--again` runs it too"));
            continue;
        }
        let begun = Instant::now();
        let (done, figures) = scenarios::named(name)?.measure(driver, Some(lab), timeline, Size::Full);
        let failure = done.err().map(|error| chain(&error)).unwrap_or_default();
        let verdict = Verdict { failure, seconds: begun.elapsed().as_secs_f64(), figures };
        ledger.add([(name.to_owned(), verdict)].into())?;
    }
    if plan.names.is_empty() {
        page::publish(&about(lab, parts)?, &ledger.verdicts)?;
    }
    Ok(outcome(&ledger.verdicts, asked))
}

/// What the figures are of.
fn about(lab: &Lab, parts: &LabParts) -> Result<String, LabError> {
    let said = lab.cluster().raw("/version")?;
    let said: Value = serde_json::from_slice(&said).map_err(LabError::reply("the cluster's version"))?;
    let version = said["gitVersion"].as_str().unwrap_or_default();
    let processors = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let guests = if parts.guest_image().kvm { "guests under KVM" } else { "emulated guests" };
    let berth = env!("CARGO_PKG_VERSION");
    Ok(format!("Kubernetes {version}, Berth {berth}, {guests} on a machine with {processors} processors"))
}

/// The counts of those rows that were asked for.
fn outcome(verdicts: &BTreeMap<String, Verdict>, asked: impl Fn(&str) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    for row in ROWS {
        let verdict = row.scenario.filter(|name| asked(name)).and_then(|name| Some((name, verdicts.get(name)?)));
        match verdict {
            Some((name, verdict)) => outcome.add(match verdict.trouble() {
                None => Outcome::pass(),
                Some(trouble) => Outcome::failure(format!("{name}: {trouble}")),
            }),
            None => outcome.not_run += 1,
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn verdict(failure: &str, figures: Vec<Line>) -> (String, Verdict) {
        let name = ROWS.iter().find_map(|row| row.scenario).unwrap().to_owned();
        (name, Verdict { failure: failure.to_owned(), seconds: 61.6, figures })
    }

    #[test]
    fn a_figure_that_misses_its_goal_is_a_failure_and_a_row_without_a_run_is_not_run() {
        let count = |failure: &str, figures: Vec<Line>| {
            let outcome = outcome(&[verdict(failure, figures)].into(), |_| true);
            (outcome.passed, outcome.failed, outcome.not_run + 1 == ROWS.len())
        };
        let gap = |value: f64| vec![Line::at_most("gap", value, "ms", 100.0), Line::fact("other", 1.0, "s")];
        assert_eq!(count("", gap(99.0)), (1, 0, true));
        assert_eq!(count("", gap(101.0)), (0, 1, true));
        assert_eq!(count("it broke", gap(99.0)), (0, 1, true));
        let other = outcome(&[verdict("", vec![])].into(), |_| false);
        assert_eq!((other.passed, other.not_run), (0, ROWS.len()));
    }

    #[test]
    fn an_unknown_row_is_refused() {
        assert!(check(&["demo".to_owned()]).unwrap_err().to_string().contains("plugin-restart"));
        assert!(check(&["plugin-restart".to_owned()]).is_ok());
    }
}
