//! What each object that a controller knows costs it in memory.

use std::{process::Command, thread, time::Duration};

use k8s_openapi::api::core::v1::Event;
use labkit::{
    base::{Daemon, LabError, join},
    parts::Kubernetes,
};
use serde_json::{Value, json};

use super::create::resident;
use crate::{
    cluster::{Cluster, api_only::ApiOnly, binaries::Binaries, parts::LabParts, state::StateDir},
    report::Line,
    target::DRIVER,
};

/// Claims, and as many volumes that they are bound to.
const CLAIMS: u16 = 10_000;
/// Who makes them, at the same time.
const HANDS: u16 = 8;
/// How long the controller may take to know all of them.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long it is left alone then.
const REST: Duration = Duration::from_secs(20);
const NAMESPACE: &str = "default";
const CLASS: &str = "known";

pub(super) fn measure(
    lab: &StateDir,
    parts: &LabParts,
    binaries: &Binaries,
    kubernetes: Kubernetes,
) -> Result<Vec<Line>, LabError> {
    let api = ApiOnly::start_alone(lab, parts.control_plane(), kubernetes)?;
    let cluster = Cluster::new(parts.control_plane().kubectl.clone(), api.kubeconfig())?;
    // A class that no volume can be made by, so that a claim of it tells when everything is known.
    cluster.create(&json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": CLASS },
        "provisioner": DRIVER, "parameters": { "sharee": "/export" },
    }))?;
    thread::scope(|scope| {
        let cluster = &cluster;
        let hands = (0..HANDS).map(|hand| {
            scope.spawn(move || {
                (hand..CLAIMS).step_by(usize::from(HANDS)).try_for_each(|number| cluster.create_all(&pair(number)))
            })
        });
        hands.collect::<Vec<_>>().into_iter().try_for_each(join)
    })?;
    let controller = start(&api, binaries)?;
    cluster.create(&last())?;
    cluster.until::<Event, _>("word about the last claim", NAMESPACE, "", PATIENCE, |events| {
        let told = |event: &Value| event["involvedObject"]["name"] == "last" && event["reason"] == "ProvisioningFailed";
        if events.iter().any(told) { Ok(()) } else { Err(format!("{} events", events.len())) }
    })?;
    thread::sleep(REST);
    let rss = resident(controller.pid)?;
    // A kilobyte for each object that is kept: of a claim that has its volume nothing is.
    let goal = 20.0 + f64::from(CLAIMS) * 0.001;
    Ok(vec![Line::at_most(&format!("controller RSS with {CLAIMS} claims and their volumes known"), rss, "MB", goal)])
}

fn start(api: &ApiOnly, binaries: &Binaries) -> Result<Daemon, LabError> {
    let socket = api.file("csi.sock");
    let mut command = Command::new(binaries.controller());
    command.arg(format!("--endpoint=unix://{}", socket.display()));
    command.args(["--identity=bench", &format!("--leader-election-namespace={NAMESPACE}")]);
    command.env("KUBECONFIG", api.kubeconfig());
    Daemon::start("berth-controller", command, &api.logs())
}

/// A claim and its volume, as both are when they are bound; nobody is there to say so in their status.
fn pair(number: u16) -> [Value; 2] {
    let (name, volume) = (format!("claim-{number:05}"), format!("pvc-00000000-0000-4000-8000-{number:012}"));
    let attributes = json!({
        "server": "127.0.0.1:9", "share": "/export", "subDir": volume,
        "shareIdentity": "0123456789abcdef0123456789abcdef",
        "storage.kubernetes.io/csiProvisionerIdentity": format!("1763700000000-1234-{DRIVER}"),
    });
    let spec = json!({ "accessModes": ["ReadWriteMany"], "storageClassName": CLASS, "volumeMode": "Filesystem" });
    let (mut claim, mut object) = (claim(&name, spec.clone()), spec);
    claim["spec"]["volumeName"] = json!(volume);
    object["capacity"] = json!({ "storage": "1Gi" });
    object["persistentVolumeReclaimPolicy"] = json!("Delete");
    object["claimRef"] =
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": NAMESPACE, "name": name });
    object["csi"] = json!({
        "driver": DRIVER, "volumeHandle": format!("berth://127.0.0.1:9/export#{volume}"), "volumeAttributes": attributes,
    });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": volume, "annotations": { "pv.kubernetes.io/provisioned-by": DRIVER },
            "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
        },
        "spec": object,
    });
    [volume, claim]
}

fn claim(name: &str, mut spec: Value) -> Value {
    spec["resources"] = json!({ "requests": { "storage": "1Gi" } });
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "annotations": { "volume.kubernetes.io/storage-provisioner": DRIVER },
        },
        "spec": spec,
    })
}

/// A claim that waits for a volume.
fn last() -> Value {
    claim("last", json!({ "accessModes": ["ReadWriteMany"], "storageClassName": CLASS, "volumeMode": "Filesystem" }))
}
