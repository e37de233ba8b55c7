//! What a cluster with Berth must do, each behaviour in a file and a namespace of its own.
//!
//! A scenario talks to the cluster through its API server alone, so that it runs against the lab and against any other cluster;
//! those that must reach into a machine (restart a kubelet, look at a server's disk) say so and need the lab.

mod bad_input;
mod context;
mod demo;
mod dump;
mod events;
mod failover;
mod hundred;
mod long_names;
mod refused_mount;
mod registration;
mod restart;
mod share;
mod squashed;
mod static_volume;
mod traffic;

pub use context::Context;
pub use hundred::{Hundred, measure as measure_hundred};

use crate::{
    base::{LabError, chain},
    cluster::Lab,
    report::{Outcome, Timeline},
    target::Driver,
};

/// A behaviour that is tried on a cluster.
#[derive(Debug)]
pub struct Scenario {
    /// Name on the command line and in reports.
    pub name: &'static str,
    /// What holds when it passes.
    pub about: &'static str,
    /// Whether it needs the lab's machines, not only an API server.
    pub needs_lab: bool,
    run: fn(&Context<'_>) -> Result<(), LabError>,
}

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
    restart::PLUGIN,
    restart::KUBELET,
    failover::SCENARIO,
    hundred::SCENARIO,
];

/// Runs the scenarios named in `names` (none: all) one after the other; a failure does not stop the rest.
pub fn run(names: &[String], driver: &Driver, lab: Option<&Lab>, timeline: &Timeline) -> Result<Outcome, LabError> {
    let mut outcome = Outcome::default();
    for name in names {
        if !ALL.iter().any(|scenario| scenario.name == name) {
            let known: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
            return Err(LabError::Precondition(format!(
                "no scenario is called {name}; there are {}",
                known.join(", ")
            )));
        }
    }
    for scenario in ALL.iter().filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name)) {
        if scenario.needs_lab && lab.is_none() {
            timeline.note(&format!("{}: not run: it reaches into the nodes, which only the lab allows", scenario.name));
            outcome.not_run += 1;
            continue;
        }
        outcome.add(run_one(scenario, driver, lab, timeline)?);
    }
    Ok(outcome)
}

fn run_one(scenario: &Scenario, driver: &Driver, lab: Option<&Lab>, timeline: &Timeline) -> Result<Outcome, LabError> {
    timeline.note(&format!("scenario {}: {}", scenario.name, scenario.about));
    let context = Context::open(scenario.name, driver, lab, timeline)?;
    match (scenario.run)(&context).and_then(|()| context.close()) {
        Ok(()) => {
            timeline.step(&format!("{}: passed", scenario.name));
            Ok(Outcome::pass())
        }
        Err(error) => {
            let place = dump::write(&context)?;
            timeline.step(&format!("{}: FAILED: {}", scenario.name, chain(&error)));
            timeline.note(&format!("state of the cluster at that moment: {}", place.display()));
            context.abandon();
            Ok(Outcome::failure(format!("scenario {}: {}", scenario.name, chain(&error))))
        }
    }
}
