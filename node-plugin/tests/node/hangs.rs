//! A server that stops answering.

use std::path::Path;
use std::time::Duration;

use csi_proto::csi;
use node_plugin::Config;
use node_plugin::mounter::Mounter;
use node_plugin::worker::Census;
use tonic::Code;

use crate::fake::RESOLVER;
use crate::plugin::{AT_ONCE, at_once, deadlines, failure, volume, within};
use crate::service::{Scene, scene};

fn of_other(target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("pvc-1", target);
    request.volume_context.insert("server".to_owned(), "other".to_owned());
    request
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("the condition never came true");
}

fn is_mounted(scene: &Scene, target: &Path) -> bool {
    scene.kernel.table().unwrap().top(target).is_some()
}

#[tokio::test]
async fn a_dead_server_costs_one_thread_and_other_shares_do_not_notice() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.kernel.hang("server");

    let (first, id) = (scene.target("1"), "berth://server/share#pvc-1");
    let (code, text) = failure(within(deadlines().stats + AT_ONCE, scene.plugin.stats(id, &first)).await);
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("server:/share"), "{text}");

    for pod in 0..50 {
        let new = volume("pvc-2", &scene.target(&format!("new-{pod}")));
        let (code, text) = failure(at_once(scene.plugin.publish(new)).await);
        assert_eq!(code, Code::Unavailable);
        assert!(text.contains("server:/share does not answer"), "{text}");
        assert_eq!(failure(at_once(scene.plugin.stats(id, &first)).await).0, Code::Unavailable);
    }
    let other = of_other(&scene.target("other"));
    at_once(scene.plugin.publish(other)).await.unwrap();
    assert_eq!(scene.plugin.node.workers().census(), Census { threads: 3, stuck: 1 });

    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.expect("what is mounted needs no server");

    scene.kernel.release("server");
    until(|| scene.plugin.node.workers().census().stuck == 0).await;
    scene.plugin.publish(volume("pvc-2", &scene.target("2"))).await.unwrap();
}

/// The pool is empty then: what pods have mounted is all that tells which volumes wait for one server.
#[tokio::test]
async fn after_a_restart_a_dead_server_costs_one_thread_as_well() {
    let mut scene = scene().await;
    for pod in ["1", "2"] {
        scene.plugin.publish(volume(&format!("pvc-{pod}"), &scene.target(pod))).await.unwrap();
    }
    scene.empty_the_pool();
    let mut scene = scene.restart().await;
    scene.kernel.hang("server");
    for (pod, code) in [("1", Code::DeadlineExceeded), ("2", Code::Unavailable)] {
        let figures = scene.plugin.stats(&format!("berth://server/share#pvc-{pod}"), &scene.target(pod)).await;
        assert_eq!(failure(figures).0, code, "{pod}");
    }
    assert_eq!(scene.plugin.node.workers().census(), Census { threads: 1, stuck: 1 });
    scene.kernel.release("server");
}

/// A name is resolved once a minute, and where a volume is missing: to look whether a share is what is mounted.
#[tokio::test]
async fn a_resolver_that_is_out_holds_up_nothing_of_a_share_that_is_mounted() {
    let scene = scene().await;
    let mut scene = scene.restart_with(|config| Config { look: Duration::ZERO, ..config }).await;
    let (first, id) = (scene.target("1"), "berth://server/share#pvc-1");
    scene.plugin.publish(volume("pvc-1", &first)).await.unwrap();
    scene.kernel.hang_resolver();
    let patience = deadlines().resolve + AT_ONCE;
    within(patience, scene.plugin.publish(volume("pvc-2", &scene.target("2")))).await.unwrap();
    let missing = scene.plugin.publish(volume("pvc-none", &scene.target("3")));
    assert_eq!(failure(within(patience, missing).await).0, Code::NotFound);
    at_once(scene.plugin.stats(id, &first)).await.unwrap();
    at_once(scene.plugin.publish(volume("pvc-2", &scene.target("4")))).await.expect("one question waits, not each");
    at_once(scene.plugin.unpublish(&first)).await.unwrap();
    assert_eq!(scene.plugin.node.workers().census(), Census { threads: 2, stuck: 1 });
    scene.kernel.release(RESOLVER);
}

/// A first mount waits for the resolver, and nothing waits for it.
#[tokio::test]
async fn a_resolver_that_is_out_after_a_restart_holds_up_nothing_of_what_pods_have() {
    let mut scene = scene().await;
    let (first, second) = (scene.target("1"), scene.target("2"));
    for target in [&first, &second] {
        scene.plugin.publish(volume("pvc-1", target)).await.unwrap();
    }
    scene.empty_the_pool();
    let mut scene = scene.restart().await;
    scene.kernel.hang_resolver();
    let new = scene.plugin.publish(volume("pvc-2", &scene.target("3"))).await;
    assert_eq!(failure(new).0, Code::DeadlineExceeded);
    at_once(scene.plugin.stats("berth://server/share#pvc-1", &first)).await.unwrap();
    at_once(scene.plugin.publish(volume("pvc-1", &first))).await.unwrap();
    for target in [&first, &second] {
        at_once(scene.plugin.unpublish(target)).await.unwrap();
    }
    scene.kernel.release(RESOLVER);
}

#[tokio::test]
async fn unpublish_ends_although_the_server_is_dead() {
    let mut scene = scene().await;
    let (first, second) = (scene.target("1"), scene.target("2"));
    scene.plugin.publish(volume("pvc-1", &first)).await.unwrap();
    scene.plugin.publish(volume("pvc-2", &second)).await.unwrap();
    scene.kernel.hang("server");
    let _ = scene.plugin.stats("berth://server/share#pvc-1", &first).await;
    for target in [first, second] {
        // No plain unmount is tried where a thread is stuck already.
        at_once(scene.plugin.unpublish(&target)).await.unwrap();
        assert!(!is_mounted(&scene, &target) && !target.exists());
    }
    scene.kernel.release("server");
}

#[tokio::test]
async fn unpublish_of_a_direct_mount_ends_while_the_kernel_still_waits_for_the_server() {
    let mut scene = scene().await;
    let target = scene.target("1");
    std::fs::create_dir_all(&target).unwrap();
    scene.kernel.mount_by_others("server:/share/pvc-1", &target);
    scene.kernel.hang("server");
    within(deadlines().unmount + AT_ONCE, scene.plugin.unpublish(&target)).await.unwrap();
    assert!(!is_mounted(&scene, &target) && !target.exists());
    assert_eq!(scene.plugin.node.workers().census().stuck, 1);
    scene.kernel.release("server");
    until(|| scene.plugin.node.workers().census().stuck == 0).await;
}

#[tokio::test]
async fn a_publish_that_hangs_keeps_its_target_until_the_kernel_lets_go_and_an_unpublish_frees_it() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.kernel.hang("server");
    let target = scene.target("2");
    assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &target)).await).0, Code::DeadlineExceeded);
    assert_eq!(failure(scene.plugin.publish(volume("pvc-2", &target)).await).0, Code::Aborted);

    at_once(scene.plugin.unpublish(&target)).await.unwrap();

    scene.kernel.release("server");
    until(|| scene.plugin.node.workers().census().stuck == 0).await;
    assert!(!is_mounted(&scene, &target), "the late publish must not mount on a target that was given up");
    scene.plugin.publish(volume("pvc-2", &target)).await.unwrap();
    assert!(is_mounted(&scene, &target));
}

/// The volume is missing when nearly all of the time has passed; then the resolver is asked, and the share is looked at.
#[tokio::test]
async fn all_attempts_of_a_publish_have_one_deadline() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.kernel.hang("server");
    let (mut client, request) = (scene.plugin.client.clone(), volume("pvc-none", &scene.target("2")));
    let call =
        tokio::spawn(async move { within(deadlines().mount + AT_ONCE, client.node_publish_volume(request)).await });
    tokio::time::sleep(deadlines().mount * 3 / 4).await;
    scene.kernel.hang_resolver();
    scene.kernel.release("server");
    tokio::time::sleep(deadlines().resolve / 2).await;
    scene.kernel.hang("server");
    let (code, text) = failure(call.await.unwrap());
    assert_eq!(code, Code::DeadlineExceeded, "{text}");
    assert!(text.contains("did not answer within 4 s"), "{text}");
    scene.kernel.release("server");
    scene.kernel.release(RESOLVER);
}

#[tokio::test]
async fn a_publish_whose_caller_went_away_is_found_by_the_next() {
    let mut scene = scene().await;
    scene.kernel.hang("server");
    let target = scene.target("1");
    assert_eq!(failure(scene.plugin.publish(volume("pvc-1", &target)).await).0, Code::DeadlineExceeded);
    scene.kernel.release("server");
    until(|| is_mounted(&scene, &target)).await;
    until(|| scene.plugin.node.workers().census().stuck == 0).await;
    scene.plugin.publish(volume("pvc-1", &target)).await.unwrap();
    assert_eq!(scene.kernel.mounted(), ["server:/share"]);
}
