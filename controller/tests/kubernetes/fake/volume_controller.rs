//! What kube-controller-manager's volume controller does, as far as the provisioner sees it: it delegates claims, binds
//! volumes to the claims they were made for, releases them, and lets go of those being deleted that nobody uses.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::objects::{Objects, Place, finalizers};
use super::{Inner, text};

const DELEGATED: &str = "volume.kubernetes.io/storage-provisioner";
const PROTECTION: &str = "kubernetes.io/pv-protection";
const SELECTED: &str = "volume.kubernetes.io/selected-node";

pub(super) async fn run(api: Arc<Inner>) {
    let mut changed = api.changed.subscribe();
    loop {
        changed.borrow_and_update();
        let binds = !api.binds_nothing.load(Ordering::Relaxed);
        let patches = decide(&api.objects(), binds);
        for (place, patch) in patches {
            // The object may be gone by now; the next round sees what is.
            let _refused = api.change(|objects| objects.patch(&place, &patch, true));
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// The patches that objects as they are now call for.
fn decide(objects: &Objects, binds: bool) -> Vec<(Place, Value)> {
    let classes = objects.of("storageclasses", "");
    let claims = objects.of("persistentvolumeclaims", "");
    let mut patches: Vec<(Place, Value)> = Vec::new();
    for claim in &claims {
        if let Some(patch) = delegate(claim, &classes) {
            patches.push((place("persistentvolumeclaims", claim), patch));
        }
    }
    for volume in objects.of("persistentvolumes", "") {
        let deleted = !text(&volume, "/metadata/deletionTimestamp").is_empty();
        // Only what changes something: each patch is news to this loop, which would have no end.
        if deleted && text(&volume, "/status/phase") != "Bound" && finalizers(&volume).contains(&PROTECTION) {
            let unprotected = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [PROTECTION]}});
            patches.push((place("persistentvolumes", &volume), unprotected));
        }
        let claim_uid = text(&volume, "/spec/claimRef/uid");
        let claim = claims.iter().find(|claim| text(claim, "/metadata/uid") == claim_uid);
        match (claim, text(&volume, "/status/phase")) {
            _ if claim_uid.is_empty() => {}
            (None, "Released") | (Some(_), "Bound") => {}
            (None, _) => patches.push((place("persistentvolumes", &volume), json!({"status": {"phase": "Released"}}))),
            (Some(_), _) if !binds => {}
            (Some(claim), _) => {
                let bound = json!({
                    "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
                    "spec": {"volumeName": text(&volume, "/metadata/name")},
                    "status": {"phase": "Bound"},
                });
                patches.push((place("persistentvolumes", &volume), json!({"status": {"phase": "Bound"}})));
                patches.push((place("persistentvolumeclaims", claim), bound));
            }
        }
    }
    patches
}

fn delegate(claim: &Value, classes: &[Value]) -> Option<Value> {
    let annotations = &claim["metadata"]["annotations"];
    if !text(claim, "/spec/volumeName").is_empty() || annotations[DELEGATED].is_string() {
        return None;
    }
    let class = classes.iter().find(|class| text(class, "/metadata/name") == text(claim, "/spec/storageClassName"))?;
    if text(class, "/volumeBindingMode") == "WaitForFirstConsumer" && !annotations[SELECTED].is_string() {
        return None;
    }
    Some(json!({"metadata": {"annotations": {DELEGATED: class["provisioner"]}}}))
}

fn place(plural: &str, object: &Value) -> Place {
    let namespace = text(object, "/metadata/namespace").to_owned();
    Place { plural: plural.to_owned(), namespace, name: text(object, "/metadata/name").to_owned() }
}
