//! The test ladder: every rung, from what runs inside one process to a whole cluster, and one summary.

mod conformance;
pub mod programs;
mod rungs;
mod sanity;

use std::{path::Path, thread};

use clap::ValueEnum;

pub use sanity::{Account, account};

use crate::{
    base::{LabError, chain},
    cluster::{Lab, api_only::ApiOnly, binaries::Binaries, parts::LabParts, single::Single, state::StateDir},
    parts::Kubernetes,
    report::{self, Line, Outcome, Timeline},
    scenarios,
    target::Target,
};

/// A step of the ladder. Each needs more of the real world than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rung {
    /// Unit and property tests: nothing outside the process.
    Unit,
    /// The protocol, against NFS-Ganesha on loopback.
    Wire,
    /// Mount API on this host's kernel, as root.
    Privileged,
    /// The provisioner against a real API server.
    Apiserver,
    /// The lab's own guests: booting, commands, files, containers.
    Guest,
    /// NFS client, server and mount API of a Debian kernel, in a guest.
    Kernel,
    /// csi-sanity against both sockets, in a guest.
    Conformance,
    /// Scenarios on a whole cluster.
    Cluster,
}

impl Rung {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Minutes it takes on two cores when everything but this checkout's own programs is built.
    fn usual(self) -> u32 {
        match self {
            Self::Privileged | Self::Guest => 1,
            Self::Unit | Self::Wire | Self::Apiserver => 2,
            Self::Kernel => 3,
            Self::Conformance => 6,
            Self::Cluster => 10,
        }
    }
}

/// Runs the rungs (none: all) and prints the summary. The last line is `N passed, N failed`.
pub fn run(
    selected: &[Rung],
    state: &StateDir,
    kubernetes: Kubernetes,
    timeline: &Timeline,
) -> Result<Outcome, LabError> {
    let all = Rung::value_variants();
    let rungs: Vec<Rung> = all.iter().copied().filter(|rung| selected.is_empty() || selected.contains(rung)).collect();
    let mut results = Vec::new();
    for rung in rungs {
        let name = rung.name();
        timeline.note(&format!("rung {name} ({} min usually)", rung.usual()));
        fresh_log(rung)?;
        let outcome = one(rung, state, kubernetes, timeline)
            .unwrap_or_else(|error| Outcome::failure(format!("rung {name}: {}", chain(&error))));
        timeline.step(&format!("rung {name}: {} passed, {} failed", outcome.passed, outcome.failed));
        results.push((name, outcome));
    }
    summarise(results, timeline)
}

fn fresh_log(rung: Rung) -> Result<(), LabError> {
    let path = rungs::log_of(&rung.name())?;
    std::fs::write(&path, "").map_err(LabError::file(&path))
}

fn one(rung: Rung, state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Outcome, LabError> {
    match rung {
        Rung::Unit => rungs::unit(timeline),
        Rung::Wire => {
            // For the Debian packages: NFS-Ganesha is one.
            LabParts::ensure(kubernetes)?;
            // One of its tests fills a disk, which it mounts for that.
            rungs::each("wire", timeline, rungs::in_mount_namespace)
        }
        Rung::Privileged => rungs::each("privileged", timeline, rungs::in_mount_namespace),
        // These enter a network namespace, which is a thread's, not the process's: each gets a thread of its own.
        Rung::Apiserver => apart(|| {
            let parts = LabParts::ensure(kubernetes)?;
            let api = ApiOnly::start(state, parts.control_plane())?;
            let config = api.kubeconfig();
            let environment: &[(&str, &Path)] = &[("BERTH_TEST_KUBECONFIG", &config), ("KUBECONFIG", &config)];
            rungs::each("apiserver", timeline, |program| rungs::on_host(program, &[], environment))
        }),
        // Each test boots a guest; one at a time is as fast where they are emulated.
        Rung::Guest => rungs::each("guest", timeline, |program| rungs::on_host(program, &["--test-threads=1"], &[])),
        Rung::Kernel => apart(|| {
            let single = Single::start(state, &LabParts::ensure(kubernetes)?)?;
            rungs::each("kernel", timeline, |program| rungs::in_guest(program, &single))
        }),
        Rung::Conformance => {
            let binaries = Binaries::build()?;
            apart(|| {
                let parts = LabParts::ensure(kubernetes)?;
                let single = Single::start(state, &parts)?;
                Ok(conformance::run(&single, &parts, &binaries, timeline)?.outcome)
            })
        }
        Rung::Cluster => apart(|| cluster(state, kubernetes, timeline)),
    }
}

/// Runs the scenarios. A lab that was up before stays up; one that was brought up for them goes with them.
fn cluster(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Outcome, LabError> {
    let mine = state.note().is_none();
    let target = Target::prepare(state, kubernetes, timeline)?;
    let mut outcome = scenarios::run(&[], target.driver(), target.lab(), timeline)?;
    if let Some(driver) = target.second_flavour()? {
        timeline.note("the same main job on the second server, NFS-Ganesha, as on a cluster that is not the lab's");
        outcome.add(scenarios::run(&["demo".to_owned()], &driver, None, timeline)?);
    }
    if mine && target.lab().is_some() {
        Lab::end(state)?;
    }
    Ok(outcome)
}

fn apart<T: Send>(work: impl FnOnce() -> Result<T, LabError> + Send) -> Result<T, LabError> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(LabError::Unmet("the rung's thread panicked".to_owned())))
}

fn summarise(results: Vec<(String, Outcome)>, timeline: &Timeline) -> Result<Outcome, LabError> {
    let mut lines = Vec::new();
    let mut total = Outcome::default();
    for (name, outcome) in results {
        let counts = format!("{} passed, {} failed, {} not run", outcome.passed, outcome.failed, outcome.not_run);
        lines.push(Line::against(&name, counts, "", "0 failed", outcome.failed == 0));
        total.add(outcome);
    }
    lines.push(Line::fact("took", (timeline.elapsed().as_secs_f64() / 60.0 * 10.0).round() / 10.0, "min"));
    println!();
    let path = report::publish("test", &lines)?;
    for failure in &total.failures {
        println!("  FAILED {failure}");
    }
    println!("logs: {}; figures: {}", rungs::log_of("*")?.display(), path.display());
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total)
}
