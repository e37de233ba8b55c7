//! What Berth promises about speed and memory, measured on this machine as ratios and counts within one run.

mod create;
mod footprint;
mod publish;

use std::thread;

use clap::ValueEnum;
use labkit::{
    base::{LabError, apart, chain},
    parts::Kubernetes,
};

use crate::{
    cluster::{Lab, binaries::Binaries, image, parts::LabParts, state::StateDir},
    report::{self, Line, Timeline},
    target::is_foreign,
};

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Volumes a second, and requests to the server for each.
    Create,
    /// Publishing beside mounting, in a guest.
    Publish,
    /// Memory at rest and a hundred claims, on the lab.
    Cluster,
}

/// Measures what is selected (nothing: everything), prints each figure beside its goal and writes
/// `target/report/bench.json`. Answers whether every goal holds; a part that could not be measured is a goal that does not
/// hold.
pub fn run(
    selected: &[Measurement],
    state: &StateDir,
    kubernetes: Kubernetes,
    timeline: &Timeline,
) -> Result<bool, LabError> {
    let wanted = |measurement| selected.is_empty() || selected.contains(&measurement);
    let parts = LabParts::ensure(kubernetes)?;
    let binaries = Binaries::build()?;
    let generator = binaries.load_generator()?;
    let image = image::build(&binaries)?;
    let mut lines = vec![Line::fact("load before (1 min)", load(), "")];
    lines.extend(footprint::image(&image)?);
    if wanted(Measurement::Create) {
        timeline.note("creating volumes on NFS-Ganesha");
        lines.extend(part("create", || create::measure(state, &binaries, &generator)));
    }
    if wanted(Measurement::Publish) {
        timeline.note("publishing volumes in a guest");
        lines.extend(part("publish", || publish::measure(state, &parts, &binaries, &generator)));
    }
    if wanted(Measurement::Cluster) {
        timeline.note("memory at rest and a hundred claims, on the lab");
        let there = state.note().is_some();
        lines.extend(part("cluster", || footprint::on_the_lab(state, kubernetes, timeline)));
        if !there && !is_foreign() {
            // Three guests at rest take most of a processor from whatever is measured next.
            Lab::end(state)?;
        }
    }
    lines.push(Line::fact("load after (1 min)", load(), ""));
    println!();
    let path = report::publish("bench", &lines)?;
    println!("figures: {}", path.display());
    Ok(lines.iter().all(|line| line.holds != Some(false)))
}

/// Measures in a thread of its own, because each part enters a network namespace.
fn part(name: &str, work: impl FnOnce() -> Result<Vec<Line>, LabError> + Send) -> Vec<Line> {
    apart(work).unwrap_or_else(|error| vec![Line::against(name, chain(&error), "", "can be measured", false)])
}

/// The machine's load average over one minute, and how many processors it has.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let one = load.split(' ').next().unwrap_or("?").to_owned();
    let processors = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{one} on {processors} processors")
}
