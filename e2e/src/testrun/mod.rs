//! The test ladder: every rung, from what runs inside one process to a whole cluster, and one summary.

mod audit;
mod conformance;
pub mod external;
mod ginkgo;
mod in_guest;
mod kernels;
mod nextest;
mod sanity;

use clap::ValueEnum;
use labkit::{
    base::{LabError, apart, chain},
    parts::{Kernel, Kubernetes},
};

pub use in_guest::run as run_in_guest;

use crate::{
    cluster::{
        Lab, api_only::ApiOnly, binaries::Binaries, dockerfile, parts::LabParts, single::Single, state::StateDir,
    },
    report::{self, Line, Outcome, Timeline},
    scenarios,
    target::{self, Target},
};
use nextest::{Nextest, Place};

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

    /// Whether it consists of Rust test programs.
    pub fn is_nextest(self) -> bool {
        !matches!(self, Self::Conformance | Self::Cluster)
    }

    /// Minutes it takes on two cores when everything but this checkout's own programs is built.
    fn usual(self) -> u32 {
        match self {
            Self::Privileged => 1,
            Self::Unit | Self::Wire | Self::Apiserver => 2,
            Self::Guest => 3,
            Self::Kernel => 8,
            Self::Conformance => 6,
            Self::Cluster => 26,
        }
    }
}

/// What a run of the ladder runs on.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Kernels of [`Rung::Kernel`]; none: the usual ones.
    pub kernels: &'a [Kernel],
    /// Kubernetes of every rung that has one.
    pub kubernetes: Kubernetes,
    /// Which tests to run of rungs that consist of Rust test programs, in nextest's language of filters; none: all.
    pub only: Option<&'a str>,
}

/// Runs the rungs (none: all) and prints the summary. The last line is `N passed, N failed, N not run`, whatever fails:
/// test programs that do not build or cannot be listed are a failure, and each rung that wants for them is another.
pub fn run(selected: &[Rung], choice: Choice<'_>, state: &StateDir, timeline: &Timeline) -> Result<Outcome, LabError> {
    let all = Rung::value_variants();
    let rungs: Vec<Rung> = all.iter().copied().filter(|rung| selected.is_empty() || selected.contains(rung)).collect();
    let mut results = Vec::new();
    let mut nextest = None;
    if rungs.iter().any(|rung| rung.is_nextest()) {
        let audited = test_programs(all, choice.only, timeline).map(|(built, audited)| {
            nextest = Some(built);
            audited
        });
        results.push(("ladder".to_owned(), counted("ladder", audited)));
    }
    for rung in rungs {
        let name = rung.name();
        timeline.note(&format!("rung {name} ({} min usually)", rung.usual()));
        let outcome = counted(&format!("rung {name}"), one(rung, choice, nextest.as_ref(), state, timeline));
        timeline.step(&format!("rung {name}: {}", outcome.counts()));
        results.push((name, outcome));
    }
    summarise(results, timeline)
}

/// Builds the test programs and holds them against the rungs that run them.
fn test_programs(rungs: &[Rung], only: Option<&str>, timeline: &Timeline) -> Result<(Nextest, Outcome), LabError> {
    let nextest = Nextest::ensure(only)?;
    nextest.build()?;
    timeline.step("test programs built");
    let names: Vec<String> = rungs.iter().filter(|rung| rung.is_nextest()).map(|rung| rung.name()).collect();
    let audited = audit::run(&nextest, &names)?;
    Ok((nextest, audited))
}

fn one(
    rung: Rung,
    choice: Choice<'_>,
    nextest: Option<&Nextest>,
    state: &StateDir,
    timeline: &Timeline,
) -> Result<Outcome, LabError> {
    let Choice { kernels, kubernetes, only } = choice;
    match (rung, nextest) {
        (Rung::Kernel, Some(nextest)) => apart(|| Ok(kernels::run(nextest, kernels, state, timeline))),
        (Rung::Conformance, _) => {
            let binaries = Binaries::build()?;
            apart(|| {
                let parts = LabParts::ensure(kubernetes)?;
                let single = Single::start(state, parts.guest_image())?;
                Ok(conformance::run(&single, &binaries, timeline)?.outcome)
            })
        }
        (Rung::Cluster, _) => apart(|| cluster(state, kubernetes, timeline)),
        (Rung::Unit, Some(nextest)) => {
            let mut outcome = programs(rung, kubernetes, nextest, state)?;
            if only.is_none() {
                outcome.add(nextest::examples()?);
            }
            Ok(outcome)
        }
        (_, Some(nextest)) => programs(rung, kubernetes, nextest, state),
        (_, None) => Err(LabError::Unmet("its test programs were not built, or not listed".to_owned())),
    }
}

/// Runs a rung of test programs where its tests find what they need.
fn programs(rung: Rung, kubernetes: Kubernetes, nextest: &Nextest, state: &StateDir) -> Result<Outcome, LabError> {
    let name = rung.name();
    let here = |place: &Place| nextest.run(&name, &name, place);
    match rung {
        Rung::Wire => {
            // For the Debian packages: NFS-Ganesha is one.
            LabParts::ensure(kubernetes)?;
            here(&apart_from_others())
        }
        Rung::Privileged => here(&apart_from_others()),
        Rung::Apiserver => apart(|| {
            let parts = LabParts::ensure(kubernetes)?;
            let api = ApiOnly::start(state, parts.control_plane(), kubernetes)?;
            let config = api.kubeconfig().into_os_string();
            let environment = vec![("BERTH_TEST_KUBECONFIG", config.clone()), ("KUBECONFIG", config)];
            here(&Place { environment, ..Place::default() })
        }),
        _ => here(&Place::default()),
    }
}

/// Each test with mounts and processes of its own, so that one that dies leaves none behind, be they in groups of their own.
fn apart_from_others() -> Place {
    let words =
        ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
    Place { runner: words.map(str::to_owned).to_vec(), ..Place::default() }
}

/// Runs the scenarios. A lab that was up before stays up; one that was brought up for them goes with them.
fn cluster(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Outcome, LabError> {
    let mine = state.note().is_none();
    // The specs of other releases have other names.
    let has_suite = kubernetes == Kubernetes::default() && !target::is_foreign();
    let suite = has_suite.then(|| external::build(kubernetes)).transpose()?;
    let target = Target::prepare(state, kubernetes, timeline)?;
    let mut outcome = scenarios::run(&[], target.driver(), target.lab(), timeline);
    if let Some(suite) = &suite {
        timeline.note("a few specs of Kubernetes' external storage suite (5 min usually)");
        outcome.add(counted("external storage suite", external::sample(&target, suite, state, timeline)));
    }
    if target.lab().is_some() {
        timeline.note("the Dockerfile's stages, held against the image");
        outcome.add(counted("Dockerfile", dockerfile::check(&Binaries::build()?).map(|()| Outcome::pass())));
        timeline.note(
            "installed by the manifests, on the second server, NFS-Ganesha, as on a cluster that is not the lab's",
        );
        let names = ["demo", "static-volume"].map(str::to_owned);
        let again = target.by_manifests(|driver| Ok(scenarios::run(&names, driver, None, timeline)));
        outcome.add(counted("installed by the manifests", again.map(Option::unwrap_or_default)));
    }
    if mine && target.lab().is_some() {
        Lab::end(state)?;
    }
    Ok(outcome)
}

/// What did not come to counts is one failure.
fn counted(name: &str, done: Result<Outcome, LabError>) -> Outcome {
    done.unwrap_or_else(|error| Outcome::failure(format!("{name}: {}", chain(&error))))
}

fn summarise(results: Vec<(String, Outcome)>, timeline: &Timeline) -> Result<Outcome, LabError> {
    let mut lines = Vec::new();
    let mut total = Outcome::default();
    for (name, outcome) in results {
        lines.push(Line::against(&name, outcome.counts(), "", "0 failed", outcome.failed == 0));
        total.add(outcome);
    }
    lines.push(Line::fact("took", (timeline.elapsed().as_secs_f64() / 60.0 * 10.0).round() / 10.0, "min"));
    println!();
    let path = report::publish("test", &lines)?;
    for failure in &total.failures {
        println!("  FAILED {failure}");
    }
    println!("reports: {}; figures: {}", report::directory()?.display(), path.display());
    println!("{}", total.counts());
    Ok(total)
}
