//! `lab`: a Kubernetes cluster on one machine, what it must do with Berth, and how fast.

use std::{os::unix::process::CommandExt, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use e2e::{
    bench::{self, Measurement},
    cluster::{
        Lab,
        binaries::Binaries,
        chart, image,
        parts::{LabParts, program},
        state::StateDir,
    },
    reliability,
    report::Timeline,
    scenarios,
    target::{self, Target},
    testrun::{
        self, Choice, Rung,
        external::{self, Plan},
    },
};
use labkit::{
    base::{LabError, chain, process},
    guest::Exec,
    parts::{self, Kernel, Kubernetes, Part},
};

#[derive(Debug, Parser)]
#[command(about = "A Kubernetes cluster on one machine, what it must do with Berth, and how fast", version)]
struct Args {
    /// Which lab; several can be up at once.
    #[arg(long, global = true, default_value = "default")]
    name: String,
    /// Which Kubernetes it is; one that is up with another is taken down and built anew.
    #[arg(long, global = true, default_value = "1.37")]
    kubernetes: Kubernetes,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build what a lab is made of into its cache (`BERTH_LAB_CACHE`, or berth-lab in the user's cache directory).
    #[command(after_help = cache())]
    Parts,
    /// Bring the cluster up, or find it up already.
    Up,
    /// End the lab's processes and remove its files but for the logs.
    Down {
        /// Every lab of this checkout.
        #[arg(long)]
        all: bool,
    },
    /// Say what runs.
    Status,
    /// Run kubectl against the lab.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Words for kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a shell command in a machine of the lab (node-1, node-2, nfs).
    Exec {
        /// The machine.
        machine: String,
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
    /// The main job from nothing: cluster, chart, three replicas that share a volume, and everything deleted again.
    Demo,
    /// Run scenarios, in their short forms, on the cluster with the driver installed.
    Scenario {
        /// Their names; none: those of the rung `cluster`.
        names: Vec<String>,
    },
    /// Run rungs of the test ladder; none: all. Ends with one summary.
    Test {
        /// The rungs.
        rungs: Vec<Rung>,
        /// Kernels for the rung `kernel`, instead of 6.1 and 6.12; may be given several times.
        #[arg(long = "kernel", value_name = "KERNEL")]
        kernels: Vec<Kernel>,
        /// Only these tests of the rungs: a filter in cargo-nextest's language, such as `test(outage)`.
        #[arg(long, value_name = "FILTER", requires = "rungs")]
        only: Option<String>,
    },
    /// Run Kubernetes' external storage suite, or go on with a run that was cut off.
    Conformance {
        /// Words of the specs to run; none: all.
        words: Vec<String>,
        /// Only the few that `lab test cluster` runs.
        #[arg(long, conflicts_with_all = ["words", "again", "docs"])]
        sample: bool,
        /// Run specs again that an earlier run with the same programs has done.
        #[arg(long)]
        again: bool,
        /// Write the table in docs/conformance.md.
        #[arg(long)]
        docs: bool,
    },
    /// Run the fault table, or go on with a run that was cut off; ends by writing docs/reliability.md.
    Reliability {
        /// Scenarios of the rows to run; none: all.
        names: Vec<String>,
        /// Run rows again that an earlier run with the same programs has done.
        #[arg(long)]
        again: bool,
        /// Run nothing, and write the page from what is known.
        #[arg(long, conflicts_with_all = ["names", "again"])]
        known: bool,
    },
    /// Run a test program in a guest (what cargo-nextest puts before each test of the rung `kernel`).
    #[command(hide = true)]
    InGuest {
        /// The guest's directory.
        guest: PathBuf,
        /// The program, on the host.
        program: PathBuf,
        /// Its words.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Measure what Berth promises.
    Bench {
        /// What to measure; nothing: everything that takes no minutes.
        what: Vec<Measurement>,
    },
    /// Build the static binaries and the image that holds them.
    Image,
    /// Render manifests/install.yaml from the chart.
    Manifests {
        /// Only lint the chart and compare.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, LabError> {
    let timeline = Timeline::default();
    match &args.command {
        Command::Down { all: true } => StateDir::names().iter().try_for_each(|name| down(name)).map(success),
        Command::Down { all: false } => down(&args.name).map(success),
        Command::Parts => LabParts::ensure(args.kubernetes).map(success),
        Command::Image => {
            let image = image::build(&Binaries::build()?)?;
            println!("{} ({:.1} MB) in {}", image.name(), image.megabytes()?, image.archive.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Manifests { check } => chart::manifests(&program(Part::HELM)?, *check).map(success),
        Command::InGuest { guest, program, words } => testrun::run_in_guest(guest, program, words).map(passed_on),
        _ => {
            let state = StateDir::open(&args.name)?;
            process::mark(state.root())?;
            in_lab(args, &state, &timeline)
        }
    }
}

/// Commands that start or enter something, and therefore carry the lab's mark.
fn in_lab(args: &Args, state: &StateDir, timeline: &Timeline) -> Result<ExitCode, LabError> {
    match &args.command {
        Command::Up => {
            privileged()?;
            Lab::up(state, &LabParts::ensure(args.kubernetes)?, &[], timeline)?;
            print!("{}", timeline.summary());
            println!("`lab kubectl …` talks to it, `lab exec MACHINE …` enters a machine, `lab down` ends it");
        }
        Command::Status => {
            let lab = Lab::attach(state)?;
            print!("{}", lab.cluster().kubectl().run(&["get", "nodes,pods", "-A", "-o", "wide"])?);
        }
        Command::Kubectl { words } => {
            let lab = Lab::attach(state)?;
            let source = lab.cluster().kubectl().command(words).exec();
            return Err(LabError::Start { program: "kubectl".to_owned(), source });
        }
        Command::Exec { machine, words } => {
            let command = Exec::sh(&words.join(" ")).timeout(Duration::from_hours(1));
            return Lab::attach(state)?.machine(machine)?.exec_shown(&command).map(passed_on);
        }
        Command::Demo => return scenario(&["demo".to_owned()], args, state, timeline),
        Command::Scenario { names } => return scenario(names, args, state, timeline),
        Command::Test { rungs, kernels, only } => {
            if !kernels.is_empty() && !rungs.is_empty() && !rungs.contains(&Rung::Kernel) {
                return Err(LabError::Precondition(
                    "--kernel is for the rung kernel, which is not among these".to_owned(),
                ));
            }
            if only.is_some() && !rungs.iter().all(|rung| rung.is_nextest()) {
                return Err(LabError::Precondition(
                    "--only is for rungs of Rust test programs, and one of these is none".to_owned(),
                ));
            }
            // Scenarios on a cluster that is not the lab's need nothing of this machine.
            if rungs.as_slice() != [Rung::Cluster] || !target::is_foreign() {
                privileged()?;
            }
            let choice = Choice { kernels, kubernetes: args.kubernetes, only: only.as_deref() };
            return Ok(verdict(testrun::run(rungs, choice, state, timeline)?.failed == 0));
        }
        Command::Conformance { words, sample, again, docs } => {
            if !target::is_foreign() {
                privileged()?;
            }
            let parts = external::build(args.kubernetes)?;
            let target = Target::prepare(state, args.kubernetes, timeline)?;
            let outcome = if *sample {
                external::sample(&target, &parts, state, timeline)?
            } else {
                let plan = Plan { words, again: *again, docs: *docs };
                external::run(plan, &target, &parts, state, timeline)?
            };
            for failure in &outcome.failures {
                println!("  FAILED {failure}");
            }
            println!("{}", outcome.counts());
            return Ok(verdict(outcome.failed == 0));
        }
        Command::Reliability { names, again, known } => {
            reliability::check(names)?;
            privileged()?;
            let target = Target::prepare(state, args.kubernetes, timeline)?;
            let plan = reliability::Plan { names, again: *again, known: *known };
            let outcome = reliability::run(plan, &target, timeline)?;
            for failure in &outcome.failures {
                println!("  FAILED {failure}");
            }
            println!("{}", outcome.counts());
            return Ok(verdict(outcome.failed == 0));
        }
        Command::Bench { what } => {
            privileged()?;
            return Ok(verdict(bench::run(what, state, args.kubernetes, timeline)?));
        }
        Command::Down { .. }
        | Command::Parts
        | Command::Image
        | Command::Manifests { .. }
        | Command::InGuest { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn scenario(names: &[String], args: &Args, state: &StateDir, timeline: &Timeline) -> Result<ExitCode, LabError> {
    scenarios::check(names)?;
    if !target::is_foreign() {
        privileged()?;
    }
    let target = Target::prepare(state, args.kubernetes, timeline)?;
    let outcome = scenarios::run(names, target.driver(), target.lab(), timeline);
    print!("{}", timeline.summary());
    if target.lab().is_some() {
        println!("the lab stays up: `lab kubectl …` talks to it, `lab down` ends it");
    }
    println!("{}", outcome.counts());
    Ok(verdict(outcome.failed == 0))
}

fn down(name: &str) -> Result<(), LabError> {
    let ended = Lab::down(name)?;
    println!("lab {name}: {ended} processes ended, nothing left but its logs");
    Ok(())
}

/// Network namespaces, taps and mounts need root; saying so beats the kernel's `EPERM` halfway.
fn privileged() -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(LabError::Precondition("the lab makes network namespaces and tap devices: run it as root".to_owned()))
}

/// Where the parts of this machine's labs are.
fn cache() -> String {
    parts::cache().map_or_else(|error| chain(&error), |path| format!("On this machine it is {}.", path.display()))
}

/// The exit status of a command in a guest as this program's own.
fn passed_on(status: i32) -> ExitCode {
    u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn success<T>(_: T) -> ExitCode {
    ExitCode::SUCCESS
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
