//! A pod's group (`fsGroup`), given to its volume by the driver.

use std::path::Path;
use std::time::Duration;

use csi_proto::csi;
use csi_proto::csi::node_service_capability::Type;
use csi_proto::csi::node_service_capability::rpc::Type as RpcType;
use csi_proto::csi::volume_capability::AccessType;
use csi_proto::csi::volume_capability::access_mode::Mode;
use node_plugin::Config;
use node_plugin::mounter::{Kind, Mounter};
use rustix::io::Errno;
use tonic::Code;

use crate::plugin::{AT_ONCE, at_once, capability, deadlines, failure, volume, within};
use crate::service::{Scene, counted, locations, scene, scene_of, until_alone};

const ROOT: &str = "server:/share/pvc-1";

async fn driver() -> Scene {
    scene_of(|service| service.giving_groups(true)).await
}

/// A volume for a pod of a group, where the class says how much is given.
fn grouped(change: &str, group: u32, target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("pvc-1", target);
    request.volume_context.insert("fsGroupChange".to_owned(), change.to_owned());
    set_group(&mut request, group);
    request
}

fn set_group(request: &mut csi::NodePublishVolumeRequest, group: u32) {
    let Some(AccessType::Mount(mount)) = &mut request.volume_capability.as_mut().unwrap().access_type else {
        panic!("a mounted volume")
    };
    mount.volume_mount_group = group.to_string();
}

/// Files of all kinds below the volume.
fn fill(scene: &Scene) {
    for (name, kind, group, mode) in [
        ("a", Kind::Directory, 0, 0o755),
        ("a/b", Kind::Directory, 2000, 0o2770),
        ("a/b/file", Kind::File, 0, 0o600),
        ("done", Kind::File, 2000, 0o660),
        ("link", Kind::Link, 0, 0o777),
        ("program", Kind::File, 0, 0o4755),
        ("ready", Kind::File, 0, 0o4770),
    ] {
        scene.kernel.make_entry(&format!("{ROOT}/{name}"), kind, group, mode);
    }
}

/// Threads that give something to a group; other tests of this process have groups of their own.
fn threads(group: u32) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == format!("group {group}")).count()
}

async fn until_no_threads(group: u32) {
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while threads(group) > 0 {
        assert!(std::time::Instant::now() < until, "{} threads are left", threads(group));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_gives_groups_says_so() {
    for (gives, expected) in [(true, true), (false, false)] {
        let mut scene = scene_of(|service| service.giving_groups(gives)).await;
        let request = csi::NodeGetCapabilitiesRequest {};
        let answer = scene.plugin.client.node_get_capabilities(request).await.unwrap().into_inner();
        let says = answer.capabilities.iter().any(|capability| {
            matches!(&capability.r#type, Some(Type::Rpc(rpc)) if rpc.r#type() == RpcType::VolumeMountGroup)
        });
        assert_eq!(says, expected);
    }
    let mut scene = scene().await;
    scene.plugin.publish(grouped("root", 2000, &scene.target("1"))).await.unwrap();
    assert!(scene.kernel.owner_changes().is_empty(), "kubelet does it");
}

#[tokio::test]
async fn the_root_is_given_once_and_passes_the_group_on() {
    let mut scene = driver().await;
    fill(&scene);
    let mut request = grouped("root", 2000, &scene.target("1"));
    request.volume_context.remove("fsGroupChange");
    scene.plugin.publish(request).await.unwrap();
    assert_eq!(scene.kernel.owner_changes(), [format!("chgrp 2000 {ROOT}"), format!("chmod 2777 {ROOT}")]);
    for (pod, change) in [("1", "root"), ("2", "root"), ("3", "always")] {
        scene.plugin.publish(grouped(change, 2000, &scene.target(pod))).await.unwrap();
    }
    assert!(scene.kernel.owner_changes().is_empty(), "once");
}

#[tokio::test]
async fn all_of_a_volume_is_given_where_the_class_says_so_and_the_root_comes_last() {
    let mut scene = driver().await;
    fill(&scene);
    scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.unwrap();
    let mut changes = scene.kernel.owner_changes();
    assert_eq!(changes.first(), Some(&format!("chgrp 2000 {ROOT}")));
    assert_eq!(changes.last(), Some(&format!("chmod 2777 {ROOT}")), "the mark");
    changes.sort();
    let mut expected = [
        "chgrp 2000".to_owned() + " " + ROOT,
        format!("chgrp 2000 {ROOT}/a"),
        format!("chgrp 2000 {ROOT}/a/b/file"),
        format!("chgrp 2000 {ROOT}/link"),
        format!("chgrp 2000 {ROOT}/program"),
        format!("chgrp 2000 {ROOT}/ready"),
        format!("chmod 2775 {ROOT}/a"),
        format!("chmod 2777 {ROOT}"),
        format!("chmod 4770 {ROOT}/ready"),
        format!("chmod 4775 {ROOT}/program"),
        format!("chmod 660 {ROOT}/a/b/file"),
    ];
    expected.sort();
    assert_eq!(changes, expected, "only what differs; setuid stays, and a link has no permissions");
}

#[tokio::test]
async fn nothing_is_given_where_nobody_may_write_or_the_class_says_so() {
    let mut scene = driver().await;
    fill(&scene);
    let mut by_pod = grouped("always", 2000, &scene.target("pod"));
    by_pod.readonly = true;
    let mut by_mode = grouped("root", 2000, &scene.target("mode"));
    by_mode.volume_capability = Some(capability(Mode::MultiNodeReaderOnly, &[]));
    set_group(&mut by_mode, 2000);
    let mut by_option = grouped("root", 2000, &scene.target("option"));
    by_option.volume_context.insert("mountOptions".to_owned(), "ro".to_owned());
    let none = grouped("none", 2000, &scene.target("none"));
    for request in [by_pod, by_mode, by_option, none] {
        scene.plugin.publish(request).await.unwrap();
    }
    assert!(scene.kernel.owner_changes().is_empty());
}

#[tokio::test]
async fn of_two_groups_the_last_counts_and_all_is_given_again() {
    let mut scene = driver().await;
    fill(&scene);
    scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.unwrap();
    scene.kernel.owner_changes();
    scene.plugin.publish(grouped("always", 3000, &scene.target("2"))).await.unwrap();
    let changes = scene.kernel.owner_changes();
    // Until all is done, it looks as if it were not.
    assert_eq!(changes.first(), Some(&format!("chmod 777 {ROOT}")));
    assert_eq!(changes.last(), Some(&format!("chmod 2777 {ROOT}")));
    assert_eq!(scene.kernel.owned(ROOT), (3000, 0o2777));
    assert_eq!(scene.kernel.owned(&format!("{ROOT}/a/b/file")), (3000, 0o660));
}

#[tokio::test]
async fn what_was_cut_off_goes_on_at_the_next_publish() {
    let mut scene = driver().await;
    fill(&scene);
    let target = scene.target("1");
    let mut changed = Vec::new();
    for most in 1..9 {
        scene.kernel.stop_after_changes(Some(1));
        let (code, text) = failure(scene.plugin.publish(grouped("always", 2000, &target)).await);
        assert_eq!(code, Code::Unavailable, "{most}: {text}");
        assert!(text.contains("server:/share/pvc-1 to group 2000"), "{text}");
        assert!(locations(&scene, &target).is_empty(), "never before all is done");
        changed.extend(scene.kernel.owner_changes());
        // Each time another process.
        scene = scene.restart_as(|service| service.giving_groups(true)).await;
    }
    scene.kernel.stop_after_changes(None);
    scene.plugin.publish(grouped("always", 2000, &target)).await.unwrap();
    changed.extend(scene.kernel.owner_changes());
    assert_eq!(changed.last(), Some(&format!("chmod 2777 {ROOT}")));
    let total = changed.len();
    changed.sort();
    changed.dedup();
    assert_eq!(changed.len(), total, "nothing is changed twice");
    assert_eq!(scene.kernel.owned(&format!("{ROOT}/a/b/file")), (2000, 0o660));
    assert_eq!(scene.kernel.owned(&format!("{ROOT}/program")).0, 2000);
}

#[tokio::test]
async fn a_server_that_squashes_root_keeps_no_pod_from_starting() {
    let mut scene = driver().await;
    fill(&scene);
    scene.kernel.squash();
    for change in ["root", "always"] {
        let target = scene.target(change);
        scene.plugin.publish(grouped(change, 2000, &target)).await.unwrap();
        assert_eq!(locations(&scene, &target), [ROOT]);
    }
    // The group is right, and only the mark is refused.
    scene.kernel.make_entry(ROOT, Kind::Directory, 2000, 0o770);
    for change in ["root", "always"] {
        scene.plugin.publish(grouped(change, 2000, &scene.target(&format!("{change} again")))).await.unwrap();
    }
    assert!(counted(&scene, "berth_fs_group_refused_total 4"), "{}", scene.plugin.metrics.encode().unwrap());
}

/// Its group has no room left; its sector is broken.
#[tokio::test]
async fn a_file_that_cannot_be_given_by_itself_is_left_and_counted() {
    let mut scene = driver().await;
    fill(&scene);
    let (full, broken) = (format!("{ROOT}/a/b/file"), format!("{ROOT}/program"));
    scene.kernel.fail_at(&full, Errno::DQUOT);
    scene.kernel.fail_at(&broken, Errno::IO);
    scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.unwrap();
    assert_eq!(scene.kernel.owned(ROOT), (2000, 0o2777));
    assert_eq!((scene.kernel.owned(&full).0, scene.kernel.owned(&format!("{ROOT}/ready")).0), (0, 2000));
    assert!(counted(&scene, "berth_fs_group_refused_total 1"));
}

/// Whether the walk is the first one, or goes on where another was cut off.
#[tokio::test]
async fn what_is_made_in_the_root_during_a_walk_is_given_too() {
    for group in [0, 2000] {
        made_during_a_walk(group).await;
    }
}

async fn made_during_a_walk(group: u32) {
    let mut scene = driver().await;
    fill(&scene);
    scene.kernel.make_entry(ROOT, Kind::Directory, group, 0o777);
    let (slow, late) = (format!("{ROOT}/a/b/file"), format!("{ROOT}/late"));
    scene.kernel.hang(&slow);
    assert!(scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.is_err());
    scene.kernel.make_entry(&late, Kind::Directory, 0, 0o700);
    scene.kernel.make_entry(&format!("{late}/file"), Kind::File, 0, 0o600);
    scene.kernel.release(&slow);
    scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.unwrap();
    assert_eq!(scene.kernel.owned(&late), (2000, 0o2770));
    assert_eq!(scene.kernel.owned(&format!("{late}/file")), (2000, 0o660));
}

/// Two nodes know nothing of each other.
#[tokio::test]
async fn a_volume_that_another_node_gives_to_another_group_is_not_marked() {
    let mut scene = driver().await;
    fill(&scene);
    let slow = format!("{ROOT}/a/b/file");
    scene.kernel.hang(&slow);
    assert!(scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await.is_err());
    scene.kernel.make_entry(ROOT, Kind::Directory, 3000, 0o777);
    let waiting = tokio::spawn({
        let (mut client, request) = (scene.plugin.client.clone(), grouped("always", 4000, &scene.target("2")));
        async move { client.node_publish_volume(request).await }
    });
    scene.kernel.stop_after_changes(Some(1000));
    scene.kernel.release(&slow);
    waiting.await.unwrap().unwrap();
    let changes = scene.kernel.owner_changes();
    let marks: Vec<_> = changes.iter().filter(|change| *change == &format!("chmod 2777 {ROOT}")).collect();
    assert_eq!(marks.len(), 1, "that of the last alone: {changes:?}");
    assert_eq!(scene.kernel.owned(ROOT), (4000, 0o2777));
}

#[tokio::test]
async fn walks_that_take_long_keep_no_volume_waiting_that_needs_none() {
    let mut scene = driver().await;
    let group = 4712;
    let request = |scene: &Scene, name: &str, change: &str, pod: &str| {
        let mut request = volume(name, &scene.target(pod));
        request.volume_context.insert("fsGroupChange".to_owned(), change.to_owned());
        set_group(&mut request, group);
        request
    };
    for number in 11..17 {
        let root = format!("server:/share/pvc-{number}");
        scene.kernel.make(&root);
        scene.kernel.make_entry(&format!("{root}/file"), Kind::File, 0, 0o600);
        scene.kernel.hang(&format!("{root}/file"));
    }
    scene.plugin.publish(request(&scene, "pvc-2", "always", "given")).await.unwrap();
    let walks: Vec<_> = (11..15)
        .map(|number| {
            let (mut client, request) =
                (scene.plugin.client.clone(), request(&scene, &format!("pvc-{number}"), "always", &number.to_string()));
            tokio::spawn(async move { client.node_publish_volume(request).await })
        })
        .collect();
    for walk in walks {
        assert_eq!(failure(walk.await.unwrap()).0, Code::DeadlineExceeded);
    }
    let (code, text) = failure(scene.plugin.publish(request(&scene, "pvc-15", "always", "15")).await);
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("4 other volumes of its share"), "{text}");
    at_once(scene.plugin.publish(request(&scene, "pvc-2", "always", "given again"))).await.unwrap();
    at_once(scene.plugin.publish(request(&scene, "pvc-1", "root", "root"))).await.unwrap();
    for number in 11..17 {
        scene.kernel.release(&format!("server:/share/pvc-{number}/file"));
    }
}

/// Who writes a pod would have root change a directory that is not theirs.
#[tokio::test]
async fn what_a_pod_defines_by_itself_is_not_given() {
    let list = r#"[{"server": "server", "share": "/share"}]"#;
    let mut scene = scene_of(|service| service.giving_groups(true).admitting(list.parse().unwrap())).await;
    let mut request = grouped("always", 2000, &scene.target("1"));
    request.volume_context.insert("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned());
    scene.plugin.publish(request).await.unwrap();
    assert!(scene.kernel.owner_changes().is_empty());
}

#[tokio::test]
async fn a_walk_that_takes_long_goes_on_and_the_next_publish_waits_for_its_end() {
    let mut scene = driver().await;
    fill(&scene);
    let target = scene.target("1");
    let slow = format!("{ROOT}/a/b/file");
    scene.kernel.hang(&slow);
    for _ in 0..2 {
        let (code, text) = failure(scene.plugin.publish(grouped("always", 2000, &target)).await);
        assert_eq!(code, Code::DeadlineExceeded);
        assert!(text.contains("goes on in the background"), "{text}");
        assert!(!target.exists());
    }
    assert_eq!(scene.kernel.owned(ROOT), (2000, 0o777), "not done");
    // Others of the share do not notice.
    at_once(scene.plugin.publish(volume("pvc-2", &scene.target("2")))).await.unwrap();
    scene.kernel.release(&slow);
    scene.plugin.publish(grouped("always", 2000, &target)).await.unwrap();
    let mut changes = scene.kernel.owner_changes();
    let total = changes.len();
    changes.sort();
    changes.dedup();
    assert_eq!(changes.len(), total, "it was one walk");
    assert_eq!(scene.kernel.owned(&slow), (2000, 0o660));
}

/// Four threads for each of four volumes; the others of the share wait.
#[tokio::test]
async fn a_server_that_does_not_answer_holds_so_many_threads_and_no_more() {
    let mut scene = driver().await;
    let group = 4711;
    let mut publishes = Vec::new();
    for number in 11..17 {
        let root = format!("server:/share/pvc-{number}");
        scene.kernel.make(&root);
        scene.kernel.make_entry(&format!("{root}/file"), Kind::File, 0, 0o600);
        scene.kernel.hang(&format!("{root}/file"));
        let mut request = volume(&format!("pvc-{number}"), &scene.target(&number.to_string()));
        request.volume_context.insert("fsGroupChange".to_owned(), "always".to_owned());
        set_group(&mut request, group);
        let mut client = scene.plugin.client.clone();
        publishes.push(tokio::spawn(async move { client.node_publish_volume(request).await }));
    }
    for publish in publishes {
        assert_eq!(failure(publish.await.unwrap()).0, Code::DeadlineExceeded);
    }
    assert_eq!(threads(group), 16);
    at_once(scene.plugin.publish(volume("pvc-1", &scene.target("1")))).await.unwrap();
    for number in 11..17 {
        scene.kernel.release(&format!("server:/share/pvc-{number}/file"));
    }
    let mut request = volume("pvc-16", &scene.target("16"));
    request.volume_context.insert("fsGroupChange".to_owned(), "always".to_owned());
    set_group(&mut request, group);
    scene.plugin.publish(request).await.unwrap();
    until_no_threads(group).await;
}

#[tokio::test]
async fn a_volume_that_is_a_whole_share_keeps_the_drivers_folder_closed() {
    let mut scene = driver().await;
    let folder = "server:/share/.berth";
    scene.kernel.make_entry(folder, Kind::Directory, 0, 0o700);
    scene.kernel.make_entry(&format!("{folder}/records"), Kind::Directory, 0, 0o700);
    // Whatever has been walked through before.
    for number in 0..9 {
        scene.kernel.make_entry(&format!("server:/share/!{number}"), Kind::Directory, 0, 0o700);
        scene.kernel.make_entry(&format!("server:/share/!{number}/file"), Kind::File, 0, 0o600);
    }
    let mut request = grouped("always", 2000, &scene.target("1"));
    request.volume_context.remove("subDir");
    scene.plugin.publish(request).await.unwrap();
    assert_eq!(scene.kernel.owned(folder), (0, 0o700));
    assert_eq!(scene.kernel.owned(&format!("{folder}/records")), (0, 0o700));
    assert_eq!(scene.kernel.owned("server:/share/pvc-2"), (2000, 0o2777));
}

#[tokio::test]
async fn a_volume_that_another_pod_has_for_itself_stays_as_it_is() {
    let mut scene = driver().await;
    let single = |group: u32, target: &Path| {
        let mut request = grouped("root", group, target);
        request.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
        set_group(&mut request, group);
        request
    };
    scene.plugin.publish(single(2000, &scene.target("1"))).await.unwrap();
    scene.kernel.owner_changes();
    let second = scene.plugin.publish(single(3000, &scene.target("2"))).await;
    assert_eq!(failure(second).0, Code::FailedPrecondition);
    assert!(scene.kernel.owner_changes().is_empty());
}

const BELIEF: Duration = Duration::from_millis(300);

/// A driver whose share is mounted, and looked at often.
async fn driver_that_looks() -> Scene {
    let configure = |config| Config { look: BELIEF, ..config };
    let mut scene = scene().await.restarted(configure, |service| service.giving_groups(true)).await;
    scene.kernel.resolve("server", &["10.1.0.5:2049".parse().unwrap()]);
    scene.plugin.publish(volume("pvc-2", &scene.target("mounted"))).await.unwrap();
    scene
}

/// No look was due when the walk began, and no job of the volume would ever enter the share's lane.
#[tokio::test]
async fn a_walk_that_waits_for_a_server_that_has_moved_keeps_no_pod_from_starting() {
    let mut scene = driver_that_looks().await;
    fill(&scene);
    let slow = format!("{ROOT}/a/b/file");
    scene.kernel.hang(&slow);
    let (code, _) = failure(scene.plugin.publish(grouped("always", 2000, &scene.target("1"))).await);
    assert_eq!(code, Code::DeadlineExceeded);
    scene.kernel.resolve("server", &["10.1.0.9:2049".parse().unwrap()]);
    scene.kernel.hang("10.1.0.5:2049");
    tokio::time::sleep(BELIEF).await;
    let target = scene.target("1");
    scene.plugin.publish(grouped("root", 2000, &target)).await.unwrap();
    let table = scene.kernel.table().unwrap();
    assert_eq!(table.top(&target).unwrap().options.get("addr"), Some("10.1.0.9"));
    assert_eq!(scene.kernel.owned(ROOT), (2000, 0o2777));
    scene.kernel.release(&slow);
}

/// The server comes back at its old address, or in time, when another pod has given the volume to its group.
#[tokio::test]
async fn a_walk_through_a_retired_mount_changes_nothing_more() {
    let (mut scene, group) = (driver().await, 4713);
    fill(&scene);
    let (slow, later) = (format!("{ROOT}/a/b/file"), format!("{ROOT}/a/b/later"));
    scene.kernel.make_entry(&later, Kind::File, 0, 0o600);
    scene.kernel.hang(&slow);
    assert!(scene.plugin.publish(grouped("always", group, &scene.target("1"))).await.is_err());
    scene.kernel.forget_handles();
    scene.plugin.publish(volume("pvc-2", &scene.target("who finds it out"))).await.unwrap();
    scene.plugin.publish(grouped("root", 3000, &scene.target("2"))).await.unwrap();
    assert_eq!(scene.kernel.owned(ROOT), (3000, 0o2777));
    scene.kernel.owner_changes();
    scene.kernel.release(&slow);
    until_no_threads(group).await;
    assert!(scene.kernel.owner_changes().is_empty());
    assert_eq!((scene.kernel.owned(&slow).0, scene.kernel.owned(&later).0), (0, 0));
}

/// The root takes three quarters of the time to answer, and then the share does not answer at all.
#[tokio::test]
async fn a_group_and_the_publish_after_it_have_one_deadline() {
    let scene = driver_that_looks().await;
    scene.kernel.hang(ROOT);
    let promise = deadlines().mount + AT_ONCE;
    let publish = tokio::spawn({
        let (mut client, request) = (scene.plugin.client.clone(), grouped("root", 2000, &scene.target("1")));
        async move { within(promise, client.node_publish_volume(request)).await }
    });
    tokio::time::sleep(deadlines().mount * 3 / 4).await;
    let device = scene.kernel.table().unwrap().top(&scene.target("mounted")).unwrap().device.to_string();
    scene.kernel.hang(&device);
    scene.kernel.release(ROOT);
    assert_eq!(failure(publish.await.unwrap()).0, Code::DeadlineExceeded);
    assert_eq!(scene.kernel.owned(ROOT), (2000, 0o2777), "the group has been given");
    scene.kernel.release(&device);
}

/// `mv share old`, and a copy in its place.
fn replace(scene: &Scene, volume: &str) {
    scene.kernel.rename("server:/share", "server:/old");
    for directory in ["server:/share", &format!("server:/share/{volume}")] {
        scene.kernel.make(directory);
    }
}

#[tokio::test]
async fn the_group_goes_to_the_share_that_is_there_by_now() {
    let mut scene = driver_that_looks().await;
    replace(&scene, "pvc-1");
    tokio::time::sleep(BELIEF).await;
    scene.plugin.publish(grouped("root", 2000, &scene.target("1"))).await.unwrap();
    assert_eq!(scene.kernel.owner_changes(), [format!("chgrp 2000 {ROOT}"), format!("chmod 2777 {ROOT}")]);
}

/// Where no look is due, the old share still has what the new one has not, and the other way round.
#[tokio::test]
async fn a_volume_that_is_only_in_the_share_that_is_there_by_now_is_given_there() {
    let mut scene = driver().await;
    scene.plugin.publish(volume("pvc-2", &scene.target("mounted"))).await.unwrap();
    replace(&scene, "pvc-9");
    let mut request = grouped("root", 2000, &scene.target("1"));
    request.volume_context.insert("subDir".to_owned(), "pvc-9".to_owned());
    scene.plugin.publish(request.clone()).await.unwrap();
    let given = ["chgrp 2000 server:/share/pvc-9", "chmod 2777 server:/share/pvc-9"];
    assert_eq!(scene.kernel.owner_changes(), given);
    request.volume_context.insert("subDir".to_owned(), "pvc-8".to_owned());
    request.target_path = scene.target("2").to_str().unwrap().to_owned();
    assert_eq!(failure(scene.plugin.publish(request).await).0, Code::NotFound);
}

/// The kernel calls the share by another name of its server, and what the first pod has was mounted before the share was mounted afresh.
#[tokio::test]
async fn a_volume_that_another_pod_has_of_a_retired_mount_stays_as_it_is() {
    let mut scene = driver().await;
    for host in ["server", "nas"] {
        scene.kernel.resolve(host, &["10.1.0.5:2049".parse().unwrap()]);
    }
    scene.kernel.link("nas:/share", "server:/share");
    let single = |name: &str, group: u32, target: &Path| {
        let mut request = grouped("root", group, target);
        request.volume_context.insert("server".to_owned(), "nas".to_owned());
        request.volume_context.insert("subDir".to_owned(), name.to_owned());
        request.volume_capability = Some(capability(Mode::SingleNodeSingleWriter, &[]));
        set_group(&mut request, group);
        request
    };
    scene.plugin.publish(single("pvc-1", 2000, &scene.target("1"))).await.unwrap();
    scene.kernel.forget_handles();
    scene.plugin.publish(single("pvc-2", 2000, &scene.target("2"))).await.unwrap();
    until_alone(&scene).await;
    scene.kernel.owner_changes();
    let second = scene.plugin.publish(single("pvc-1", 3000, &scene.target("3"))).await;
    assert_eq!(failure(second).0, Code::FailedPrecondition);
    assert!(scene.kernel.owner_changes().is_empty());
}

#[tokio::test]
async fn what_is_published_needs_no_server_for_its_group() {
    let mut scene = driver().await;
    let target = scene.target("1");
    scene.plugin.publish(grouped("root", 2000, &target)).await.unwrap();
    scene.kernel.owner_changes();
    scene.kernel.hang("server");
    at_once(scene.plugin.publish(grouped("root", 3000, &target))).await.unwrap();
    assert!(scene.kernel.owner_changes().is_empty());
    scene.kernel.release("server");
}
