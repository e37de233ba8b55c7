//! Sizes: of the image, and of both programs at rest; and a hundred claims on the lab.

use std::time::Duration;

use labkit::{base::LabError, parts::Kubernetes};

use crate::{
    cluster::{Lab, image::BerthImage, state::StateDir},
    report::{Line, Timeline},
    scenarios::{
        AtOnce, BesideSilence, Context, Ended, Size, measure_at_once, measure_beside_silence, measure_to_the_end,
    },
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
    let context = Context::open("hundred", target.driver(), target.lab(), timeline, Size::Short)?;
    let figures = measure_at_once(&context, 100)?;
    lines.extend(memory(target.lab(), "at rest, after a hundred claims")?);
    context.close()?;
    lines.extend(at_once(100, &figures));
    if target.lab().is_some() {
        let context = Context::open("silence", target.driver(), target.lab(), timeline, Size::Short)?;
        let BesideSilence { alone, beside } = measure_beside_silence(&context, 100, 200)?;
        context.close()?;
        let over = beside.as_secs_f64() / alone.as_secs_f64();
        lines.push(Line::at_most("100 claims beside 200 on a silent server, over alone", over, "x", 1.2));
    }
    Ok(lines)
}

/// Makes a thousand claims on the lab and deletes them.
pub(super) fn a_thousand(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Vec<Line>, LabError> {
    let target = Target::prepare(state, kubernetes, timeline)?;
    let context = Context::open("thousand", target.driver(), target.lab(), timeline, Size::Short)?;
    let (figures, ended) = measure_to_the_end(&context, 1000)?;
    let mut lines = memory(target.lab(), "at rest, after a thousand claims")?;
    context.close()?;
    let Ended { calls, took, latest_event, told, other_leaders } = ended;
    lines.extend(at_once(1000, &figures));
    lines.push(exactly("DeleteVolume calls for the volumes of 1000 claims", calls, 1000));
    lines.push(Line::fact("from the delete until the last of their volumes is gone", took.as_secs_f64(), "s"));
    lines.push(Line::against("changes of the leader meanwhile", other_leaders, "", "= 0", other_leaders == 0));
    lines.push(Line::fact("claims that were told of their volume", told, ""));
    let in_time = latest_event <= 10;
    lines.push(Line::against("the latest of them, after its volume was saved", latest_event, "s", "<= 10 s", in_time));
    Ok(lines)
}

/// What so many claims at once took.
fn at_once(claims: u16, figures: &AtOnce) -> Vec<Line> {
    let (provisioned, bare) = (figures.provisioned.as_secs_f64(), figures.bare.as_secs_f64());
    let over = format!("{claims} claims over as many bare volumes and claims");
    vec![
        exactly(&format!("CreateVolume calls for {claims} claims at once"), figures.calls, claims),
        Line::fact(&format!("{claims} claims until all are Bound"), provisioned, "s"),
        Line::fact(&format!("{claims} bare volumes and claims until all are Bound"), bare, "s"),
        Line::at_most(&over, provisioned / bare, "x", 2.0),
    ]
}

fn exactly(name: &str, found: f64, wanted: u16) -> Line {
    Line::against(name, found, "", format!("= {wanted}"), (found - f64::from(wanted)).abs() < 0.5)
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
