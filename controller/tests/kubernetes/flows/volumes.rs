//! From a volume object to its end.

use controller::operations::{Notice, NoticeKind};
use kube::api::{DeleteParams, PostParams};
use nfs_client::NfsStatus;
use serde_json::json;

use crate::cluster::{Cluster, Flow, finalizers};
use crate::recording::{MADE_ON, id};

const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

pub(crate) async fn the_finalizer_follows_the_reclaim_policy<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "policy").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let name = flow.wait_bound("data").await.metadata.name.unwrap();
    let held = async |held: bool| {
        flow.until(&format!("held is {held}"), async || {
            let volume = flow.all_volumes().get(&name).await.unwrap();
            let all = finalizers(&volume);
            assert!(all.iter().any(|one| one == "kubernetes.io/pv-protection"), "{all:?}");
            (all.iter().any(|one| one == FINALIZER) == held).then_some(())
        })
        .await;
    };
    for _ in 0..3 {
        flow.patch_volume(&name, json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})).await;
        held(false).await;
        flow.patch_volume(&name, json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}})).await;
        held(true).await;
    }
    // A volume that is to be kept is kept, whatever its class says.
    flow.patch_volume(&name, json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})).await;
    held(false).await;
    flow.delete_claim("data").await;
    flow.until("the volume is released", async || {
        let volume = flow.all_volumes().get(&name).await.unwrap();
        (volume.status?.phase? == "Released").then_some(())
    })
    .await;
    assert!(flow.volumes.deletes().is_empty());
    // … and goes when the policy says so after all.
    flow.patch_volume(&name, json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}})).await;
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.deletes(), [id(&name)]);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_volume_deleted_before_its_claim_goes_with_the_claim<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "volume-first").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let name = flow.wait_bound("data").await.metadata.name.unwrap();
    flow.all_volumes().delete(&name, &DeleteParams::default()).await.expect("a volume");
    flow.barrier().await;
    let volume = flow.all_volumes().get(&name).await.expect("a volume that waits for its claim");
    assert!(volume.metadata.deletion_timestamp.is_some());
    assert!(flow.volumes.deletes().is_empty());
    flow.delete_claim("data").await;
    flow.until("the volume is gone", async || flow.all_volumes().get_opt(&name).await.unwrap().is_none().then_some(()))
        .await;
    assert_eq!(flow.volumes.deletes(), [id(&name)]);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn foreign_finalizers_survive<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "foreign").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let volume = flow.wait_bound("data").await;
    let name = volume.metadata.name.clone().unwrap();
    let mut all = finalizers(&volume);
    all.push("example.com/hold".to_owned());
    flow.patch_volume(&name, json!({"metadata": {"finalizers": all}})).await;
    flow.delete_claim("data").await;
    flow.until("only the foreign finalizer is left", async || {
        let volume = flow.all_volumes().get(&name).await.expect("a volume that somebody holds");
        (finalizers(&volume) == ["example.com/hold"]).then_some(())
    })
    .await;
    assert_eq!(flow.volumes.deletes(), [id(&name)]);
    // News about a volume that we are done with brings no second call.
    flow.patch_volume(&name, json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
    flow.barrier().await;
    flow.patch_volume(&name, json!({"metadata": {"finalizers": null}})).await;
    flow.until("the volume is gone", async || flow.all_volumes().get_opt(&name).await.unwrap().is_none().then_some(()))
        .await;
    assert_eq!(flow.volumes.deletes(), [id(&name)]);
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_failed_delete_is_told_and_repeated<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "failing").await;
    flow.volumes.fail_deletes(3);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let volume = flow.wait_bound("data").await;
    flow.delete_claim("data").await;
    let (name, uid) = (volume.metadata.name.as_deref().unwrap(), volume.metadata.uid.as_deref().unwrap());
    let told = flow.wait_event("default", uid, "VolumeFailedDelete").await;
    let place = format!("cannot move to the trash nfs.example:/export/{name}: NFS server nfs.example:2049: ");
    assert!(told.starts_with(&place), "server and path: {told}");
    assert!(told.contains(&NfsStatus::NoSpc.to_string()), "the cause: {told}");
    assert!(told.ends_with("; free space on the server, or raise its quota"), "the remedy: {told}");
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.deletes_made_on(), [Some(MADE_ON); 4], "the share that the object names");
    flow.until("repetitions are counted in one event", async || {
        let events = flow.events("default", uid).await;
        (events.len() == 1 && events.values().all(|count| *count == 3)).then_some(())
    })
    .await;
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_hundred_claims_take_a_hundred_creates_and_a_hundred_deletes<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "hundred").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let names: Vec<String> = (0..100).map(|number| format!("data-{number}")).collect();
    futures::future::join_all(names.iter().map(|name| flow.make_claim(name))).await;
    futures::future::join_all(names.iter().map(|name| flow.wait_bound(name))).await;
    let mut creates = flow.volumes.creates();
    assert_eq!(creates.len(), 100, "one create call for each claim");
    futures::future::join_all(names.iter().map(|name| flow.delete_claim(name))).await;
    flow.wait_no_volumes().await;
    let mut deletes = flow.volumes.deletes();
    assert_eq!(deletes.len(), 100, "one delete call for each volume");
    creates.sort_unstable();
    deletes.sort_unstable();
    assert_eq!(deletes, creates.iter().map(|name| id(name)).collect::<Vec<_>>());
    assert_eq!((flow.volumes.count(), flow.volumes.doubled()), (0, Vec::new()));
    running.stop().await.expect("a clean end");
}

/// People copy a PersistentVolume to use its content in another namespace.
pub(crate) async fn a_volume_that_another_object_stands_for_is_kept<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "copied").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let first = flow.wait_bound("data").await;
    let (name, uid) = (first.metadata.name.clone().unwrap(), first.metadata.uid.clone().unwrap());
    let copy = format!("{name}-copy");
    let mut object = serde_json::to_value(&first).unwrap();
    object["metadata"] = json!({"name": copy, "annotations": first.metadata.annotations});
    object["status"] = json!(null);
    object["spec"]["claimRef"] = json!({"namespace": "elsewhere", "name": "data"});
    let object = serde_json::from_value(object).unwrap();
    flow.all_volumes().create(&PostParams::default(), &object).await.expect("a copy");

    flow.delete_claim("data").await;
    let told = flow.wait_event("default", &uid, "VolumeFailedDelete").await;
    let begin = format!("volume {} was not deleted: PersistentVolume {copy} stands for it as well", id(&name));
    assert!(told.starts_with(&begin), "{told}");
    assert!(flow.volumes.deletes().is_empty());

    // Without the copy it goes.
    flow.all_volumes().delete(&copy, &DeleteParams::default()).await.expect("a copy");
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.deletes(), [id(&name)]);
    running.stop().await.expect("a clean end");
}

/// kubelet tells a node only the first mode.
pub(crate) async fn a_static_volume_that_lists_reading_before_writing_is_told_of<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "modes").await;
    let running = flow.run(flow.config("one"));
    let make = async |name: &str, driver: &str, modes: [&str; 2]| {
        let object = json!({
            "metadata": {"name": format!("{name}-{}", flow.name)},
            "spec": {
                "accessModes": modes, "capacity": {"storage": "1Gi"}, "storageClassName": "static",
                "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": driver, "volumeHandle": name},
            },
        });
        let object = serde_json::from_value(object).unwrap();
        let made = flow.all_volumes().create(&PostParams::default(), &object).await.expect("a volume");
        (made.metadata.name.unwrap(), made.metadata.uid.unwrap())
    };
    let (_, right) = make("right", &flow.driver, ["ReadWriteMany", "ReadOnlyMany"]).await;
    let (_, foreign) = make("foreign", "another.example", ["ReadOnlyMany", "ReadWriteMany"]).await;
    let (name, wrong) = make("wrong", &flow.driver, ["ReadOnlyMany", "ReadWriteMany"]).await;
    let told = flow.wait_event("default", &wrong, "MountedReadOnly").await;
    assert!(
        told.starts_with("pods get this volume read-only: ") && told.contains("; put ReadWriteMany first, "),
        "{told}"
    );
    flow.patch_volume(&name, json!({"metadata": {"annotations": {"touched": "yes"}}})).await;
    flow.barrier().await;
    assert_eq!(flow.events("default", &wrong).await.into_values().collect::<Vec<_>>(), [1], "once");
    for uid in [right, foreign] {
        assert!(flow.events("default", &uid).await.is_empty());
    }
    running.stop().await.expect("a clean end");
    for name in ["right", "foreign", "wrong"] {
        let name = format!("{name}-{}", flow.name);
        flow.all_volumes().delete(&name, &DeleteParams::default()).await.expect("a volume");
    }
}

pub(crate) async fn a_notice_about_a_share_is_told_of_the_objects_that_name_it<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "notices").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let volume = flow.wait_bound("data").await.metadata.uid.unwrap();
    let class = flow.classes().get(&flow.class()).await.unwrap().metadata.uid.unwrap();
    let tell = |share: &str, text: &str| {
        let (server, share) = ("nfs.example".parse().unwrap(), share.parse().unwrap());
        flow.volumes.tell(Notice { server, share, kind: NoticeKind::TrashStuck, text: text.to_owned() });
    };
    tell("/another", "nobody names it");
    tell("/export", "one");
    assert_eq!(flow.wait_event("default", &class, "TrashStuck").await, "one");
    assert!(flow.events("default", &volume).await.is_empty(), "the class stands for it");
    flow.classes().delete(&flow.class(), &DeleteParams::default()).await.expect("a class");
    flow.barrier().await;
    // The barrier's volume is on the share as well.
    let first =
        flow.saved().await.into_iter().map(|volume| volume.metadata).min_by_key(|metadata| metadata.name.clone());
    tell("/export", "two");
    assert_eq!(flow.wait_event("default", &first.unwrap().uid.unwrap(), "TrashStuck").await, "two");
    assert_eq!(flow.events("default", &class).await.len(), 1);
    running.stop().await.expect("a clean end");
}
