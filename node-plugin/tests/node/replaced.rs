//! A share that has gone bad: its server moved to another address, forgot its handles, or shows another directory in its place.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use node_plugin::mounter::{Mounter, Unmount};
use tonic::Code;

use crate::plugin::{AT_ONCE, at_once, deadlines, failure, volume, within};
use crate::service::{Scene, counted, locations, scene, until_alone};

fn addresses() -> [SocketAddr; 2] {
    ["10.1.0.5:2049", "10.1.0.9:2049"].map(|text| text.parse().unwrap())
}

/// A scene whose server is at the first of [`addresses`], with a volume at the target `1`.
async fn scene_with_address() -> Scene {
    let mut scene = scene().await;
    scene.kernel.resolve("server", &addresses()[..1]);
    scene.kernel.merge_clients();
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene
}

/// The server is at the second of [`addresses`] from now on, and the first is silent.
fn move_away(scene: &Scene) {
    let [old, new] = addresses();
    scene.kernel.resolve("server", &[new]);
    scene.kernel.hang(&old.to_string());
}

fn address_at(scene: &Scene, target: &Path) -> Option<String> {
    let table = scene.kernel.table().unwrap();
    table.top(target).and_then(|entry| entry.options.get("addr").map(str::to_owned))
}

/// The rate at which a share is asked after is bounded.
async fn until_asked_again() {
    tokio::time::sleep(Duration::from_millis(2100)).await;
}

#[tokio::test]
async fn a_share_whose_server_has_moved_is_mounted_there_beside_the_old_one() {
    let mut scene = scene_with_address().await;
    let (first, second) = (scene.target("1"), scene.target("2"));
    move_away(&scene);
    assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &second)).await).0, Code::DeadlineExceeded);

    // The same pod, whose first attempt still waits for the old address, and others.
    scene.plugin.publish(volume("pvc-2", &second)).await.unwrap();
    assert_eq!(address_at(&scene, &second).as_deref(), Some("10.1.0.9"));
    scene.plugin.publish(volume("pvc-1", &scene.target("3"))).await.unwrap();
    assert_eq!(address_at(&scene, &first).as_deref(), Some("10.1.0.5"), "the old pod keeps what it has");
    at_once(scene.plugin.publish(volume("pvc-1", &first))).await.expect("and is published all the same");
    assert!(counted(&scene, "berth_replaced_mounts_total 1"));

    within(deadlines().unmount + AT_ONCE, scene.plugin.unpublish(&first)).await.unwrap();
    scene.plugin.unpublish(&second).await.unwrap();
    let [old, _] = addresses();
    scene.kernel.release(&old.to_string());
    assert!(locations(&scene, &second).is_empty(), "the late publish mounts on no target that was taken from it");
}

/// The kernel knows the server at the old address for as long as a pod has something mounted from there.
#[tokio::test]
async fn a_server_that_moved_while_no_plugin_ran_is_mounted_where_it_is() {
    let scene = scene_with_address().await;
    scene.empty_the_pool();
    move_away(&scene);
    let mut scene = scene.restart().await;
    let target = scene.target("2");
    scene.plugin.publish(volume("pvc-2", &target)).await.unwrap();
    assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.9"));
    scene.plugin.publish(volume("pvc-1", &scene.target("3"))).await.unwrap();
    assert_eq!(scene.kernel.renewals(), 1, "the kernel knows it at its new address by now");
}

/// Each identity is that of every server that is mounted from then on, and each look waits for a dead address.
#[tokio::test]
async fn a_moved_server_that_refuses_its_mounts_draws_one_identity() {
    let scene = scene_with_address().await;
    scene.empty_the_pool();
    move_away(&scene);
    let refused = ["server:/share", "server:/share/pvc-2"];
    for location in refused {
        scene.kernel.deny(location);
    }
    let mut scene = scene.restart().await;
    let target = scene.target("2");
    for _ in 0..2 {
        assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &target)).await).0, Code::PermissionDenied);
    }
    assert_eq!(scene.kernel.renewals(), 1);
    for location in refused {
        scene.kernel.allow(location);
    }
    at_once(scene.plugin.publish(volume("pvc-2", &target))).await.unwrap();
    assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.9"));

    // From there it moves on.
    let third = "10.1.0.13:2049".parse().unwrap();
    scene.kernel.hang(&addresses()[1].to_string());
    scene.kernel.resolve("server", &[third]);
    for directory in ["server:/data", "server:/data/pvc-1"] {
        scene.kernel.make(directory);
    }
    let target = scene.target("3");
    let mut request = volume("pvc-1", &target);
    request.volume_context.insert("share".to_owned(), "/data".to_owned());
    scene.plugin.publish(request).await.unwrap();
    assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.13"));
    assert_eq!(scene.kernel.renewals(), 2);
}

#[tokio::test]
async fn another_share_of_a_server_that_has_moved_is_mounted_where_it_is() {
    let mut scene = scene_with_address().await;
    for directory in ["server:/data", "server:/data/pvc-1"] {
        scene.kernel.make(directory);
    }
    move_away(&scene);
    let target = scene.target("2");
    let mut request = volume("pvc-1", &target);
    request.volume_context.insert("share".to_owned(), "/data".to_owned());
    scene.plugin.publish(request).await.unwrap();
    assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.9"));
}

/// The kernel calls a server as the first mount from its address did: an alias, or what another driver has mounted.
#[tokio::test]
async fn a_server_that_the_kernel_knows_under_another_name_is_mounted_where_it_is() {
    for is_restarted in [false, true] {
        let mut scene = scene().await;
        let [old, new] = addresses();
        for host in ["server", "other"] {
            scene.kernel.resolve(host, &[old]);
        }
        scene.kernel.merge_clients();
        let mut of_other = volume("pvc-1", &scene.target("other"));
        of_other.volume_context.insert("server".to_owned(), "other".to_owned());
        scene.plugin.publish(of_other).await.unwrap();
        scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
        let known: Vec<String> = scene.kernel.clients().unwrap().into_iter().map(|client| client.host).collect();
        assert_eq!(known, ["other"]);

        scene.kernel.resolve("server", &[new]);
        scene.kernel.hang(&old.to_string());
        let target = scene.target("2");
        if is_restarted {
            scene.empty_the_pool();
            scene = scene.restart().await;
        } else {
            // No pod has anything of it: only the plugin knows where the share was.
            scene.kernel.unmount(&scene.target("1"), Unmount::Detach).unwrap();
            assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &target)).await).0, Code::DeadlineExceeded);
        }
        scene.plugin.publish(volume("pvc-2", &target)).await.unwrap();
        assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.9"), "{is_restarted}");
    }
}

/// A path to the server that is down for a while is no move: two clients of one node would not see each other's locks.
#[tokio::test]
async fn a_server_with_a_dead_address_beside_another_is_one_to_the_kernel() {
    let mut scene = scene_with_address().await;
    scene.kernel.make("server:/data");
    scene.kernel.resolve("server", &addresses());
    scene.kernel.close(addresses()[0]);
    let mut whole = volume("pvc-1", &scene.target("2"));
    whole.volume_context.insert("share".to_owned(), "/data".to_owned());
    whole.volume_context.remove("subDir");
    scene.plugin.publish(whole).await.unwrap();
    assert_eq!(scene.kernel.renewals(), 0);
}

#[tokio::test]
async fn a_share_without_pods_does_not_wait_for_a_server_that_has_been_replaced() {
    let mut scene = scene_with_address().await;
    scene.plugin.unpublish(&scene.target("1")).await.unwrap();
    let [address, _] = addresses();
    scene.kernel.replace_servers();
    assert_eq!(failure(scene.plugin.publish(volume("pvc-1", &scene.target("2"))).await).0, Code::DeadlineExceeded);
    // The new one does not answer yet.
    scene.kernel.hang(&address.to_string());
    let target = scene.target("3");
    let (code, text) = failure(scene.plugin.publish(volume("pvc-1", &target)).await);
    assert_eq!(code, Code::Unavailable);
    assert!(text.contains("server:/share does not answer"), "{text}");
    scene.kernel.release(&address.to_string());
    let (code, _) = failure(at_once(scene.plugin.publish(volume("pvc-1", &target))).await);
    assert_eq!(code, Code::Unavailable, "it was asked a moment ago");
    until_asked_again().await;
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert!(counted(&scene, "berth_replaced_mounts_total 1"));
}

/// Linux knows the old address here: where it asked there for the first time, the mount from the new one would wait as well.
#[tokio::test]
async fn a_mount_that_hangs_at_an_address_of_the_past_is_given_up() {
    let mut scene = scene().await;
    let [old, new] = addresses();
    scene.kernel.resolve("server", &[old]);
    scene.kernel.hang_after_ping(old);
    let target = scene.target("1");
    assert_eq!(failure(scene.plugin.publish(volume("pvc-1", &target)).await).0, Code::DeadlineExceeded);
    scene.kernel.resolve("server", &[new]);
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert_eq!(address_at(&scene, &target).as_deref(), Some("10.1.0.9"));
}

async fn until_free(scene: &Scene) {
    let workers = scene.plugin.node.workers();
    let free = async {
        while workers.census().stuck > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.expect("a thread stays stuck");
}

/// The old address answers again, when the share has gone on at the new one.
#[tokio::test]
async fn a_mount_that_comes_back_after_its_share_was_retired_changes_nothing() {
    for is_refused in [false, true] {
        let mut scene = scene().await;
        let [old, new] = addresses();
        scene.kernel.resolve("server", &[old]);
        scene.kernel.hang_after_ping(old);
        let (late, second, third) = (scene.target("1"), scene.target("2"), scene.target("3"));
        assert_eq!(failure(scene.plugin.publish(volume("pvc-1", &late)).await).0, Code::DeadlineExceeded);
        scene.kernel.resolve("server", &[new]);
        scene.plugin.publish(volume("pvc-1", &second)).await.unwrap();

        if is_refused {
            scene.kernel.deny("server:/share");
        }
        scene.kernel.release(&old.to_string());
        until_free(&scene).await;
        assert!(locations(&scene, &late).is_empty() && !late.exists(), "{is_refused}: nobody waits for it any more");
        assert_eq!(std::fs::read_dir(scene.pool()).unwrap().count(), 1, "{is_refused}");
        scene.plugin.publish(volume("pvc-2", &third)).await.unwrap();
        assert_eq!(address_at(&scene, &third).as_deref(), Some("10.1.0.9"), "{is_refused}");
        assert_eq!(scene.kernel.mounted_from(), [new, old], "{is_refused}: the share was not mounted once more");
    }
}

/// The pod's publish waits for the old address; when that answers, the share is somewhere else.
#[tokio::test]
async fn a_clone_that_comes_back_after_its_share_was_retired_is_given_to_no_pod() {
    let mut scene = scene_with_address().await;
    let late = scene.target("2");
    move_away(&scene);
    assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &late)).await).0, Code::DeadlineExceeded);
    scene.plugin.publish(volume("pvc-2", &scene.target("3"))).await.unwrap();

    let [old, _] = addresses();
    scene.kernel.release(&old.to_string());
    until_free(&scene).await;
    assert!(locations(&scene, &late).is_empty() && !late.exists());
    scene.plugin.publish(volume("pvc-2", &late)).await.unwrap();
    assert_eq!(address_at(&scene, &late).as_deref(), Some("10.1.0.9"));
}

#[tokio::test]
async fn a_server_that_is_silent_where_it_was_is_waited_for() {
    let mut scene = scene_with_address().await;
    let [old, _] = addresses();
    scene.kernel.hang(&old.to_string());
    let target = scene.target("2");
    assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &target)).await).0, Code::DeadlineExceeded);
    for _ in 0..3 {
        assert_eq!(failure(at_once(scene.plugin.publish(volume("pvc-2", &target))).await).0, Code::Aborted);
        let (code, _) = failure(at_once(scene.plugin.publish(volume("pvc-2", &scene.target("3")))).await);
        assert_eq!(code, Code::Unavailable);
        until_asked_again().await;
    }
    assert!(counted(&scene, "berth_replaced_mounts_total 0"));
    assert_eq!(scene.plugin.node.workers().census().stuck, 1);
}

/// A name that leads from one silent server to the next must not cost a thread each time.
#[tokio::test]
async fn so_many_threads_of_one_share_may_be_stuck_and_no_more() {
    let mut scene = scene().await;
    for number in 1..=5u8 {
        let address = SocketAddr::from(([10, 1, 0, number], 2049));
        scene.kernel.resolve("server", &[address]);
        scene.kernel.hang_after_ping(address);
        let target = scene.target(&number.to_string());
        let (code, _) = failure(scene.plugin.publish(volume("pvc-1", &target)).await);
        let expected = if number <= 3 { Code::DeadlineExceeded } else { Code::Unavailable };
        assert_eq!(code, expected, "{number}");
    }
    assert_eq!(scene.plugin.node.workers().census().stuck, 3);
}

#[tokio::test]
async fn a_share_whose_handles_are_stale_is_mounted_afresh_at_once() {
    let mut scene = scene_with_address().await;
    for pod in ["2", "3"] {
        scene.kernel.forget_handles();
        let target = scene.target(pod);
        scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
        assert_eq!(locations(&scene, &target), ["server:/share/pvc-1"]);
    }
    assert!(counted(&scene, "berth_replaced_mounts_total 2"));
    until_alone(&scene).await;

    // The next process finds a stale mount in the pool.
    let mut scene = scene.restart().await;
    scene.kernel.forget_handles();
    scene.plugin.publish(volume("pvc-1", &scene.target("4"))).await.unwrap();
}

/// What was done in a generation may still come back, long after the share has left the pool.
#[tokio::test]
async fn no_generation_of_a_share_has_the_number_of_another() {
    let mut scene = scene_with_address().await;
    scene.kernel.forget_handles();
    let target = scene.target("1");
    scene.plugin.unpublish(&target).await.unwrap();
    for _ in 0..2 {
        scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
        let current = until_alone(&scene).await;
        assert_eq!(current.extension().and_then(|number| number.to_str()), Some("1"), "{}", current.display());
        scene.plugin.unpublish(&target).await.unwrap();
        scene.plugin.node.sweep().await.unwrap();
        assert_eq!(std::fs::read_dir(scene.pool()).unwrap().count(), 0);
    }
}

/// The process was killed before it came to it.
#[tokio::test]
async fn a_retired_mount_that_stayed_is_swept() {
    let mut scene = scene_with_address().await;
    scene.kernel.forget_handles();
    scene.plugin.publish(volume("pvc-1", &scene.target("2"))).await.unwrap();
    let current = until_alone(&scene).await;
    assert_eq!(current.extension().and_then(|number| number.to_str()), Some("1"), "{}", current.display());
    let retired = current.with_extension("");
    std::fs::create_dir(&retired).unwrap();
    scene.kernel.mount_by_others("server:/share", &retired);
    // A pod has a clone of it still, so it is not swept as one that nobody uses.
    scene.kernel.mount_by_others("server:/share", &scene.target("old"));
    let mut scene = scene.restart().await;
    scene.plugin.node.sweep().await.unwrap();
    let gone = async {
        while retired.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("it stays");
    assert!(scene.kernel.table().unwrap().top(&current).is_some());
    scene.plugin.publish(volume("pvc-2", &scene.target("3"))).await.unwrap();
}

/// `mv share old`, and a restored copy in its place.
#[tokio::test]
async fn a_volume_of_a_share_that_was_replaced_on_the_server_is_found_in_the_new_one() {
    let mut scene = scene_with_address().await;
    scene.kernel.rename("server:/share", "server:/old");
    let target = scene.target("2");
    let (code, text) = failure(scene.plugin.publish(volume("pvc-9", &target)).await);
    assert_eq!(code, Code::NotFound);
    assert!(text.contains("cannot use server:/share:"), "the share itself is missing: {text}");

    for directory in ["server:/share", "server:/share/pvc-9"] {
        scene.kernel.make(directory);
    }
    scene.plugin.publish(volume("pvc-9", &target)).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-9"]);
    let (code, _) = failure(scene.plugin.publish(volume("pvc-1", &scene.target("3"))).await);
    assert_eq!(code, Code::NotFound, "what was moved away is not published any more");
}

/// The kernel goes on believing what it has seen under the share's name, until it is told not to.
#[tokio::test]
async fn a_share_that_was_replaced_is_distrusted_until_it_is_mounted_afresh() {
    let mut scene = scene_with_address().await;
    scene.kernel.rename("server:/share", "server:/old");
    for directory in ["server:/share", "server:/share/pvc-9"] {
        scene.kernel.make(directory);
    }
    let target = scene.target("2");
    // The look finds it; the mount after it does not come about.
    scene.kernel.refuse_mount(1);
    let (code, text) = failure(scene.plugin.publish(volume("pvc-9", &target)).await);
    assert_eq!(code, Code::Unavailable, "{text}");
    scene.plugin.publish(volume("pvc-9", &target)).await.unwrap();
    assert_eq!(locations(&scene, &target), ["server:/share/pvc-9"]);
    assert!(counted(&scene, "berth_replaced_mounts_total 1"));
}

/// Some name servers tell one of many addresses, each time another.
#[tokio::test]
async fn a_server_that_is_seen_at_another_of_its_addresses_has_not_moved() {
    let mut scene = scene_with_address().await;
    scene.kernel.resolve("server", &addresses()[1..]);
    for _ in 0..2 {
        let missing = scene.plugin.publish(volume("pvc-none", &scene.target("2"))).await;
        assert_eq!(failure(missing).0, Code::NotFound);
        until_asked_again().await;
    }
    assert_eq!(scene.kernel.mounted_from().len(), 3, "it was looked at twice");
    assert_eq!(scene.kernel.renewals(), 0);
    assert!(counted(&scene, "berth_replaced_mounts_total 0"));
    // Once nothing answers at the old one it has.
    scene.kernel.close(addresses()[0]);
    let missing = scene.plugin.publish(volume("pvc-none", &scene.target("2"))).await;
    assert_eq!(failure(missing).0, Code::NotFound);
    assert!(counted(&scene, "berth_replaced_mounts_total 1"));
}

#[tokio::test]
async fn a_volume_that_is_missing_does_not_have_the_share_asked_after_each_time() {
    let mut scene = scene_with_address().await;
    for _ in 0..10 {
        let missing = scene.plugin.publish(volume("pvc-none", &scene.target("2"))).await;
        assert_eq!(failure(missing).0, Code::NotFound);
    }
    assert!(scene.kernel.mounted().len() <= 4, "{:?}", scene.kernel.mounted());
    assert!(counted(&scene, "berth_replaced_mounts_total 0"));
}
