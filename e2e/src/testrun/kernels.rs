//! The rung `kernel`: on which kernels it runs, and a guest for each.

use std::path::PathBuf;

use super::{
    in_guest,
    nextest::{Nextest, Place},
};
use crate::{
    base::{LabError, chain},
    cluster::{parts, single::Single, state::StateDir},
    parts::Kernel,
    report::{Outcome, Timeline},
};

/// The name of the rung and of its profile.
const RUNG: &str = "kernel";

/// Runs the rung's tests in a guest for each kernel (none named: the one that the lab's nodes boot, and its successor). A
/// kernel that Debian no longer serves is said to be so and counted as not run; one that does not boot is a failure and does
/// not keep the next from its turn.
pub(super) fn run(nextest: &Nextest, kernels: &[Kernel], state: &StateDir, timeline: &Timeline) -> Outcome {
    let kernels = if kernels.is_empty() { &[Kernel::Linux6_1, Kernel::Linux6_12] } else { kernels };
    let mut outcome = Outcome::default();
    for &kernel in kernels {
        let label = format!("{RUNG}-{}", kernel.name());
        let one = on(nextest, kernel, &label, state, timeline)
            .unwrap_or_else(|error| Outcome::failure(format!("{label}: {}", chain(&error))));
        timeline.note(&format!("{label}: {}", one.counts()));
        outcome.add(one);
    }
    outcome
}

fn on(
    nextest: &Nextest,
    kernel: Kernel,
    label: &str,
    state: &StateDir,
    timeline: &Timeline,
) -> Result<Outcome, LabError> {
    let Some(image) = parts::guest_image(kernel)? else {
        timeline.note(&format!("not run: kernel {}: no longer served", kernel.name()));
        return Ok(Outcome { not_run: 1, ..Outcome::default() });
    };
    let single = Single::start(state, &image)?;
    let guest = single.machine();
    timeline.note(&format!("kernel {}: {}", kernel.name(), guest.sh("uname -r")?.trim()));
    in_guest::copy(&nextest.list(RUNG)?, guest)?;
    let lab = std::env::current_exe().map_err(LabError::file("/proc/self/exe"))?;
    let runner = [lab, PathBuf::from("in-guest"), guest.directory().to_owned()];
    let runner = runner.iter().map(|word| word.display().to_string()).collect();
    let environment = single.environment().map(|(key, value)| (key, value.into())).into_iter().collect();
    nextest.run(RUNG, label, &Place { runner, environment })
}
