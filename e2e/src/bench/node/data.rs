//! Reading and writing through a pooled clone, beside the same through a mount that nobody else has a part in.

use std::path::Path;

use labkit::base::LabError;
use serde_json::Value;

use super::{OPTIONS, PODS, Stand, median, milliseconds};
use crate::{
    cluster::{binaries::Binaries, parts::LabParts, state::StateDir},
    report::Line,
};

/// Both are measured in turns, so many times each.
const BLOCKS: usize = 5;
/// Size of the large file, and how many small ones.
const WORK: &str = "--mebibytes 64 --files 200";
/// Writers that share one connection, and for how long, in seconds.
const WRITERS: usize = 10;
const RACE: u32 = 20;

pub(in crate::bench) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    generator: &Path,
) -> Result<Vec<Line>, LabError> {
    let stand = Stand::start(lab, parts, binaries, generator)?;
    let share = &stand.single.backend().share;
    // A server that forgets what it has written would be measured by its disk.
    stand.sh(&format!("cd {share}; mkdir $(seq -f pvc-%g 0 {}) direct; mkdir -p /mnt/direct", WRITERS - 1))?;
    let keep = stand.publish(&stand.endpoint, share, "pvc-{}", "kept-{}", WRITERS);
    stand.load("", &format!("{keep} --keep"))?;
    // On a superblock of its own, as a driver without a pool may have it.
    stand.sh(&format!(
        "mount -t nfs4 -o {OPTIONS},nosharecache {} /mnt/direct",
        stand.source(&format!("{share}/direct"))
    ))?;
    let mut figures: [[Vec<f64>; 2]; 2] = Default::default();
    for _ in 0..BLOCKS {
        for (place, directory) in [format!("{PODS}/kept-0/mount"), "/mnt/direct".to_owned()].iter().enumerate() {
            let done = stand.load("", &format!("data --directory {directory} {WORK}"))?;
            for (kind, key) in ["sequential_us", "small_us"].iter().enumerate() {
                figures[kind][place].push(milliseconds(&done, key)?);
            }
        }
    }
    let [sequential, small] = figures.map(|both| both.map(median));
    let directories: Vec<String> = (0..WRITERS).map(|number| format!("{PODS}/kept-{number}/mount")).collect();
    let raced = stand.load("", &format!("race --seconds {RACE} {}", directories.join(" ")))?;
    let connections =
        stand.sh("cut -d' ' -f1-4 /proc/fs/nfsfs/servers; grep -o 'nconnect=[0-9]*' /proc/mounts || true")?;
    let (least, even) = shares(&raced)?;
    Ok(vec![
        Line::fact("64 MiB written, synced and read through a clone", sequential[0], "ms"),
        Line::at_least("as fast as through a mount of its own, by", sequential[1] / sequential[0], "x", 0.97),
        Line::fact("200 small files made, read and removed through a clone", small[0], "ms"),
        Line::at_least("as fast as through a mount of its own, by", small[1] / small[0], "x", 0.97),
        Line::at_least(
            &format!("the slowest of {WRITERS} writers on one share, of its even part"),
            least / even,
            "x",
            0.5,
        ),
        Line::fact("nconnect", if connections.contains("nconnect=") { "more than one" } else { "one connection" }, ""),
    ])
}

/// What the slowest writer has brought to the server, and what each would have if all had as much.
fn shares(raced: &Value) -> Result<(f64, f64), LabError> {
    let written: Vec<f64> = raced["mebibytes"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let count = u32::try_from(written.len()).map_err(|_| LabError::Unmet("too many writers".to_owned()))?;
    if count == 0 {
        return Err(LabError::Unmet(format!("no writers in {raced}")));
    }
    Ok((written.iter().copied().fold(f64::INFINITY, f64::min), written.iter().sum::<f64>() / f64::from(count)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_even_part_is_that_of_all_writers() {
        let (least, even) = shares(&json!({ "mebibytes": [2, 6, 4] })).unwrap();
        assert!((least - 2.0).abs() < 1e-9 && (even - 4.0).abs() < 1e-9);
        assert!(shares(&json!({})).is_err());
    }
}
