//! What Berth promises about speed and memory, measured on this machine as ratios and counts within one run.

mod create;
mod footprint;
mod known;
mod node;
mod trash;

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
    /// Reading and writing through a pooled mount beside one of its own, in a guest.
    Data,
    /// Memory, threads and connections of the node plugin with 500 volumes and after 10,000 publishes, in a guest. Takes minutes.
    Held,
    /// Memory at rest and a hundred claims, on the lab.
    Cluster,
    /// Emptying the trash beside `rm -rf`, in a guest. Takes a quarter of an hour.
    Trash,
    /// Memory with 10,000 claims and their volumes known. Takes minutes.
    Known,
    /// A thousand claims at once, on the lab. Takes minutes.
    Thousand,
}

impl Measurement {
    /// Whether it is measured only when it is asked for.
    fn is_long(self) -> bool {
        matches!(self, Self::Trash | Self::Known | Self::Thousand | Self::Held)
    }
}

/// Measures what is selected (nothing: everything that takes no minutes), prints each figure beside its goal and writes
/// `target/report/bench.json`. Answers whether every goal holds; a part that could not be measured is a goal that does not
/// hold.
pub fn run(
    selected: &[Measurement],
    state: &StateDir,
    kubernetes: Kubernetes,
    timeline: &Timeline,
) -> Result<bool, LabError> {
    let wanted = |measurement: Measurement| {
        if selected.is_empty() { !measurement.is_long() } else { selected.contains(&measurement) }
    };
    let parts = LabParts::ensure(kubernetes)?;
    let binaries = Binaries::build()?;
    // Where it is not needed, it need not be built.
    let generator = || binaries.load_generator();
    let image = image::build(&binaries)?;
    let mut lines = vec![Line::fact("load before (1 min)", load(), "")];
    lines.extend(footprint::image(&image)?);
    if wanted(Measurement::Create) {
        timeline.note("creating volumes on NFS-Ganesha");
        lines.extend(part("create", || create::measure(state, &binaries, &generator()?)));
    }
    if wanted(Measurement::Publish) {
        timeline.note("publishing volumes in a guest");
        lines.extend(part("publish", || node::publish::measure(state, &parts, &binaries, &generator()?)));
    }
    if wanted(Measurement::Data) {
        timeline.note("reading and writing, in a guest");
        lines.extend(part("data", || node::data::measure(state, &parts, &binaries, &generator()?)));
    }
    if wanted(Measurement::Held) {
        timeline.note("what the node plugin holds, in a guest");
        lines.extend(part("held", || node::held::measure(state, &parts, &binaries, &generator()?, timeline)));
    }
    if wanted(Measurement::Trash) {
        timeline.note("emptying the trash, in a guest (a quarter of an hour usually)");
        lines.extend(part("trash", || trash::measure(state, &parts, &binaries, &generator()?, timeline)));
    }
    if wanted(Measurement::Known) {
        timeline.note("memory with many claims and volumes known, beside an API server");
        lines.extend(part("known", || known::measure(state, &parts, &binaries, kubernetes)));
    }
    let there = state.note().is_some();
    if wanted(Measurement::Cluster) {
        timeline.note("memory at rest and a hundred claims, on the lab");
        lines.extend(part("cluster", || footprint::on_the_lab(state, kubernetes, timeline)));
    }
    if wanted(Measurement::Thousand) {
        timeline.note("a thousand claims at once, on the lab");
        lines.extend(part("thousand", || footprint::a_thousand(state, kubernetes, timeline)));
    }
    if !there && !is_foreign() && state.note().is_some() {
        // Three guests at rest take most of a processor from whatever is measured next.
        Lab::end(state)?;
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
