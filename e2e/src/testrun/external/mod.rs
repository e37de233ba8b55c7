//! Kubernetes' external storage suite on the cluster: what its own project demands of a storage driver.
//!
//! `e2e/suite/driver.yaml` says what the driver claims, and so which specs apply. Several specs run at once; those that want
//! the cluster for themselves (`[Serial]`), or break a node (`[Disruptive]`), run one by one after the others.

mod spec;
mod suite;
mod table;

use std::collections::BTreeMap;

use labkit::{base::LabError, parts::BuiltParts};
use serde_json::Value;

use crate::{
    cluster::state::StateDir,
    report::{Ledger, Outcome, Timeline},
    target::Target,
};
use spec::{State, Verdict, is_alone};
use suite::Suite;
pub use suite::build;

/// Specs that run at once where they may.
const PROCESSES: u8 = 2;
/// Specs of one call of ginkgo, the most that a run loses when it is cut off. Each call takes some ten seconds of its own.
const BATCH: usize = 20;

/// The few that the rung `cluster` runs, one of each kind: about five minutes with emulated nodes.
const SAMPLE: &[&str] = &[
    "volumeMode should fail in binding dynamic provisioned PV to PVC",
    "fsgroupchangepolicy (Always)[LinuxOnly], pod created with an initial fsgroup, new pod fsgroup applied",
    "provisioning should mount multiple PV pointing to the same storage on the same node",
    "provisioning should provision storage with mount options",
    "read-write-once-pod should block a second pod",
    "subPath should support existing directories when readOnly specified in the volumeSource",
    "volumes should allow exec of files on the volume",
    "multiVolume should concurrently access the single volume from pods on different node",
    "Should test that pv written before kubelet restart is readable after restart.",
];

/// How a run of the whole suite goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Only specs that hold one of these words; none: all.
    pub words: &'a [String],
    /// Whether to run again what an earlier run has found out.
    pub again: bool,
    /// Whether to write the table of the documentation.
    pub docs: bool,
}

/// Runs the suite; one that was cut off is gone on with.
pub fn run(
    plan: Plan<'_>,
    target: &Target,
    parts: &BuiltParts,
    state: &StateDir,
    timeline: &Timeline,
) -> Result<Outcome, LabError> {
    let suite = Suite::prepare(target, parts, state)?;
    timeline.step("the nodes are ready for the suite");
    let listing = suite.list()?;
    let asked: Vec<&str> = listing.specs.iter().map(String::as_str).filter(|name| holds(name, plan.words)).collect();
    if asked.is_empty() {
        let words = plan.words.join(", ");
        let all = listing.specs.len();
        return Err(LabError::Precondition(format!("none of the {all} specs for the driver holds a word of: {words}")));
    }
    let passed = |verdict: &Verdict| verdict.state != State::Failed;
    let mut ledger = Ledger::open("external", &suite.subject, passed)?;
    if plan.again {
        ledger.verdicts.retain(|name, _| !asked.contains(&name.as_str()));
    }
    let left: Vec<&str> = asked.iter().copied().filter(|name| !ledger.verdicts.contains_key(*name)).collect();
    timeline.note(&format!(
        "{} specs; {} are known from a run before: `--again` runs them too",
        asked.len(),
        asked.len() - left.len()
    ));
    batches(&suite, &left, timeline, |verdicts| ledger.add(verdicts))?;
    let of = ledger.verdicts.iter().filter(|(name, _)| asked.contains(&name.as_str()));
    let verdicts: BTreeMap<String, Verdict> = of.map(|(name, verdict)| (name.clone(), verdict.clone())).collect();
    table::junit("external", &verdicts)?;
    if plan.docs {
        let said = target.driver().cluster.raw("/version")?;
        let said: Value = serde_json::from_slice(&said).map_err(LabError::reply("the cluster's version"))?;
        let version = said["gitVersion"].as_str().unwrap_or_default();
        let about = format!("Kubernetes {version}, Berth {}", env!("CARGO_PKG_VERSION"));
        table::publish(&table::markdown(&about, &ledger.verdicts, &listing.left_out))?;
    }
    Ok(outcome(&verdicts, listing.specs.len()))
}

/// Runs a few specs, one of each kind. Specs that were not chosen are counted as not run.
pub fn sample(target: &Target, parts: &BuiltParts, state: &StateDir, timeline: &Timeline) -> Result<Outcome, LabError> {
    let suite = Suite::prepare(target, parts, state)?;
    let listing = suite.list()?;
    let chosen: Vec<&str> = listing.specs.iter().map(String::as_str).filter(|name| holds(name, SAMPLE)).collect();
    let mut verdicts = BTreeMap::new();
    batches(&suite, &chosen, timeline, |more| {
        verdicts.extend(more);
        Ok(())
    })?;
    table::junit("external-sample", &verdicts)?;
    let mut outcome = outcome(&verdicts, listing.specs.len());
    for missing in SAMPLE.iter().filter(|words| !chosen.iter().any(|name| name.contains(*words))) {
        outcome.add(Outcome::failure(format!("external storage: there is no spec {missing}")));
    }
    Ok(outcome)
}

fn holds(name: &str, words: &[impl AsRef<str>]) -> bool {
    words.is_empty() || words.iter().any(|words| name.contains(words.as_ref()))
}

/// Runs specs batch by batch, those that want to be alone last, and hands over the verdicts of each.
fn batches(
    suite: &Suite,
    specs: &[&str],
    timeline: &Timeline,
    mut done: impl FnMut(BTreeMap<String, Verdict>) -> Result<(), LabError>,
) -> Result<(), LabError> {
    let (alone, together): (Vec<&str>, Vec<&str>) = specs.iter().partition(|name| is_alone(name));
    for (specs, processes, kind) in [(together, PROCESSES, "together"), (alone, 1, "alone")] {
        for (number, batch) in specs.chunks(BATCH).enumerate() {
            let label = format!("{kind}-{}", number + 1);
            let verdicts = suite.run(batch, processes, &label)?;
            let of = specs.len().div_ceil(BATCH);
            timeline.note(&format!("specs {label} of {of}: {}", outcome(&verdicts, verdicts.len()).counts()));
            done(verdicts)?;
        }
    }
    Ok(())
}

/// The counts of a run of which there are `all` specs.
fn outcome(verdicts: &BTreeMap<String, Verdict>, all: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for (name, verdict) in verdicts {
        match verdict.state {
            State::Passed => outcome.passed += 1,
            State::NotApplicable => {}
            State::Failed => outcome.add(Outcome::failure(format!("{name}: {}", verdict.said))),
        }
    }
    outcome.not_run = all - outcome.passed - outcome.failed;
    outcome
}
