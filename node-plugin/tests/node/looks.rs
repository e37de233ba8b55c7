//! The look whether a share is still what its name and its path lead to, while the resolver takes its time.

use std::time::Duration;

use node_plugin::Config;
use tonic::{Code, Status};

use crate::fake::RESOLVER;
use crate::plugin::{failure, volume};
use crate::service::{Scene, scene};

const BELIEF: Duration = Duration::from_millis(300);

/// A share that is mounted, and to be looked at, with a resolver that is out.
async fn scene_to_be_looked_at() -> Scene {
    let mut scene = scene().await.restart_with(|config| Config { look: BELIEF, ..config }).await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    tokio::time::sleep(BELIEF).await;
    scene.kernel.hang_resolver();
    scene
}

/// `mv share old`, and a copy in its place, with another volume.
fn replace(scene: &Scene) {
    scene.kernel.rename("server:/share", "server:/old");
    for directory in ["server:/share", "server:/share/pvc-9"] {
        scene.kernel.make(directory);
    }
}

/// Publishes these, each a moment after the one before, with a resolver that answers when all are under way.
async fn publish_at_once(scene: &Scene, volumes: &[&str]) -> Vec<Result<(), Status>> {
    let mut calls = Vec::new();
    for (pod, name) in volumes.iter().enumerate() {
        let (mut client, request) = (scene.plugin.client.clone(), volume(name, &scene.target(&format!("new-{pod}"))));
        calls.push(tokio::spawn(async move { client.node_publish_volume(request).await.map(|_| ()) }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.kernel.release(RESOLVER);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn no_publish_overtakes_a_look_that_is_due() {
    let scene = scene_to_be_looked_at().await;
    replace(&scene);
    let [found, gone] = publish_at_once(&scene, &["pvc-9", "pvc-1"]).await.try_into().unwrap();
    found.unwrap();
    assert_eq!(failure(gone).0, Code::NotFound, "what was moved away is not published any more");
}

/// The first has made the look, and the share is found to be replaced, when the second is told that its volume is missing.
#[tokio::test]
async fn of_publishes_whose_volumes_are_missing_each_is_answered_by_a_look() {
    let mut scene = scene().await;
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    scene.kernel.hang_resolver();
    replace(&scene);
    for answer in publish_at_once(&scene, &["pvc-9", "pvc-9", "pvc-9"]).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn of_publishes_that_wait_for_a_look_one_makes_it() {
    let scene = scene_to_be_looked_at().await;
    let before = scene.kernel.questions();
    for answer in publish_at_once(&scene, &["pvc-1", "pvc-2", "pvc-1", "pvc-2"]).await {
        answer.unwrap();
    }
    assert_eq!(scene.kernel.mounted().len(), 2, "the share, and a look at it");
    assert_eq!(scene.kernel.questions() - before, 1);
}

#[tokio::test]
async fn a_share_is_looked_at_where_it_is_mounted_while_the_resolver_is_out() {
    let mut scene = scene_to_be_looked_at().await;
    scene.kernel.rename("server:/share", "server:/old");
    let (code, text) = failure(scene.plugin.publish(volume("pvc-1", &scene.target("2"))).await);
    assert_eq!(code, Code::NotFound);
    assert!(text.contains("cannot use server:/share:"), "the share itself is missing: {text}");
    scene.kernel.release(RESOLVER);
}
