//! The name of a server resolves no longer.

use k8s_openapi::api::core::v1::Pod;
use labkit::base::LabError;

use super::{
    Context, Scenario,
    events::{told, words},
    restart::plugin_pod,
    share::static_claim,
};
use crate::cluster::{api::name_of, machine::Machine, nfs::Backend};

/// Names of the server, each of a share that a node has mounted, or has not.
const KNOWN: &str = "known.lab.test";
const UNKNOWN: &str = "unknown.lab.test";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "name-gone",
    about: "names resolve no longer: what a node has mounted is published all the same, a pod with anything else is told the name",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (lab, node) = (context.lab()?, context.nodes()?[0].clone());
    let machine = lab.machine(&node)?;
    let names = Names::of_plugin(context, machine, &node)?;
    names.add(&context.driver.backend.server)?;
    let tried = without_names(context, &node, &names);
    names.remove()?;
    tried
}

fn without_names(context: &Context<'_>, node: &str, names: &Names<'_>) -> Result<(), LabError> {
    for (claim, server) in [("known", KNOWN), ("unknown", UNKNOWN)] {
        let share = context.driver.backend.share.clone();
        static_claim(context, claim, &Backend { server: server.to_owned(), share }, "")?;
    }
    context.pod("first", "known", node, "sleep 3600")?;
    context.pod_ready("first")?;
    names.remove()?;
    context.timeline.note("no name resolves any more");
    context.pod("second", "known", node, "sleep 3600")?;
    context.pod_ready("second")?;
    context.lab()?.restart_kubelet(node)?;
    context.pod("third", "known", node, "sleep 3600")?;
    context.pod_ready("third")?;
    context.pod("stranger", "unknown", node, "sleep 3600")?;
    told(context, "stranger", "FailedMount", &words(&[UNKNOWN]))?;
    names.add(&context.driver.backend.server)?;
    context.timeline.note("names resolve again");
    context.pod_ready("stranger")?;
    ["first", "second", "third", "stranger"]
        .iter()
        .try_for_each(|pod| context.cluster().delete::<Pod>(&context.namespace, pod))
}

/// The names that a node's plugin can resolve: kubelet has them in a file of the plugin's pod, and there is no other name service
/// in the lab.
struct Names<'a> {
    machine: &'a Machine,
    file: String,
}

impl<'a> Names<'a> {
    fn of_plugin(context: &Context<'_>, machine: &'a Machine, node: &str) -> Result<Self, LabError> {
        let namespace = &context.driver.namespace;
        let name = plugin_pod(context, node)?;
        let pod = context.cluster().get::<Pod>(namespace, &name)?.unwrap_or_default();
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        context.check(name_of(&pod) == name && !uid.is_empty(), || format!("{name} has no UID"))?;
        Ok(Self { machine, file: format!("/var/lib/kubelet/pods/{uid}/etc-hosts") })
    }

    /// The file is the container's: it is changed where it is, and not replaced.
    fn add(&self, address: &str) -> Result<(), LabError> {
        self.machine.sh(&format!("test -s {0} && echo '{address} {KNOWN} {UNKNOWN}' >>{0}", self.file)).map(drop)
    }

    fn remove(&self) -> Result<(), LabError> {
        self.machine.sh(&format!("others=$(grep -v lab.test {0}) && echo \"$others\" >{0}", self.file)).map(drop)
    }
}
