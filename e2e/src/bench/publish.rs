//! What publishing a pooled volume costs, beside the two things it is made of and what it replaces.

use std::{path::Path, time::Duration};

use labkit::base::LabError;
use serde_json::Value;

use crate::{
    cluster::{binaries::Binaries, parts::LabParts, single::Single, state::StateDir},
    report::Line,
};

/// Directory of the share whose subdirectories are the volumes. Each is used once, as a volume on a node usually is, so
/// that the bare calls pay for the lookup at the server as publishing does.
const DIRECTORY: &str = "bench";
/// How many volumes each measurement takes.
const VOLUMES: usize = 200;
/// How often the slow way is gone.
const MOUNTS: usize = 15;
const PATIENCE: Duration = Duration::from_mins(10);

/// How long something took, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    /// Goals are judged by it.
    median: f64,
    /// All but one in a hundred took at most this long; with fewer runs, the slowest.
    p99: f64,
}

/// What is measured.
struct Measured {
    publish: Times,
    again: Times,
    calls: Times,
    /// By the system calls, where nothing of the server is mounted.
    mount: Times,
    /// By the system calls, beside a mount of the share.
    mount_beside: Times,
    /// By nfs-utils' programs, beside a mount of the share.
    programs_beside: Times,
    bare: Times,
    bare_again: Times,
}

pub(super) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    generator: &Path,
) -> Result<Vec<Line>, LabError> {
    let single = Single::start(lab, parts.guest_image())?;
    let endpoints = single.start_driver(binaries)?;
    let backend = single.backend();
    let (server, share, node) = (&backend.server, &backend.share, &endpoints.node);
    single.machine().sh(&format!(
        "mkdir -p /var/lib/kubelet/pods/bench /mnt/bench /mnt/pool {share}/{DIRECTORY}\n\
         cd {share}/{DIRECTORY}\n\
         mkdir warm mount\n\
         for i in $(seq 0 {VOLUMES}); do mkdir publish-$i bare-$i warm-$i; done"
    ))?;
    // Waking another processor is nothing to a kernel on hardware and milliseconds under emulation: caller and plugin share
    // one, as do both sides of what they are compared with.
    single.machine().sh("taskset -acp 0 $(pidof berth-node)")?;
    let times = |words: &str| -> Result<Times, LabError> {
        let text = single.run_copy("taskset -c 0", generator, words, PATIENCE)?;
        let figures: Value = serde_json::from_str(&text).map_err(LabError::reply("lab-load"))?;
        let milliseconds = |key: &str| {
            let found = figures[key].as_f64().map(|microseconds| microseconds / 1000.0);
            found.ok_or_else(|| LabError::Unmet(format!("no {key} in {figures}")))
        };
        Ok(Times { median: milliseconds("median_us")?, p99: milliseconds("p99_us")? })
    };
    let options = "vers=4.1,hard,timeo=600,retrans=2,noresvport,rsize=1048576,wsize=1048576";
    let slow_way = |options: &str| {
        let source = format!("{server}:{share}/{DIRECTORY}/mount");
        times(&format!("mount --source {source} --options {options} --target /mnt/bench --count {MOUNTS}"))
    };
    let by_calls = format!("addr={server},{options}");
    let publish = |kind: &str, count: usize| {
        times(&format!(
            "publish --endpoint {node} --volume {kind}-{{}} --context server={server} --context share={share} \
             --context subDir={DIRECTORY}/{kind}-{{}} --target /var/lib/kubelet/pods/bench/mount --count {count}"
        ))
    };
    // First alone: what a node without the pool pays for its first volume.
    let mount = slow_way(&by_calls)?;
    // The first call fills the pool; it is what every later one saves.
    publish("warm", 3)?;
    let published = publish("publish", VOLUMES)?;
    let again = publish("publish", VOLUMES)?;
    let calls = times(&format!("calls --endpoint {node} --count {VOLUMES}"))?;
    // With the pool in place the kernel shares its connection and superblock with a mount of the same server.
    let mount_beside = slow_way(&by_calls)?;
    let programs_beside = slow_way(&format!("{options} --programs"))?;
    single.machine().sh(&format!("mount -t nfs4 -o {options} {server}:{share} /mnt/pool"))?;
    let clone = format!("clone --source /mnt/pool/{DIRECTORY}/bare-{{}} --target /mnt/bench --count {VOLUMES}");
    let bare = times(&clone)?;
    let bare_again = times(&clone)?;
    Ok(lines(&Measured { publish: published, again, calls, mount, mount_beside, programs_beside, bare, bare_again }))
}

fn lines(measured: &Measured) -> Vec<Line> {
    let Measured { publish, again, calls, mount, mount_beside, programs_beside, bare, bare_again } = *measured;
    println!("  caller and plugin share one processor of the guest; goals are judged by medians");
    let all = [
        ("publish + unpublish of a pooled volume", publish, VOLUMES),
        ("the same for directories published before", again, VOLUMES),
        ("two calls that do nothing", calls, VOLUMES),
        ("mount(2) + umount2(2) of a directory, nothing else mounted", mount, MOUNTS),
        ("the same beside a mount of its share", mount_beside, MOUNTS),
        ("nfs-utils' mount + umount beside a mount of its share", programs_beside, MOUNTS),
        ("bare clone + move + unmount", bare, VOLUMES),
        ("the same for directories used before", bare_again, VOLUMES),
    ];
    let mut lines: Vec<Line> = all
        .iter()
        .flat_map(|(name, times, count)| {
            [
                Line::fact(&format!("{name}, median of {count}"), times.median, "ms"),
                Line::fact(&format!("{name}, p99"), times.p99, "ms"),
            ]
        })
        .collect();
    let over = |slow: Times| slow.median / publish.median;
    lines.extend([
        Line::at_least(
            "publish + unpublish is faster than nfs-utils' mount + umount by",
            over(programs_beside),
            "x",
            50.0,
        ),
        Line::at_least("and than mount(2) + umount2(2) beside a mount of the share by", over(mount_beside), "x", 50.0),
        Line::fact("and than the same with nothing else mounted by", over(mount), "x"),
        Line::fact("for directories published before, than nfs-utils by", programs_beside.median / again.median, "x"),
        Line::at_most("publish + unpublish over the bare system calls", publish.median / bare.median, "x", 3.0),
        Line::fact("and without the two calls that do nothing", (publish.median - calls.median) / bare.median, "x"),
        Line::fact("p99 of publish + unpublish over its median", publish.p99 / publish.median, "x"),
    ]);
    lines
}
