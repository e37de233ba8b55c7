//! From a claim to its volume object.

use std::time::Duration;

use controller::kubernetes::Config;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tonic::Code;

use crate::cluster::{Cluster, Flow, Running, finalizers};
use crate::recording::{Act, MADE_ON, id, id_on};

const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

pub(crate) async fn the_volume_object_equals_the_golden_one<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "golden").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({"mountOptions": ["hard", "nconnect=4"]})).await;
    let uid = flow.make_claim("data").await;
    let volume = flow.wait_bound("data").await;
    let name = format!("pvc-{uid}");

    let mut value = serde_json::to_value(&volume).unwrap();
    let identity = value["spec"]["csi"]["volumeAttributes"]["storage.kubernetes.io/csiProvisionerIdentity"].take();
    let identity = identity.as_str().unwrap();
    assert!(identity.ends_with(&format!("-{}", flow.driver)), "{identity}");
    assert_eq!(identity.split('-').take(2).filter(|part| part.parse::<u64>().is_ok()).count(), 2, "{identity}");
    let version = value["spec"]["claimRef"]["resourceVersion"].take();
    assert!(version.as_str().unwrap().parse::<u64>().is_ok(), "{version}");
    let spec = json!({
        "accessModes": ["ReadWriteMany"],
        "capacity": {"storage": "1Gi"},
        "claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": flow.name, "name": "data", "uid": uid,
            "resourceVersion": null,
        },
        "csi": {
            "driver": flow.driver,
            "volumeHandle": id(&name),
            "volumeAttributes": {
                "server": "nfs.example", "share": "/export", "subDir": name, "shareIdentity": MADE_ON.to_string(),
                "storage.kubernetes.io/csiProvisionerIdentity": null,
            },
        },
        "mountOptions": ["hard", "nconnect=4"],
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": flow.class(),
        "volumeMode": "Filesystem",
    });
    assert_eq!(value["spec"], spec);
    assert_eq!(value["metadata"]["name"], name);
    assert_eq!(
        value["metadata"]["annotations"],
        json!({
            "pv.kubernetes.io/provisioned-by": flow.driver,
            "volume.kubernetes.io/provisioner-deletion-secret-name": "",
            "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
        })
    );
    let mut held_by = finalizers(&volume);
    held_by.sort_unstable();
    assert_eq!(held_by, [FINALIZER, "kubernetes.io/pv-protection"]);

    let request = flow.volumes.volume(&name).expect("the volume");
    assert_eq!(request.parameters["csi.storage.k8s.io/pvc/name"], "data");
    assert_eq!(request.parameters["csi.storage.k8s.io/pvc/namespace"], flow.name);
    flow.wait_event(&flow.name, &uid, "ProvisioningSucceeded").await;
    let said = flow.events(&flow.name, &uid).await;
    let said: Vec<(&str, &str, i32)> = said.iter().map(|((r, m), count)| (r.as_str(), m.as_str(), *count)).collect();
    let expected = [
        ("Provisioning", &*format!("External provisioner is provisioning volume for claim \"{}/data\"", flow.name), 1),
        ("ProvisioningSucceeded", &*format!("Successfully provisioned volume {name}"), 1),
    ];
    assert_eq!(said, expected);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn an_uncertain_create_of_a_deleted_claim_is_finished_and_then_deleted<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "uncertain").await;
    // The first call makes the volume and its answer is lost; several more find the server away.
    let away = std::iter::repeat_n(Act::Fail(Code::Unavailable), 4);
    flow.volumes.script(std::iter::once(Act::MakeAndFail(Code::Aborted)).chain(away));
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.until("the first call", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
    flow.delete_claim("data").await;
    // The class may go as well: what is needed is remembered.
    flow.classes().delete(&flow.class(), &DeleteParams::default()).await.expect("a class");
    flow.until("the volume is deleted", async || (flow.volumes.deletes().len() == 1).then_some(())).await;
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.count(), 0, "nothing leaks");
    assert_eq!(flow.volumes.creates().len(), 6);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_claim_deleted_while_its_create_runs_leaks_nothing<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "midway").await;
    let (open, gate) = watch::channel(false);
    flow.volumes.script([Act::Wait(gate)]);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.until("the call runs", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
    flow.delete_claim("data").await;
    flow.until("the claim is gone", async || flow.claims().get_opt("data").await.unwrap().is_none().then_some(()))
        .await;
    open.send(true).unwrap();
    flow.until("the volume is deleted", async || (flow.volumes.deletes().len() == 1).then_some(())).await;
    flow.wait_no_volumes().await;
    assert_eq!((flow.volumes.creates().len(), flow.volumes.count()), (1, 0));
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_volume_whose_save_is_refused_is_saved_later_and_created_once<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "refused").await;
    flow.cluster.refuse_saves(&flow.driver).await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert!(message.starts_with(&format!("error saving volume pvc-{uid}: ")), "{message}");
    assert!(flow.saved().await.is_empty());
    flow.cluster.allow_saves(&flow.driver).await;
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates(), [format!("pvc-{uid}")]);
    assert!(flow.volumes.deletes().is_empty(), "a volume is never deleted because it could not be saved");
    running.stop().await.expect("a clean end");
}

/// A volume object as it would be made for the claim `data`, or one that only has its name.
fn namesake<C: Cluster>(flow: &Flow<'_, C>, uid: &str, handle: &str) -> PersistentVolume {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": flow.name, "name": "data", "uid": uid});
    let volume = json!({
        "metadata": {"name": format!("pvc-{uid}")},
        "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "storageClassName": flow.class(),
            "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": flow.driver, "volumeHandle": handle},
            "claimRef": claim,
        },
    });
    serde_json::from_value(volume).unwrap()
}

/// Begins a claim, and calls `meanwhile` between its create call and its save.
async fn provision_slowly<C: Cluster>(flow: &Flow<'_, C>, meanwhile: impl AsyncFnOnce(&str)) -> (Running, String) {
    let (open, gate) = watch::channel(false);
    flow.volumes.script([Act::Wait(gate)]);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    flow.until("the call runs", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
    meanwhile(&uid).await;
    open.send(true).unwrap();
    (running, uid)
}

pub(crate) async fn a_volume_that_is_saved_already_is_taken_for_what_it_is<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "saved").await;
    let save = async |uid: &str| {
        let volume = namesake(&flow, uid, &id(&format!("pvc-{uid}")));
        flow.all_volumes().create(&PostParams::default(), &volume).await.expect("a volume");
    };
    let (running, uid) = provision_slowly(&flow, save).await;
    flow.wait_bound("data").await;
    flow.wait_event(&flow.name, &uid, "ProvisioningSucceeded").await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 1);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn another_volume_object_of_that_name_is_told_and_the_volume_is_not_forgotten<C: Cluster>(
    cluster: &C,
) {
    let flow = Flow::new(cluster, "another").await;
    let save = async |uid: &str| {
        let mut volume = namesake(&flow, uid, "x");
        let spec = volume.spec.as_mut().unwrap();
        (spec.claim_ref, spec.storage_class_name) = (None, Some("another".to_owned()));
        flow.all_volumes().create(&PostParams::default(), &volume).await.expect("a volume");
    };
    let (running, uid) = provision_slowly(&flow, save).await;
    let (name, told) = (format!("pvc-{uid}"), flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await);
    let begin =
        format!("error saving volume {name}: another PersistentVolume has this name, for volume \"x\" of driver ");
    assert!(told.starts_with(&begin) && told.contains("; delete it"), "{told}");
    let reasons: Vec<String> = flow.events(&flow.name, &uid).await.into_keys().map(|(reason, _)| reason).collect();
    assert!(!reasons.contains(&"ProvisioningSucceeded".to_owned()), "{reasons:?}");
    flow.all_volumes().delete(&name, &DeleteParams::default()).await.expect("a volume");
    flow.wait_bound("data").await;
    let handle = flow.all_volumes().get(&name).await.unwrap().spec.unwrap().csi.unwrap().volume_handle;
    assert_eq!((handle, flow.volumes.creates()), (id(&name), vec![name]));
    running.stop().await.expect("a clean end");
}

pub(crate) async fn an_infeasible_claim_is_retried_at_once_when_its_class_is_another<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "infeasible").await;
    flow.volumes.script([Act::Fail(Code::InvalidArgument)]);
    // Only another class can bring the second call within the flow's patience.
    let config = Config { retry_interval_max: Duration::from_hours(1), ..flow.config("one") };
    let running = flow.run(config);
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert!(message.contains("Retries will be delayed."), "{message}");
    flow.patch_claim("data", json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 1, "news of the claim alone is no reason to call");
    flow.classes().delete(&flow.class(), &DeleteParams::default()).await.expect("a class");
    flow.make_class(json!({})).await;
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates_of(&uid), 2);
    running.stop().await.expect("a clean end");
}

/// The class is replaced while nobody knows whether it has made a volume, and the new one makes another, on its own server.
pub(crate) async fn what_a_replaced_class_had_begun_is_ended<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "replaced").await;
    // The first attempt at ending it does not succeed either.
    let acts = [Act::MakeAndFail(Code::Unavailable), Act::Succeed, Act::Fail(Code::Unavailable)];
    flow.volumes.script(acts);
    let running = flow.run(Config { retry_interval_start: Duration::from_millis(200), ..flow.config("one") });
    flow.make_class(json!({"parameters": {"server": "old.example", "share": "/export"}})).await;
    let uid = flow.make_claim("data").await;
    flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    flow.classes().delete(&flow.class(), &DeleteParams::default()).await.expect("a class");
    flow.make_class(json!({})).await;
    let name = flow.wait_bound("data").await.metadata.name.unwrap();
    flow.until("the other volume is gone", async || (flow.volumes.count() == 1).then_some(())).await;
    assert_eq!(flow.volumes.deletes(), [id_on("old.example", "/export", &name)]);
    assert!(flow.volumes.volume(&name).is_some(), "the one that the claim has");

    flow.delete_claim("data").await;
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.count(), 0);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_volume_smaller_than_asked_for_is_removed_and_made_again<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "small").await;
    flow.volumes.script([Act::MakeSmall]);
    flow.volumes.fail_deletes(2);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    flow.wait_bound("data").await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert_eq!(message, "created volume capacity 1 less than requested capacity 1073741824");
    assert_eq!((flow.volumes.creates().len(), flow.volumes.deletes().len()), (2, 3));
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_useless_volume_that_cannot_be_removed_is_told<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "useless").await;
    flow.volumes.script([Act::MakeSmall]);
    flow.volumes.fail_deletes(5);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    flow.wait_event(&flow.name, &uid, "ProvisioningCleanupFailed").await;
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.deletes().len(), 5);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn an_undelegated_claim_is_never_provisioned<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "undelegated").await;
    let running = flow.run(flow.config("one"));
    // The volume controller delegates a claim of such a class when it has a consumer.
    flow.make_class(json!({"volumeBindingMode": "WaitForFirstConsumer"})).await;
    let uid = flow.make_claim("data").await;
    flow.patch_claim("data", json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_late_binding_claim_waits_for_its_node<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "late").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({"volumeBindingMode": "WaitForFirstConsumer"})).await;
    let uid = flow.make_claim("data").await;
    // Delegated, but without a node: as when the scheduler took its choice back.
    let delegated = json!({"volume.kubernetes.io/storage-provisioner": flow.driver});
    flow.patch_claim("data", json!({"metadata": {"annotations": delegated}})).await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    flow.patch_claim("data", json!({"metadata": {"annotations": {SELECTED_NODE: "n1"}}})).await;
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates_of(&uid), 1);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_claim_whose_volume_exists_is_left_alone<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "exists").await;
    flow.make_class(json!({"volumeBindingMode": "WaitForFirstConsumer"})).await;
    let uid = flow.make_claim("data").await;
    let volume = json!({
        "metadata": {"name": format!("pvc-{uid}")},
        "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "storageClassName": "another",
            "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": "another.example", "volumeHandle": "x"},
        },
    });
    let volume = serde_json::from_value(volume).unwrap();
    flow.all_volumes().create(&PostParams::default(), &volume).await.expect("a volume");
    let running = flow.run(flow.config("one"));
    flow.patch_claim("data", json!({"metadata": {"annotations": {SELECTED_NODE: "n1"}}})).await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    assert!(flow.events(&flow.name, &uid).await.is_empty(), "silently");
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_claim_for_a_block_device_is_told_and_not_retried<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "block").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim_with("data", json!({"volumeMode": "Block"})).await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert_eq!(message, format!("{} does not support block volume provisioning", flow.driver));
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    assert_eq!(flow.events(&flow.name, &uid).await.into_values().collect::<Vec<_>>(), [1]);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_claim_for_a_populator_is_left_to_it<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "populator").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    // The API server takes a kind of others only by the second field, and then sets the first.
    let source = json!({"apiGroup": "populator.example", "kind": "Hello", "name": "x"});
    let uid = flow.make_claim_with("data", json!({"dataSource": source, "dataSourceRef": source})).await;
    flow.until("the claim is told so", async || {
        let events = flow.events(&flow.name, &uid).await;
        let text = "Assuming an external populator will provision the volume";
        events.contains_key(&("Provisioning".to_owned(), text.to_owned())).then_some(())
    })
    .await;
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_claim_that_cannot_be_asked_for_is_told_why_and_calls_nothing<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "bad").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({"parameters": {"csi.storage.k8s.io/unheard-of": "x"}})).await;
    let uid = flow.make_claim("data").await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert!(message.contains("csi.storage.k8s.io/unheard-of"), "{message}");
    assert!(flow.volumes.creates().is_empty());
    running.stop().await.expect("a clean end");
}

pub(crate) async fn work_on_a_claim_that_panics_costs_no_other_and_is_repeated<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "panics").await;
    flow.volumes.script([Act::Panic, Act::Panic]);
    let config = flow.config("one");
    let metrics = config.metrics.clone();
    csi_runtime::panics::register(&metrics);
    let running = flow.run(config);
    flow.make_class(json!({})).await;
    flow.make_claim("poison").await;
    flow.make_claim("other").await;
    flow.wait_bound("other").await;
    flow.wait_bound("poison").await;
    assert_eq!(flow.volumes.creates().len(), 4);
    let text = metrics.encode().unwrap();
    let counted = text.lines().find_map(|line| line.strip_prefix("berth_panics_total{task=\"work on a claim\"} "));
    // The count is the process's, and other flows that panic may share it.
    assert!(counted.is_some_and(|count| count.parse::<u32>().unwrap() >= 2), "{text}");
    running.stop().await.expect("a clean end");
}

/// Nobody has heard of the volume that was made before the panic, and its claim is deleted before the repetition.
pub(crate) async fn what_was_made_before_a_panic_is_followed_up_without_its_claim<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "lost").await;
    flow.volumes.script([Act::MakeAndPanic]);
    let running = flow.run(Config { retry_interval_start: Duration::from_hours(1), ..flow.config("one") });
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    flow.until("the volume is made", async || (flow.volumes.count() == 1).then_some(())).await;
    flow.delete_claim("data").await;
    flow.until("nothing is left", async || (flow.volumes.count() == 0).then_some(())).await;
    assert_eq!(flow.volumes.deletes(), [id(&format!("pvc-{uid}"))]);
    flow.wait_no_volumes().await;
    running.stop().await.expect("a clean end");
}
