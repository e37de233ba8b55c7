//! Sizes: of the image, and of both programs at rest; and a hundred claims on the lab.

use std::time::Duration;

use labkit::{base::LabError, parts::Kubernetes};

use crate::{
    cluster::{Lab, image::BerthImage, state::StateDir},
    report::{Line, Timeline},
    scenarios::{BesideSilence, Context, Hundred, measure_beside_silence, measure_hundred},
    target::Target,
};

/// How long the programs are left alone before their memory is read.
const REST: Duration = Duration::from_secs(20);
const MEGABYTE: f64 = 1_000_000.0;

pub(super) fn image(image: &BerthImage) -> Result<Vec<Line>, LabError> {
    Ok(vec![Line::at_most("image", image.megabytes()?, "MB", 20.0)])
}

/// Installs the driver on the lab, reads its memory at rest, then makes a hundred claims.
pub(super) fn on_the_lab(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Vec<Line>, LabError> {
    let target = Target::prepare(state, kubernetes, timeline)?;
    let mut lines = memory(target.lab(), "at rest, before any volume of this run")?;
    let context = Context::open("hundred", target.driver(), target.lab(), timeline)?;
    let Hundred { calls, provisioned, bare } = measure_hundred(&context)?;
    lines.extend(memory(target.lab(), "at rest, after a hundred claims")?);
    context.close()?;
    lines.push(Line::against(
        "CreateVolume calls for 100 claims at once",
        calls,
        "",
        "= 100",
        (calls - 100.0).abs() < 0.5,
    ));
    lines.push(Line::fact("100 claims until all are Bound", provisioned.as_secs_f64(), "s"));
    lines.push(Line::fact("100 bare volumes and claims until all are Bound", bare.as_secs_f64(), "s"));
    let over = provisioned.as_secs_f64() / bare.as_secs_f64();
    lines.push(Line::at_most("100 claims over as many bare volumes and claims", over, "x", 2.0));
    if target.lab().is_some() {
        let context = Context::open("silence", target.driver(), target.lab(), timeline)?;
        let BesideSilence { alone, beside } = measure_beside_silence(&context, 100, 200)?;
        context.close()?;
        let over = beside.as_secs_f64() / alone.as_secs_f64();
        lines.push(Line::at_most("100 claims beside 200 on a silent server, over alone", over, "x", 1.2));
    }
    Ok(lines)
}

/// Memory of both programs on the lab's nodes, after a pause; nothing where the nodes cannot be reached.
fn memory(lab: Option<&Lab>, when: &str) -> Result<Vec<Line>, LabError> {
    let Some(lab) = lab else { return Ok(Vec::new()) };
    std::thread::sleep(REST);
    let controller = largest(lab, "berth-controller")?;
    Ok(vec![
        Line::at_most(&format!("controller RSS {when}, largest (the leader's)"), controller, "MB", 20.0),
        Line::at_most(&format!("node RSS {when}, largest"), largest(lab, "berth-node")?, "MB", 8.0),
    ])
}

/// The largest resident memory of a program over the lab's nodes, in MB.
fn largest(lab: &Lab, program: &str) -> Result<f64, LabError> {
    let mut found: Option<f64> = None;
    for machine in lab.nodes() {
        let script = format!("for pid in $(pidof {program}); do grep VmRSS /proc/$pid/status; done; true");
        let text = machine.sh(&script)?;
        found = text.lines().filter_map(resident).chain(found).reduce(f64::max);
    }
    found.ok_or_else(|| LabError::Unmet(format!("{program} runs on no node of the lab")))
}

/// `VmRSS` of a `/proc/PID/status`, in MB.
pub(super) fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0 / MEGABYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_megabytes() {
        let found = resident("Name:\tx\nVmRSS:\t   10000 kB\nThreads:\t1\n").unwrap();
        assert!((found - 10.24).abs() < 1e-9);
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
