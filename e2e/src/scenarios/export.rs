//! What a share is called stays, and what it is changes: an export is removed and made again, a share is renamed away.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use labkit::base::{LabError, chain, eventually};

use super::{
    Context, Scenario, Size,
    context::PATIENCE,
    events::{told, words},
    share::static_claim,
};
use crate::{
    cluster::{
        machine::Machine,
        nfs::{self, Backend},
    },
    report::Line,
};

/// Number by which the server knows the export: one that no other export of the lab has.
const FSID: u32 = 77;
/// What a pod is told of a file whose handle the server does not know any more.
const STALE: &str = "tale file handle";
/// The volume's directory in the share.
const INSIDE: &str = "volume";
/// How long a pod may take: kubelet waits up to two minutes before it tries a failed mount again.
const AFTER_FAILURES: Duration = Duration::from_mins(6);
/// Reads a file of the share that says which share it is, and stays.
const READ: &str = "cat /data/which && sleep 3600";

/// See [`removed`].
pub(super) const REMOVED: Scenario = Scenario {
    name: "export-removed",
    about: "an export is removed and made again: a new pod is told why it waits, and starts then; old pods go on",
    needs_lab: true,
    run: removed,
};

/// See [`stale`].
pub(super) const STALE_HANDLES: Scenario = Scenario {
    name: "export-anew",
    about: "an export is made anew with other files, so that every handle is stale: a new pod starts at once",
    needs_lab: true,
    run: stale,
};

/// See [`renamed`].
pub(super) const RENAMED: Scenario = Scenario {
    name: "share-renamed",
    about: "a share is renamed away and comes back: nothing is published from what was moved away, and then pods start again",
    needs_lab: true,
    run: renamed,
};

fn removed(context: &Context<'_>) -> Result<(), LabError> {
    with_export(context, |export| {
        let node = context.nodes()?[0].clone();
        export.reads("first", &node, "old")?;
        export.withdraw()?;
        context.timeline.note("the export is removed");
        context.pod("second", "data", &node, READ)?;
        told(context, "second", "FailedMount", &words(&[&export.backend.server, &export.backend.share]))?;
        export.offer()?;
        context.timeline.note("the export is made again");
        let back = Instant::now();
        context.pod_ready_within("second", AFTER_FAILURES)?;
        context.figure(Line::fact(
            "from the export's return until a pod that had waited ran",
            back.elapsed().as_secs_f64(),
            "s",
        ));
        export.says("first", "old")?;
        export.says("second", "old")?;

        let mut pods = vec!["first", "second"];
        if context.size == Size::Full {
            export.made_anew("first", "third", &node)?;
            pods.push("third");
        }
        end(context, &pods)
    })
}

fn stale(context: &Context<'_>) -> Result<(), LabError> {
    with_export(context, |export| {
        let node = context.nodes()?[0].clone();
        export.reads("first", &node, "old")?;
        export.made_anew("first", "second", &node)?;
        end(context, &["first", "second"])
    })
}

fn renamed(context: &Context<'_>) -> Result<(), LabError> {
    with_export(context, |export| {
        let (node, share) = (context.nodes()?[0].clone(), &export.backend.share);
        export.reads("first", &node, "old")?;
        export.server.sh(&format!("exportfs -u '*:{share}' && mv {share} {share}.away && exportfs -f"))?;
        context.timeline.note("the share is renamed away");
        context.pod("second", "data", &node, READ)?;
        told(context, "second", "FailedMount", &words(&[&export.backend.server, share]))?;
        export.server.sh(&format!("mv {share}.away {share}"))?;
        export.offer()?;
        context.timeline.note("the share is back under its name");
        let back = Instant::now();
        context.pod_ready_within("second", AFTER_FAILURES)?;
        context.figure(Line::fact(
            "from the share's return until a pod that had waited ran",
            back.elapsed().as_secs_f64(),
            "s",
        ));
        export.says("second", "old")?;
        export.says("first", "old")?;
        end(context, &["first", "second"])
    })
}

fn end(context: &Context<'_>, pods: &[&str]) -> Result<(), LabError> {
    pods.iter().try_for_each(|pod| context.cluster().delete::<Pod>(&context.namespace, pod))
}

/// An export of the scenario's own on the kernel's server.
struct Export<'a> {
    context: &'a Context<'a>,
    server: &'a Machine,
    backend: Backend,
}

/// Does `work` with an export, and with a claim `data` on a directory in it whose file `which` says `old`.
fn with_export(context: &Context<'_>, work: impl FnOnce(&Export<'_>) -> Result<(), LabError>) -> Result<(), LabError> {
    let server = context.lab()?.machine(nfs::MACHINE)?;
    let backend =
        Backend { server: context.driver.backend.server.clone(), share: format!("/srv/{}", context.namespace) };
    let export = Export { context, server, backend };
    let share = &export.backend.share;
    export.fill("old")?;
    export.offer()?;
    static_claim(context, "data", &export.backend, INSIDE)?;
    let done = work(&export);
    // What the scenario has not come to the end of may be under either name.
    server.sh(&format!("exportfs -u '*:{share}' || true; rm -rf {share} {share}.away"))?;
    done
}

impl Export<'_> {
    fn fill(&self, which: &str) -> Result<(), LabError> {
        let volume = format!("{}/{INSIDE}", self.backend.share);
        self.server.sh(&format!("install -d -m 777 {volume} && echo {which} >{volume}/which")).map(drop)
    }

    fn offer(&self) -> Result<(), LabError> {
        let options = format!("rw,no_root_squash,no_subtree_check,insecure,fsid={FSID}");
        self.server.sh(&format!("exportfs -o {options} '*:{}'", self.backend.share)).map(drop)
    }

    fn withdraw(&self) -> Result<(), LabError> {
        self.server.sh(&format!("exportfs -u '*:{}' && exportfs -f", self.backend.share)).map(drop)
    }

    /// Makes the export anew with other files. The pod `old` must be told that its files are not there any more, and the pod
    /// `new`, which is started then, must read the new ones.
    fn made_anew(&self, old: &str, new: &str, node: &str) -> Result<(), LabError> {
        self.withdraw()?;
        self.server.sh(&format!("rm -rf {}", self.backend.share))?;
        self.fill("new")?;
        self.offer()?;
        self.context.timeline.note("the export is made anew, with other files: every handle of the old one is stale");
        let (cluster, words) = (self.context.cluster(), ["cat", "/data/which"]);
        let stale = cluster.kubectl().exec(&self.context.namespace, old, &words, &[])?.printed();
        self.context.check(stale.contains(STALE), || format!("a pod of the old export is told {stale:?}"))?;
        let took = self.reads(new, node, "new")?.as_secs_f64();
        self.context.figure(Line::fact("a pod on the share whose handles are stale, until it runs", took, "s"));
        Ok(())
    }

    /// Starts a pod and demands that it reads `which`; answers with how long it took until it ran.
    fn reads(&self, pod: &str, node: &str, which: &str) -> Result<Duration, LabError> {
        let begun = Instant::now();
        self.context.pod(pod, "data", node, READ)?;
        self.context.pod_ready_within(pod, AFTER_FAILURES)?;
        let took = begun.elapsed();
        self.says(pod, which).map(|()| took)
    }

    /// Waits until a pod reads `which`.
    fn says(&self, pod: &str, which: &str) -> Result<(), LabError> {
        let words = ["cat", "/data/which"];
        eventually(&format!("`{which}` read in the pod {pod}"), PATIENCE, Duration::from_secs(1), || {
            let read = self.context.cluster().kubectl().exec_text(&self.context.namespace, pod, &words);
            let read = read.map_err(|error| chain(&error))?;
            if read.trim() == which { Ok(()) } else { Err(read) }
        })
    }
}
