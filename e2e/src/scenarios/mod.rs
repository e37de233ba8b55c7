//! What a cluster with Berth must do, each behaviour in a file and a namespace of its own.
//!
//! A scenario talks to the cluster through its API server alone, so that it runs against the lab and against any other cluster;
//! those that must reach into a machine (restart a kubelet, look at a server's disk) say so and need the lab.

mod again;
mod bad_input;
mod context;
mod copied;
mod demo;
mod disk_full;
mod dump;
mod events;
mod export;
mod failover;
mod folder;
mod hundred;
mod killed_api;
mod long_names;
mod nameless;
mod plugins;
mod power;
mod private;
mod refused_mount;
mod registration;
mod replaced;
mod restart;
mod scenario;
mod server_away;
mod share;
mod silence;
mod soak;
mod squashed;
mod startup_taint;
mod static_volume;
mod traffic;
mod uninstalled;
mod updated;
mod writers;

use labkit::base::LabError;

pub use context::{Context, Size};
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
    updated::SCENARIO,
    folder::SCENARIO,
    uninstalled::SCENARIO,
    server_away::KILLED,
    export::REMOVED,
    export::STALE_HANDLES,
    disk_full::SCENARIO,
];

/// Those for which the test ladder has no time: they are run when they are named, and by `lab reliability`.
pub const LONG: &[Scenario] = &[
    power::CUT,
    power::LOST,
    server_away::UNREACHABLE,
    server_away::GONE,
    export::RENAMED,
    nameless::SCENARIO,
    soak::SCENARIO,
];

/// Whether there is a scenario of each of these names: to be asked before a cluster is brought up for them.
pub fn check(names: &[String]) -> Result<(), LabError> {
    names.iter().try_for_each(|name| named(name).map(drop))
}

/// The scenario of this name, be it one that only runs when it is asked for.
pub fn named(name: &str) -> Result<&'static Scenario, LabError> {
    ALL.iter().chain(LONG).find(|scenario| scenario.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().chain(LONG).map(|scenario| scenario.name).collect();
        LabError::Precondition(format!("no scenario is called {name}; there are {}", known.join(", ")))
    })
}

/// Runs the short forms of the scenarios named in `names` (none: all of [`ALL`]) one after the other; a failure does not stop the
/// rest.
pub fn run(names: &[String], driver: &Driver, lab: Option<&Lab>, timeline: &Timeline) -> Outcome {
    let mut outcome = Outcome::default();
    let asked = |scenario: &&Scenario| names.iter().any(|name| name == scenario.name);
    let of_ladder = ALL.iter().filter(|scenario| names.is_empty() || asked(scenario));
    for scenario in of_ladder.chain(LONG.iter().filter(asked)) {
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
