//! What publishing a pooled volume costs, beside what it is made of and what it replaces.

use std::{env, path::Path, path::PathBuf};

use labkit::base::LabError;
use serde_json::Value;

use super::{OPTIONS, PODS, Stand, median, milliseconds};
use crate::{
    cluster::{binaries::Binaries, parts::LabParts, state::StateDir},
    report::Line,
};

/// What is compared is measured in turns, so many times each; the median counts.
const BLOCKS: usize = 3;
/// How many volumes each block takes. Each directory is used once, as a volume on a node usually is, so that the bare calls pay for the lookup at the
/// server as publishing does.
const VOLUMES: usize = 100;
/// How often the slow ways are gone.
const MOUNTS: usize = 15;
/// Volumes that are published at once, and how many in all.
const IN_FLIGHT: (usize, usize) = (64, 640);
/// Caller and plugin share one processor, as do both sides of what they are compared with: waking another one is nothing to a kernel on hardware, and
/// milliseconds under emulation.
const ONE: &str = "taskset -c 0";
/// The variable that names a binary of csi-driver-nfs's node plugin.
const PEER: &str = "PEER_NFSPLUGIN";

/// How long something took, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    /// Goals are judged by it.
    median: f64,
    /// All but one in a hundred took at most this long; with fewer runs, the slowest.
    p99: f64,
}

impl Times {
    fn of(figures: &Value) -> Result<Self, LabError> {
        Ok(Self { median: milliseconds(figures, "median_us")?, p99: milliseconds(figures, "p99_us")? })
    }

    /// The middle of blocks.
    fn middle(blocks: &[Self]) -> Self {
        let each = |figure: fn(&Self) -> f64| median(blocks.iter().map(figure).collect());
        Self { median: each(|block| block.median), p99: each(|block| block.p99) }
    }
}

/// What is measured in turns.
struct Turns {
    publish: Times,
    calls: Times,
    bare: Times,
    /// The bare calls with the directory made and removed, without which there is no publish.
    needed: Times,
}

/// What is measured once.
struct Others {
    again: Times,
    deep: Times,
    first: Times,
    at_once: Times,
    /// By the system calls, where nothing of the server is mounted.
    mount: Times,
    /// By the system calls, beside a mount of the share.
    mount_beside: Times,
    /// By nfs-utils' programs, beside a mount of the share.
    programs_beside: Times,
    peer: Option<Times>,
}

pub(in crate::bench) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    generator: &Path,
) -> Result<Vec<Line>, LabError> {
    let stand = Stand::start(lab, parts, binaries, generator)?;
    let share = &stand.single.backend().share;
    stand.sh(&format!(
        "mkdir -p {PODS} /mnt/bench /mnt/pool; cd {share}; mkdir mount warm deep\n\
         for block in $(seq 0 {blocks}); do for kind in pvc bare needed; do\n\
         mkdir $(seq -f $kind-$block-%g 0 {volumes}); done; done\n\
         mkdir $(seq -f deep/deep-%g 0 {volumes}) $(seq -f busy-%g 0 {busy})\n\
         for i in $(seq 0 {MOUNTS}); do mkdir -p warm-$i first-$i/volume; done\n\
         taskset -acp 0 $(pidof berth-node) >/dev/null",
        blocks = BLOCKS - 1,
        volumes = VOLUMES - 1,
        busy = IN_FLIGHT.1 - 1,
    ))?;
    let times = |words: &str| Times::of(&stand.load(ONE, words)?);
    let slow_way = |path: &str, options: &str| {
        let source = stand.source(path);
        times(&format!("mount --source {source} --options {options} --target /mnt/bench --count {MOUNTS}"))
    };
    let publish = |directory: &str, count: usize| stand.publish(&stand.endpoint, share, directory, "bench", count);
    let by_calls = format!("addr={},{OPTIONS}", stand.single.backend().server);

    // First alone: what a node without the pool pays for its first volume.
    let mount = slow_way(&format!("{share}/mount"), &by_calls)?;
    // The first call fills the pool; it is what every later one saves.
    times(&publish("warm-{}", 3))?;
    stand.sh(&format!("mount -t nfs4 -o {OPTIONS} {} /mnt/pool", stand.source(share)))?;
    let turns = turns(&stand, &publish, &times)?;
    let again = times(&publish("pvc-0-{}", VOLUMES))?;
    let deep = times(&publish("deep/deep-{}", VOLUMES))?;
    // With the pool in place the kernel shares its connection and superblock with a mount of the same server.
    let mount_beside = slow_way(&format!("{share}/mount"), &by_calls)?;
    let first = times(&stand.publish(&stand.endpoint, &format!("{share}/first-{{}}"), "volume", "bench", MOUNTS))?;
    let programs_beside = slow_way(&format!("{share}/mount"), &format!("{OPTIONS} --programs"))?;
    let (in_flight, count) = IN_FLIGHT;
    let busy = stand.publish(&stand.endpoint, share, "busy-{}", "busy-{}", count);
    let at_once = times(&format!("{busy} --in-flight {in_flight}"))?;
    let peer = env::var_os(PEER).map(|program| peer(&stand, &PathBuf::from(program))).transpose()?;
    Ok(lines(&turns, &Others { again, deep, first, at_once, mount, mount_beside, programs_beside, peer }))
}

fn turns(
    stand: &Stand<'_>,
    publish: &impl Fn(&str, usize) -> String,
    times: &impl Fn(&str) -> Result<Times, LabError>,
) -> Result<Turns, LabError> {
    let mut blocks: [Vec<Times>; 4] = Default::default();
    for block in 0..BLOCKS {
        let clone =
            |kind: &str| format!("clone --source /mnt/pool/{kind}-{block}-{{}} --target /mnt/bench --count {VOLUMES}");
        let words = [
            publish(&format!("pvc-{block}-{{}}"), VOLUMES),
            format!("calls --endpoint {} --count {VOLUMES}", stand.endpoint),
            clone("bare"),
            format!("{} --fresh-target", clone("needed")),
        ];
        for (all, words) in blocks.iter_mut().zip(words) {
            all.push(times(&words)?);
        }
    }
    let [publish, calls, bare, needed] = blocks.map(|blocks| Times::middle(&blocks));
    Ok(Turns { publish, calls, bare, needed })
}

/// The same by csi-driver-nfs's node plugin, which runs nfs-utils' programs for each call.
fn peer(stand: &Stand<'_>, program: &Path) -> Result<Times, LabError> {
    let machine = stand.single.machine();
    machine.copy_in(program, "/usr/local/bin/peer-nfsplugin", 0o755)?;
    let endpoint = "unix:///run/berth/peer.sock";
    machine.background("peer", &format!("peer-nfsplugin --nodeid=single --endpoint={endpoint}"))?;
    machine.wait_for("the peer's socket", super::PATIENCE, "test -S /run/berth/peer.sock")?;
    stand.sh("taskset -acp 0 $(pidof peer-nfsplugin) >/dev/null")?;
    let share = &stand.single.backend().share;
    Times::of(&stand.load(ONE, &stand.publish(endpoint, share, "warm-{}", "peer", MOUNTS))?)
}

fn lines(turns: &Turns, others: &Others) -> Vec<Line> {
    let Turns { publish, calls, bare, needed } = *turns;
    let Others { again, deep, first, at_once, mount, mount_beside, programs_beside, peer } = *others;
    println!("  caller and plugin share one processor of the guest; goals are judged by medians");
    let blocks = format!("median of {BLOCKS} times {VOLUMES}");
    let all = [
        ("publish + unpublish in the default place", Some(publish), blocks.clone()),
        ("two calls that do nothing", Some(calls), blocks.clone()),
        ("bare clone + move + unmount", Some(bare), blocks.clone()),
        ("the same with its directory made and removed", Some(needed), blocks),
        ("publish + unpublish of a directory published before", Some(again), format!("median of {VOLUMES}")),
        ("publish + unpublish two levels down", Some(deep), format!("median of {VOLUMES}")),
        ("publish + unpublish of a share's first volume", Some(first), format!("median of {MOUNTS}")),
        ("publish + unpublish, 64 in flight", Some(at_once), format!("median of {}", IN_FLIGHT.1)),
        ("mount(2) + umount2(2), nothing else mounted", Some(mount), format!("median of {MOUNTS}")),
        ("the same beside a mount of its share", Some(mount_beside), format!("median of {MOUNTS}")),
        ("nfs-utils' mount + umount beside it", Some(programs_beside), format!("median of {MOUNTS}")),
        ("csi-driver-nfs's publish + unpublish", peer, format!("median of {MOUNTS}")),
    ];
    let measured = all.iter().filter_map(|(name, times, count)| Some((name, (*times)?, count)));
    let mut lines: Vec<Line> =
        measured.map(|(name, times, count)| Line::fact(&format!("{name}, {count}"), times.median, "ms")).collect();
    let floor = calls.median + bare.median;
    lines.extend([
        Line::fact("floor: two calls that do nothing and the bare system calls", floor, "ms"),
        Line::fact("attainable over the floor: with the directory", (calls.median + needed.median) / floor, "x"),
        Line::at_most("publish + unpublish in the default place over the floor", publish.median / floor, "x", 2.0),
        Line::at_least(
            "and faster than nfs-utils' mount + umount by",
            programs_beside.median / publish.median,
            "x",
            60.0,
        ),
        Line::fact(
            "and than mount(2) + umount2(2) beside a mount of the share by",
            mount_beside.median / publish.median,
            "x",
        ),
        Line::at_most("a share's first publish over a bare mount", first.median / mount_beside.median, "x", 1.3),
        Line::at_most("p99 over median", publish.p99 / publish.median, "x", 5.0),
        Line::at_most("p99 over median with 64 in flight", at_once.p99 / at_once.median, "x", 5.0),
    ]);
    lines.push(match peer {
        Some(peer) => Line::at_least(
            "publish + unpublish is faster than csi-driver-nfs's by",
            peer.median / publish.median,
            "x",
            100.0,
        ),
        None => Line::fact("csi-driver-nfs's node plugin", format!("not measured: {PEER} names no binary"), ""),
    });
    lines
}
