//! Pods that write numbered records without end, each on the server's disk before the next is begun.
//!
//! The program is the lab's own (`labkit/guest/writer.rs`); every guest has it. It tells in a file on its node how far it is and
//! how long it had to wait, so that the node can be asked while kubelet, the API server or the NFS server is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use labkit::base::{LabError, chain, eventually};
use serde_json::{Value, json};

use super::{Context, context::PATIENCE};
use crate::cluster::{
    api::{is_true, name_of},
    nfs,
};

/// The program in a guest.
const PROGRAM: &str = "/run/lab/writer";
/// Where a node has what they tell, in a folder for each scenario.
const TOLD: &str = "/run/lab-writers";
/// Claims are shared by so many of them.
const PER_CLAIM: usize = 5;
/// How long nothing may come from writers of which it is said that they stand still.
const STILL: Duration = Duration::from_secs(5);

/// What a writer told at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    /// Number of its last record.
    number: u64,
    /// Largest gap between two records since the line before.
    gap: Duration,
}

/// What each writer has told so far.
type Told = BTreeMap<String, Vec<Sample>>;

/// A moment: how much each writer had told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark(BTreeMap<String, usize>);

/// A group of writers.
#[derive(Debug)]
pub(super) struct Writers<'a> {
    context: &'a Context<'a>,
    group: String,
    nodes: BTreeSet<String>,
    /// Name → claim.
    pods: BTreeMap<String, String>,
    /// Where on the kernel server's disk the volumes of a claim are; empty: on another server.
    share: String,
}

/// What a group of writers is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// Beginning of the names of its pods and claims.
    pub(super) name: &'a str,
    /// Class of its claims.
    pub(super) class: &'a str,
    /// Nodes that get its pods by turns.
    pub(super) nodes: &'a [String],
    /// How many writers there are.
    pub(super) count: usize,
    /// How long each waits after a record.
    pub(super) pause: Duration,
}

impl<'a> Writers<'a> {
    /// Starts a group on volumes of their own and waits until each has written.
    pub(super) fn start(context: &'a Context<'a>, group: Group<'_>) -> Result<Self, LabError> {
        let share = context.driver.backend.share.clone();
        let is_ours = group.class == context.driver.class;
        let mut writers = Self {
            context,
            group: group.name.to_owned(),
            nodes: group.nodes.iter().cloned().collect(),
            pods: BTreeMap::new(),
            share: if is_ours { share } else { String::new() },
        };
        for number in 0..group.count {
            let claim = format!("{}-{}", group.name, number / PER_CLAIM);
            if number % PER_CLAIM == 0 {
                context.claim_of(&claim, group.class)?;
            }
            let (name, node) = (writers.name(number), &group.nodes[number % group.nodes.len()]);
            let pod = context.pod_object(&name, &claim, node, &script(group.pause));
            context.cluster().create(&writing(context, pod, group.name))?;
            writers.pods.insert(name, claim);
        }
        writers.go_on(&writers.mark()?, PATIENCE)?;
        Ok(writers)
    }

    /// Name of one of its pods, counted from nought.
    pub(super) fn name(&self, number: usize) -> String {
        format!("{}-{number:02}", self.group)
    }

    /// How far each is.
    pub(super) fn mark(&self) -> Result<Mark, LabError> {
        let told = self.told()?;
        Ok(Mark(self.pods.keys().map(|pod| (pod.clone(), told.get(pod).map_or(0, Vec::len))).collect()))
    }

    /// Waits until each has told more than at a moment; answers with how long that took.
    pub(super) fn go_on(&self, since: &Mark, patience: Duration) -> Result<Duration, LabError> {
        let begun = Instant::now();
        eventually("every writer to go on", patience, Duration::from_millis(500), || {
            let now = self.mark().map_err(|error| chain(&error))?;
            let still = self.pods.keys().filter(|pod| now.0.get(*pod) <= since.0.get(*pod)).collect::<Vec<_>>();
            if still.is_empty() { Ok(()) } else { Err(format!("{still:?} stand still")) }
        })?;
        Ok(begun.elapsed())
    }

    /// Waits until none of them tells anything any more: what was to hit them has.
    pub(super) fn stand_still(&self) -> Result<Mark, LabError> {
        eventually("every writer to stand still", PATIENCE, Duration::from_millis(100), || {
            let before = self.mark().map_err(|error| chain(&error))?;
            thread::sleep(STILL);
            let now = self.mark().map_err(|error| chain(&error))?;
            if now == before { Ok(now) } else { Err(format!("they write: {before:?}, then {now:?}")) }
        })
    }

    /// The largest gap between two records since a moment, over all of them. Each has to go on: of one that stands still nobody knows its gap.
    pub(super) fn largest_gap(&self, since: &Mark) -> Result<Duration, LabError> {
        self.go_on(&self.mark()?, PATIENCE)?;
        let told = self.told()?;
        let since = |pod: &str| since.0.get(pod).copied().unwrap_or_default();
        let gaps = told.iter().flat_map(|(pod, samples)| samples.iter().skip(since(pod)).map(|sample| sample.gap));
        gaps.max().ok_or_else(|| LabError::Unmet("no writer has told anything".to_owned()))
    }

    /// Number of the last record that each has told.
    pub(super) fn numbers(&self) -> Result<BTreeMap<String, u64>, LabError> {
        let told = self.told()?;
        Ok(told.into_iter().filter_map(|(pod, samples)| Some((pod, samples.last()?.number))).collect())
    }

    /// Fails unless each runs in the container in which it was started.
    pub(super) fn never_restarted(&self) -> Result<(), LabError> {
        let pods = self.context.cluster().list::<Pod>(&self.context.namespace, &self.selector())?;
        let broken = |pod: &&Value| {
            let status = &pod["status"]["containerStatuses"][0];
            !is_true(pod, "Ready") || status["restartCount"] != 0
        };
        let broken: Vec<&str> = pods.iter().filter(broken).map(name_of).collect();
        let whole = broken.is_empty() && pods.len() == self.pods.len();
        self.context.check(whole, || {
            format!("of {} writers {} are there, and broken are {broken:?}", self.pods.len(), pods.len())
        })
    }

    /// Deletes the pods and waits until they are gone; answers with how long that took.
    pub(super) fn end(&self) -> Result<Duration, LabError> {
        let begun = Instant::now();
        self.context.cluster().begin_delete_all::<Pod>(&self.context.namespace, &self.selector())?;
        let names: Vec<&str> = self.pods.keys().map(String::as_str).collect();
        self.context.cluster().gone::<Pod>(&self.context.namespace, &names)?;
        Ok(begun.elapsed())
    }

    /// Ends them and reads what they wrote on the server's own disk: every record that a writer has told of has to be there, each
    /// as it was written, and nothing else. Answers with the number of records.
    pub(super) fn end_intact(&self, told_before: &BTreeMap<String, u64>) -> Result<u64, LabError> {
        let mut told = self.numbers()?;
        self.end()?;
        for (pod, number) in told_before {
            let now = told.entry(pod.clone()).or_default();
            *now = (*now).max(*number);
        }
        let mut files = Vec::new();
        for (pod, claim) in &self.pods {
            let volume = self.context.bound(claim)?;
            files.push(format!("{}/{}/{pod}", self.share, name_of(&volume)));
        }
        let server = self.context.lab()?.machine(nfs::MACHINE)?;
        let found = records(&server.sh_within(&format!("{PROGRAM} check {}", files.join(" ")), PATIENCE)?);
        let lost: Vec<String> = told
            .iter()
            .filter(|(pod, number)| found.get(*pod).is_none_or(|there| there < number))
            .map(|(pod, number)| format!("{pod} told of {number}, there are {:?}", found.get(pod)))
            .collect();
        self.context
            .check(lost.is_empty() && told.len() == self.pods.len(), || format!("records are lost: {lost:?}"))?;
        Ok(found.values().sum())
    }

    fn selector(&self) -> String {
        format!("writers={}", self.group)
    }

    fn told(&self) -> Result<Told, LabError> {
        let mut told = Told::new();
        for node in &self.nodes {
            let script =
                format!("cd {TOLD}/{} 2>/dev/null && grep -H '' {}-* || true", self.context.namespace, self.group);
            told.extend(read(&self.context.lab()?.machine(node)?.sh(&script)?)?);
        }
        Ok(told)
    }
}

/// What a writer's container runs. The pod's name is that of its file, also where a Deployment has chosen it.
pub(super) fn script(pause: Duration) -> String {
    format!("exec /lab/writer write /data/$(hostname) /lab/told/$(hostname) {}", pause.as_millis())
}

/// Gives a pod the program, and the folder on its node for what it tells.
pub(super) fn writing(context: &Context<'_>, mut pod: Value, group: &str) -> Value {
    let told = format!("{TOLD}/{}", context.namespace);
    pod["metadata"]["labels"]["writers"] = json!(group);
    for (name, path, at, kind) in
        [("program", PROGRAM, "/lab/writer", "File"), ("told", told.as_str(), "/lab/told", "DirectoryOrCreate")]
    {
        push(&mut pod["spec"]["volumes"], json!({ "name": name, "hostPath": { "path": path, "type": kind } }));
        push(&mut pod["spec"]["containers"][0]["volumeMounts"], json!({ "name": name, "mountPath": at }));
    }
    pod
}

fn push(list: &mut Value, entry: Value) {
    if let Value::Array(list) = list {
        list.push(entry);
    }
}

/// Lines `NAME:MILLISECONDS NUMBER MICROSECONDS`, as writers tell them and grep shows them. A writer that has failed is an error.
fn read(text: &str) -> Result<Told, LabError> {
    let mut told = Told::new();
    for line in text.lines() {
        let sample = || {
            let (name, words) = line.split_once(':')?;
            let mut words = words.split(' ').skip(1).map(str::parse::<u64>);
            let (number, gap) = (words.next()?.ok()?, Duration::from_micros(words.next()?.ok()?));
            Some((name, Sample { number, gap }))
        };
        // The last line may be on its way still.
        match sample() {
            Some((name, sample)) => told.entry(name.to_owned()).or_default().push(sample),
            None if line.contains("error") => return Err(LabError::Unmet(format!("a writer has failed: {line}"))),
            None => {}
        }
    }
    Ok(told)
}

/// Lines `NUMBER PATH`, as the program tells what it has found: by the file's name.
fn records(text: &str) -> BTreeMap<String, u64> {
    let record = |line: &str| {
        let (number, path) = line.split_once(' ')?;
        Some((path.rsplit('/').next()?.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writers_tell_is_read() {
        let told =
            read("w-00:1700000000000 1 0\nw-00:1700000001000 9 2500\nw-01:1700000000500 3 700\nw-01:17000").unwrap();
        let sample = |number: u64, micros: u64| Sample { number, gap: Duration::from_micros(micros) };
        assert_eq!(told["w-00"], [sample(1, 0), sample(9, 2500)]);
        assert_eq!(told["w-01"], [sample(3, 700)]);
        let error =
            read("w-00:1700000000000 1 0\nw-01:error Stale file handle (os error 116)\n").unwrap_err().to_string();
        assert!(error.contains("w-01:error Stale"), "{error}");
    }

    #[test]
    fn what_is_found_on_the_disk_is_read_by_the_names_of_files() {
        let found = records("12 /srv/share/pvc-1/w-00\n7 /srv/share/pvc-1/w-01\n");
        assert_eq!(found, [("w-00".to_owned(), 12), ("w-01".to_owned(), 7)].into());
    }
}
