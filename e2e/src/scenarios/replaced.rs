//! A class is made anew for another server while volumes are being made by it, and one of their claims is deleted.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use labkit::base::{LabError, chain, eventually};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::PATIENCE,
    failover::{address_of, leading_pod},
    share::share_root_of,
};
use crate::cluster::{
    api::name_of,
    machine::Machine,
    nfs::{self, Backend},
};

/// Name of the class.
const CLASS: &str = "replaced";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "class-replaced",
    about: "what a class had begun on a server that fell silent is ended when the class leads to another server, be the claim deleted",
    needs_lab: true,
    run,
};

/// A server whose answers to one client get lost, until dropped.
struct Mute<'a> {
    server: &'a Machine,
    client: Ipv4Addr,
}

impl<'a> Mute<'a> {
    fn begin(server: &'a Machine, client: Ipv4Addr) -> Result<Self, LabError> {
        let mute = Self { server, client };
        mute.change("-I").map(|()| mute)
    }

    fn change(&self, how: &str) -> Result<(), LabError> {
        let rule = format!("OUTPUT -d {} -p tcp --sport 2049 -j DROP", self.client);
        self.server.sh(&format!("iptables -w {how} {rule}")).map(drop)
    }

    fn end(self) {
        drop(self);
    }
}

impl Drop for Mute<'_> {
    fn drop(&mut self) {
        // A machine that cannot be reached any more fails whatever comes next.
        let _ = self.change("-D");
    }
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (lab, cluster) = (context.lab()?, context.cluster());
    let (server, share) = (lab.machine(nfs::MACHINE)?, format!("{}/{}", nfs::OTHER_SHARE, context.namespace));
    server.sh(&format!("install -d -m 755 {share}"))?;
    let old = Backend { server: context.driver.backend.server.clone(), share: share.clone() };
    let class = make_class(context, &old)?;
    context.claim_of("first", &class)?;
    let first = name_of(&context.bound("first")?).to_owned();
    server.sh(&format!("echo here >{share}/{first}/file"))?;

    let leader = leading_pod(context)?;
    context.timeline.note(&format!("answers of {} to {} get lost", old.server, name_of(&leader)));
    let mute = Mute::begin(server, address_of(&leader)?)?;
    let begun: Vec<String> =
        ["kept", "gone"].iter().map(|name| begin(context, name, &class)).collect::<Result<_, _>>()?;
    let made: Vec<String> = begun.iter().map(|volume| format!("test -d {share}/{volume}")).collect();
    server.wait_for("the directories of both claims", PATIENCE, &made.join(" && "))?;
    cluster.delete::<PersistentVolumeClaim>(&context.namespace, "gone")?;
    cluster.delete::<StorageClass>("", &class)?;
    let new = lab.ganesha();
    make_class(context, &new)?;
    let again = begin(context, "gone", &class)?;
    for name in ["kept", "gone"] {
        let attributes = context.bound(name)?["spec"]["csi"]["volumeAttributes"].take();
        context.check(attributes["server"] == new.server.as_str(), || format!("{name} is on {attributes}"))?;
    }
    context.timeline.step("class-replaced: both claims Bound by the new class while the old one's server is silent");
    mute.end();

    let listed = format!("cd {share} && ls -d pvc-* .berth/*/* || true");
    let wanted = format!(".berth/records/{first}\n{first}\n");
    eventually(&format!("the end of everything but {first}"), PATIENCE, Duration::from_secs(1), || {
        let found = server.sh(&listed).map_err(|error| chain(&error))?;
        if found == wanted { Ok(()) } else { Err(found) }
    })?;
    let kept = server.sh(&format!("cat {share}/{first}/file"))?;
    context.check(kept == "here\n", || format!("the volume that the class had made before holds {kept:?}"))?;
    // Of the claim that was deleted nothing is left, and what the others have stays.
    cluster.gone::<PersistentVolume>("", &[begun[1].as_str()])?;
    let names = share_root_of(context, &new)?;
    for (volume, is_there) in [(&begun[0], true), (&begun[1], false), (&again, true)] {
        context
            .check(names.contains(volume) == is_there, || format!("{volume}: on the new share there are {names:?}"))?;
    }
    context.pod("user", "kept", "", "echo here >/data/file && sleep 3600")?;
    context.pod_ready("user")?;
    cluster.delete::<Pod>(&context.namespace, "user")
}

/// Makes the class, or makes it anew.
fn make_class(context: &Context<'_>, Backend { server, share }: &Backend) -> Result<String, LabError> {
    context.class(CLASS, &json!({ "server": server, "share": share }))
}

/// Makes a claim and answers with the name that its volume will have.
fn begin(context: &Context<'_>, name: &str, class: &str) -> Result<String, LabError> {
    context.claim_of(name, class)?;
    let claim = context.cluster().get::<PersistentVolumeClaim>(&context.namespace, name)?.unwrap_or(Value::Null);
    let uid = claim["metadata"]["uid"].as_str();
    uid.map(|uid| format!("pvc-{uid}")).ok_or_else(|| LabError::Unmet(format!("claim {name} has no UID: {claim}")))
}
