//! What a node's plugin says of itself, and what processes of a node are made of.

use labkit::base::LabError;

use super::Context;
use crate::{cluster::machine::Machine, metrics};

/// Metrics of a node's plugin, read on the node: it listens on loopback alone unless the chart's values say otherwise.
pub(super) const METRICS: &str = "http://127.0.0.1:9819/metrics";

/// What a node's plugin counts under a name, whatever its labels.
pub(super) fn counted(context: &Context<'_>, node: &str, name: &str) -> Result<f64, LabError> {
    let text = context.lab()?.machine(node)?.sh(&format!("curl -sSf --max-time 10 {METRICS}"))?;
    if text.lines().any(|line| line.starts_with(name)) {
        return Ok(metrics::total(&text, name, &[]));
    }
    Err(LabError::Unmet(format!("the plugin on {node} has no metric {name}")))
}

/// Threads of a program that runs once on a machine, and how many of them wait in the kernel and cannot be interrupted.
pub(super) fn threads(machine: &Machine, program: &str) -> Result<(u32, u32), LabError> {
    let script = format!(
        "cd /proc/$(pidof {program})/task; ls | wc -l; grep -h '^State:' */status | grep -c '(disk sleep)' || true"
    );
    let text = machine.sh(&script)?;
    let figures: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    match figures[..] {
        [all, waiting] => Ok((all, waiting)),
        _ => Err(LabError::Unmet(format!("threads of {program} on {}: {text:?}", machine.name()))),
    }
}
