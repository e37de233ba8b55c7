//! The rung `kernel`: on which kernels it runs, and a guest for each.

use super::rungs;
use crate::{
    base::{LabError, chain},
    cluster::{parts, single::Single, state::StateDir},
    parts::Kernel,
    report::{Outcome, Timeline},
};

/// The kernels of a run: those that were asked for, else the one that the lab's nodes boot and its successor.
pub fn of_a_run(asked: &[Kernel]) -> &[Kernel] {
    if asked.is_empty() { &[Kernel::Linux6_1, Kernel::Linux6_12] } else { asked }
}

/// Runs the rung's tests in a guest for each kernel. A kernel that Debian no longer serves is said to be so and counted as
/// not run; one that does not boot is a failure and does not keep the next from its turn.
pub(super) fn run(kernels: &[Kernel], state: &StateDir, timeline: &Timeline) -> Outcome {
    let mut outcome = Outcome::default();
    for &kernel in kernels {
        let name = format!("kernel {}", kernel.name());
        let one = on(kernel, state, timeline).unwrap_or_else(|error| Outcome::failure(chain(&error)));
        let failures = one.failures.iter().map(|failure| format!("{name}: {failure}")).collect();
        timeline.note(&format!("{name}: {} passed, {} failed, {} not run", one.passed, one.failed, one.not_run));
        outcome.add(Outcome { failures, ..one });
    }
    outcome
}

fn on(kernel: Kernel, state: &StateDir, timeline: &Timeline) -> Result<Outcome, LabError> {
    let Some(image) = parts::guest_image(kernel)? else {
        timeline.note(&format!("not run: kernel {}: no longer served", kernel.name()));
        return Ok(Outcome { not_run: 1, ..Outcome::default() });
    };
    let single = Single::start(state, &image)?;
    timeline.note(&format!("kernel {}: {}", kernel.name(), single.machine().sh("uname -r")?.trim()));
    rungs::each("kernel", timeline, |program| rungs::in_guest(program, &single))
}
