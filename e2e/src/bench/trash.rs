//! How fast the controller empties the trash of a server that is not near, beside `rm -rf` through a kernel mount.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use labkit::base::LabError;

use crate::{
    cluster::{binaries::Binaries, nfs::SHARE, parts::LabParts, single::Single, state::StateDir},
    report::{Line, Timeline},
};

/// Directories of each tree.
const DIRECTORIES: u32 = 1000;
/// Files of each of them.
const FILES: u32 = 100;
/// Private directories, each of another user and with a file in it, that the tree on the squashed export has besides.
const PRIVATE: u32 = 1000;
/// The volume of each share, as the load generator numbers it, and its directory.
const VOLUME: &str = "tree-000000";
/// An export of the same disk where root is nobody.
const SQUASHED: &str = "/srv/bench";
/// How long making, emptying or removing one tree may take in an emulated guest.
const PATIENCE: Duration = Duration::from_mins(30);

pub(super) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    generator: &Path,
    timeline: &Timeline,
) -> Result<Vec<Line>, LabError> {
    let single = Single::start(lab, parts.guest_image())?;
    let controller = single.start_driver(binaries)?.controller;
    let machine = single.machine();
    machine.sh(&format!(
        "mkdir -p {SHARE}/squashed {SQUASHED} /mnt/bench\n\
         mount --bind {SHARE}/squashed {SQUASHED}\n\
         chmod 777 {SQUASHED}\n\
         exportfs -o rw,root_squash,no_subtree_check,insecure,fsid=20 '*:{SQUASHED}'\n\
         modprobe sch_netem"
    ))?;
    let volume = |share: &str, words: &str| {
        let server = single.backend().server;
        let what = format!("create --endpoint {controller} --count 1 --prefix tree {words}");
        let where_to = format!("--parameter server={server} --parameter share={share}");
        single.run_copy("", generator, &format!("{what} {where_to}"), PATIENCE).map(drop)
    };
    let empty = |share: &str| {
        let trash = format!("{share}/.berth/trash");
        let begun = Instant::now();
        volume(share, "--delete")?;
        machine.wait_for("an empty trash", PATIENCE, &format!("test -z \"$(ls -A {trash})\""))?;
        Ok::<_, LabError>(begun.elapsed().as_secs_f64())
    };
    let fill = |directory: &str| machine.sh_within(&tree(directory), PATIENCE).map(drop);

    timeline.note("making the trees");
    fill(&format!("{SHARE}/rm"))?;
    for share in [SHARE, SQUASHED] {
        volume(share, "")?;
        fill(&format!("{share}/{VOLUME}"))?;
    }
    machine.sh_within(&private(&format!("{SQUASHED}/{VOLUME}")), PATIENCE)?;
    // Either way, so a round trip takes two milliseconds more.
    machine.sh("tc qdisc add dev lo root netem delay 1ms limit 100000")?;
    timeline.note("emptying the trash");
    let unsquashed = empty(SHARE)?;
    timeline.note(&format!("emptied in {unsquashed:.0} s; now where root is nobody"));
    let squashed = empty(SQUASHED)?;
    timeline.note(&format!("emptied in {squashed:.0} s; now rm -rf"));
    machine.sh(&format!("mount -t nfs4 -o vers=4.2 {}:{SHARE} /mnt/bench", single.backend().server))?;
    let begun = Instant::now();
    machine.sh_within("rm -rf /mnt/bench/rm", PATIENCE)?;
    let removed = begun.elapsed().as_secs_f64();

    Ok(lines(removed, unsquashed, squashed))
}

/// How long each took, in seconds, as lines.
fn lines(removed: f64, unsquashed: f64, squashed: f64) -> Vec<Line> {
    let files = format!("{} files in {DIRECTORIES} directories", DIRECTORIES * FILES);
    vec![
        Line::fact(&format!("rm -rf of {files}, 1 ms away, kernel mount"), removed, "s"),
        Line::fact("the same in the trash, from the delete to the last file", unsquashed, "s"),
        Line::at_least("the trash is emptied faster than rm -rf by", removed / unsquashed, "x", 5.0),
        Line::at_most(
            &format!("where root is nobody, with {PRIVATE} private directories of other users besides, over that"),
            squashed / unsquashed,
            "x",
            1.5,
        ),
    ]
}

/// Makes the tree on the server's own disk, where everybody may remove it: without a process for each file, which takes an
/// emulated guest longer than the file.
fn tree(directory: &str) -> String {
    format!(
        "umask 0; mkdir -p {directory}; cd {directory}; mkdir $(seq {DIRECTORIES}); names=$(seq {FILES})\n\
         for number in $(seq {DIRECTORIES}); do for name in $names; do : >$number/$name; done; done"
    )
}

/// Adds the private directories to it.
fn private(directory: &str) -> String {
    format!(
        "umask 077; cd {directory}; mkdir $(seq -f of-%g {PRIVATE})\n\
         for number in $(seq {PRIVATE}); do echo here >of-$number/file; chown -R $((1000 + number)) of-$number; done"
    )
}
