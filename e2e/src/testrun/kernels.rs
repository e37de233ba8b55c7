//! The rung `kernel`: on which kernels it runs, and a guest for each.

use std::path::PathBuf;

use labkit::{
    base::{LabError, chain},
    parts::Kernel,
};

use super::{
    in_guest,
    nextest::{Nextest, Place},
};
use crate::{
    cluster::{parts, single::Single, state::StateDir},
    report::{Outcome, Timeline},
};

/// The name of the rung and of its profile.
const RUNG: &str = "kernel";
/// The module of the tests on `/srv/casefold`.
const CASEFOLD: &str = "casefold::";

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
    in_guest::copy(&nextest.selected(RUNG)?, guest)?;
    // Not by its path: the build of the test programs, which has other features, puts another program there.
    let lab = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let runner = [lab, PathBuf::from("in-guest"), guest.directory().to_owned()];
    let runner = runner.iter().map(|word| word.display().to_string()).collect();
    let environment = single.environment().map(|(key, value)| (key, value.into())).into_iter().collect();
    let has_casefold = guest.sh("mountpoint -q /srv/casefold").is_ok();
    let leave_out = if has_casefold { None } else { Some(CASEFOLD) };
    if !has_casefold {
        timeline.note(&format!("not run: tests of {CASEFOLD}: this kernel's ext4 has no case-insensitive names"));
    }
    nextest.run(RUNG, label, &Place { runner, environment, leave_out })
}
