//! What a cluster with Berth must do, each behaviour in a file and a namespace of its own.
//!
//! A scenario talks to the cluster through its API server alone, so that it runs against the lab and against any other cluster;
//! those that must reach into a machine (restart a kubelet, look at a server's disk) say so and need the lab.

mod again;
mod bad_input;
mod context;
mod copied;
mod demo;
mod dump;
mod events;
mod failover;
mod hundred;
mod killed_api;
mod long_names;
mod private;
mod refused_mount;
mod registration;
mod replaced;
mod restart;
mod scenario;
mod share;
mod silence;
mod squashed;
mod startup_taint;
mod static_volume;
mod traffic;

use labkit::base::LabError;

pub use context::Context;
pub use hundred::{AtOnce, Ended, measure as measure_at_once, measure_to_the_end};

pub use scenario::Scenario;
pub use silence::{BesideSilence, measure as measure_beside_silence};

use crate::{
    cluster::Lab,
    report::{Outcome, Timeline},
    target::Driver,
};

/// Every scenario, in the order in which they run.
pub const ALL: &[Scenario] = &[
    demo::SCENARIO,
    traffic::SCENARIO,
    registration::SCENARIO,
    bad_input::SCENARIO,
    refused_mount::SCENARIO,
    long_names::SCENARIO,
    static_volume::SCENARIO,
    squashed::SCENARIO,
    private::SCENARIO,
    copied::SCENARIO,
    replaced::SCENARIO,
    again::SCENARIO,
    restart::PLUGIN,
    restart::KUBELET,
    startup_taint::SCENARIO,
    silence::SERVER,
    silence::API,
    killed_api::SCENARIO,
    failover::SCENARIO,
    hundred::SCENARIO,
];

/// Whether there is a scenario of each of these names: to be asked before a cluster is brought up for them.
pub fn check(names: &[String]) -> Result<(), LabError> {
    let known: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let known = known.join(", ");
            Err(LabError::Precondition(format!("no scenario is called {name}; there are {known}")))
        }
        None => Ok(()),
    }
}

/// Runs the scenarios named in `names` (none: all) one after the other; a failure does not stop the rest.
pub fn run(names: &[String], driver: &Driver, lab: Option<&Lab>, timeline: &Timeline) -> Outcome {
    let mut outcome = Outcome::default();
    for scenario in ALL.iter().filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name)) {
        if scenario.needs_lab && lab.is_none() {
            timeline.note(&format!("{}: not run: it reaches into the nodes, which only the lab allows", scenario.name));
            outcome.not_run += 1;
            continue;
        }
        outcome.add(scenario.attempt(driver, lab, timeline));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::{scenario::tests::driver, *};

    #[test]
    fn one_that_fails_does_not_stop_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["demo", "bad-input"].map(str::to_owned);
        let outcome = run(&names, &driver(dir.path()), None, &Timeline::default());
        assert_eq!((outcome.passed, outcome.failed), (0, 2));
        for (name, failure) in names.iter().zip(&outcome.failures) {
            assert!(failure.contains(name) && failure.contains("refused"), "{failure}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_are_known() {
        let error = check(&["demo", "demonstration"].map(str::to_owned)).unwrap_err().to_string();
        assert!(check(&["demo".to_owned()]).is_ok() && check(&[]).is_ok());
        assert!(error.contains("called demonstration") && error.contains("bad-input"), "{error}");
    }
}
