//! The main job: three replicas on two nodes serve images from one volume.

use std::{collections::BTreeSet, fs, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
};
use labkit::base::{LabError, chain, checkout, eventually};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Context, Scenario, context::PATIENCE, events::never_told, share::share_root};
use crate::cluster::api::name_of;

/// The examples that README shows; the demo applies them in its own namespace, with the cluster's class and image.
const EXAMPLES: &[&str] = &["pvc.yaml", "deployment.yaml"];
const PORT: u16 = 8080;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "demo",
    about: "a claim is bound, three replicas on two nodes share its files, and everything goes away again",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let cluster = context.cluster();
    let objects = examples(context)?;
    for object in &objects {
        cluster.apply(object)?;
    }
    let (claim, deployment) = (named(&objects, "PersistentVolumeClaim")?, named(&objects, "Deployment")?);
    let volume = context.bound(&claim)?;
    never_told(context, &claim, "ProvisioningFailed")?;
    context.timeline.step(&format!("claim {claim} is Bound"));
    context.rolled_out(&context.namespace, "")?;
    let pods = cluster.list::<Pod>(&context.namespace, &selector_of(&objects))?;
    let nodes: BTreeSet<&str> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    context.check(pods.len() == 3 && nodes.len() >= 2, || format!("{} pods run on nodes {nodes:?}", pods.len()))?;
    context
        .timeline
        .step(&format!("three replicas Running on {}", nodes.iter().copied().collect::<Vec<_>>().join(", ")));
    share_an_image(context, &pods)?;
    cluster.delete::<Deployment>(&context.namespace, &deployment)?;
    cluster.delete::<PersistentVolumeClaim>(&context.namespace, &claim)?;
    cluster.gone::<PersistentVolume>("", &[name_of(&volume)])?;
    let left = eventually("an empty share", Duration::from_secs(30), Duration::from_millis(500), || {
        let names = share_root(context).map_err(|error| error.to_string())?;
        if names.iter().all(|name| name == ".berth") { Ok(names) } else { Err(names.join(", ")) }
    })?;
    context.timeline.step(&format!("everything deleted; on the share: {}", left.join(", ")));
    Ok(())
}

/// Uploads an image through one replica and fetches it through each.
fn share_an_image(context: &Context<'_>, pods: &[Value]) -> Result<(), LabError> {
    let names: Vec<&str> = pods.iter().map(name_of).collect();
    let image = image()?;
    let digest = hex(&image);
    // The count is asked for in the same session, which keeps it open until all input has arrived: a session whose last
    // program is the reader may lose the end of its input (seen with containerd 2.4.2, on any file system).
    let words = ["sh", "-c", "cat > /images/berth.png && wc -c < /images/berth.png"];
    let done = context.cluster().kubectl().exec(&context.namespace, names[0], &words, &image)?;
    let arrived = done.text().trim() == image.len().to_string();
    context.check(done.status.success() && arrived, || {
        format!("upload of {} bytes through {}: {} {}", image.len(), names[0], done.text().trim(), done.printed())
    })?;
    context.timeline.step(&format!("{} bytes uploaded through {}", image.len(), names[0]));
    for name in &names {
        let path = format!("/api/v1/namespaces/{}/pods/{name}:{PORT}/proxy/berth.png", context.namespace);
        // Another node's client may hold the directory's old attributes for some seconds: close-to-open consistency.
        eventually(&format!("the same image through {name}"), PATIENCE, Duration::from_millis(500), || {
            let bytes = context.cluster().raw(&path).map_err(|error| chain(&error))?;
            let found = hex(&bytes);
            if found == digest { Ok(()) } else { Err(format!("SHA-256 {found} of {} bytes", bytes.len())) }
        })?;
    }
    context.timeline.step(&format!("SHA-256 {}… equal through all {} replicas", &digest[..16], names.len()));
    Ok(())
}

/// The example objects, moved into the scenario's namespace and onto the class under test.
fn examples(context: &Context<'_>) -> Result<Vec<Value>, LabError> {
    let files = EXAMPLES.iter().map(|file| example(context, file));
    Ok(files.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().map(|object| moved(object, context)).collect())
}

/// The objects of one example file, in the scenario's namespace.
pub(super) fn example(context: &Context<'_>, file: &str) -> Result<Vec<Value>, LabError> {
    let path = checkout().join("manifests/examples").join(file);
    let words = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f"];
    let text = context.cluster().kubectl().tool().args(words).arg(&path).output()?;
    let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    objects
        .map(|object| {
            let mut object = object.map_err(LabError::reply(file))?;
            if object["kind"] != "PersistentVolume" {
                object["metadata"]["namespace"] = json!(context.namespace);
            }
            Ok(object)
        })
        .collect()
}

fn moved(mut object: Value, context: &Context<'_>) -> Value {
    if object["kind"] == "PersistentVolumeClaim" {
        object["spec"]["storageClassName"] = json!(context.driver.class);
    } else if object["kind"] == "Deployment" {
        let container = &mut object["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!(context.driver.shell_image);
        container["imagePullPolicy"] = json!("IfNotPresent");
    }
    object
}

/// The labels by which the example's Deployment knows its pods.
fn selector_of(objects: &[Value]) -> String {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
    let labels = deployment.and_then(|object| object["spec"]["selector"]["matchLabels"].as_object());
    let pairs = labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

fn named(objects: &[Value], kind: &str) -> Result<String, LabError> {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found
        .map(|object| name_of(object).to_owned())
        .ok_or_else(|| LabError::Unmet(format!("the examples hold no {kind}")))
}

/// A megabyte that no other run has.
fn image() -> Result<Vec<u8>, LabError> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut random = fs::File::open("/dev/urandom").map_err(LabError::file("/dev/urandom"))?;
    let mut noise = vec![0; 1 << 20];
    std::io::Read::read_exact(&mut random, &mut noise).map_err(LabError::file("/dev/urandom"))?;
    bytes.append(&mut noise);
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
