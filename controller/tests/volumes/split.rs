//! Servers that do not take a whole operation in one request.

use std::time::Duration;

use nfs_client::{NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};

use crate::world::{Object, World};

/// Sixteen operations, as knfsd took them before Linux 6.1: one more round trip, in a custom place with an owner alone.
pub(crate) async fn sixteen_operations_cost_one_round_trip_at_most(world: &World) {
    assert_eq!(round_trips(world, &[("uid", "1000"), ("mountPermissions", "2775")]).await, [1, 2]);
    assert_eq!(round_trips(world, &[("subDir", "team/${pv.metadata.name}")]).await, [3, 4]);
    assert_eq!(round_trips(world, &[("subDir", "owned/${pv.metadata.name}"), ("uid", "1000")]).await, [3, 4]);
}

/// Eight, the fewest that a Linux client works with.
pub(crate) async fn eight_operations_cost_a_few_round_trips(world: &World) {
    assert_eq!(round_trips(world, &[("uid", "1000"), ("mountPermissions", "2775")]).await, [2, 4]);
    assert_eq!(round_trips(world, &[("subDir", "team/${pv.metadata.name}"), ("uid", "1000")]).await, [5, 5]);
}

/// Round trips of a create and of a delete.
pub(crate) async fn round_trips(world: &World, parameters: &[(&str, &str)]) -> [u64; 2] {
    let controller = world.controller();
    let create = async |name: &str| {
        let parameters = [parameters, &[("csi.storage.k8s.io/pv/name", name)]].concat();
        controller.create(name, &parameters).await.unwrap().id
    };
    create("warm-up").await;
    tokio::time::sleep(Duration::from_millis(200)).await; // the reaper's first look
    let before = controller.round_trips();
    let id = create("pvc-1").await;
    let made = controller.round_trips();
    controller.delete(&id).await.unwrap();
    let deleted = controller.round_trips();
    controller.delete(&controller.id("warm-up")).await.unwrap();
    world.until_reaped().await;
    [made - before, deleted - made]
}

/// More directories on the way than operations, or names in a reply, that some servers take.
pub(crate) async fn a_deep_place_is_made_and_found_again(world: &World) {
    let path: Vec<String> = (0..24).map(|depth| format!("level-{depth}")).collect();
    let path = path.join("/");
    let parameters = [("subDir", path.as_str()), ("mountPermissions", "0770"), ("uid", "1000"), ("gid", "2000")];
    let made = world.controller().create("pvc-1", &parameters).await.unwrap();
    assert_eq!(world.object(&path), Some(Object::Directory { mode: 0o770, owner: (1000, 2000) }));
    let tree = world.tree();
    let controller = world.controller();
    assert_eq!(controller.create("pvc-1", &parameters).await.unwrap(), made);
    assert_eq!(world.tree(), tree);
    let inside = format!("{path}/inside");
    let error = controller.create("pvc-2", &[("subDir", &inside)]).await.unwrap_err();
    assert!(error.message().contains(&format!("the volume in {path:?}, inside which it would be")), "{error:?}");
    controller.delete(&made.id).await.unwrap();
    assert!(!world.exists(&path) && world.folder("records").is_empty() && world.folder("places").is_empty());
    world.until_reaped().await;
}

/// Between two requests of ours somebody else has completed the volume, and it is in use.
pub(crate) async fn what_another_completes_between_two_requests_is_left(world: &World) {
    let server = world.as_fake();
    let (ours, theirs) = (world.controller(), world.controller());
    ours.create("ours", &[]).await.unwrap();
    theirs.create("theirs", &[]).await.unwrap();
    for parameters in [vec![("uid", "1000")], vec![("uid", "1000"), ("subDir", "team/data")]] {
        let place = parameters.get(1).map_or("pvc-1", |(_, path)| path);
        let made = theirs.create("warm-up", &[("subDir", "team/warm-up")]).await.unwrap();
        // The answer to the making of the directory comes late; a hold that is a link is made by the same operation.
        let making = u64::from(place != "pvc-1" && world.has_links());
        server.inject(Fault::on(OpCode::Create, Effect::Delay(Duration::from_millis(500))).skip(making));
        let late = tokio::spawn({
            let (ours, parameters) = (ours.clone(), parameters.clone());
            async move { ours.create("pvc-1", &parameters).await }
        });
        while server.pending_faults() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        theirs.create("pvc-1", &parameters).await.unwrap();
        world.make_file(&format!("{place}/precious"));
        world.change(place, SetAttributes { mode: Some(0o700), ..SetAttributes::owner(Some(7), Some(7)) }).await;

        let found = late.await.unwrap().unwrap();
        assert_eq!(world.object(place), Some(Object::Directory { mode: 0o700, owner: (7, 7) }), "{place}");
        for id in [found.id, made.id] {
            theirs.delete(&id).await.unwrap();
        }
        world.until_reaped().await;
    }
}

/// A server that takes less than a Linux client needs.
pub(crate) async fn a_server_that_takes_too_little_is_named(world: &World) {
    let error = world.controller().create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{}", error.message());
    let message = error.message();
    assert!(message.contains("NFS server fake:2049 takes at most 3 operations in one request"), "{message}");
    assert!(message.contains("Linux clients need 8"), "{message}");
}

/// A server that has no room for a reply says so in the middle of a request: what is before is done, and what is left goes on in
/// another one, if what it stands on is still as it was.
pub(crate) async fn a_reply_that_grows_too_long_is_gone_on_from(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    for status in [NfsStatus::RepTooBig, NfsStatus::RepTooBigToCache] {
        let parameters = [("subDir", "team/data"), ("uid", "1000")];
        let warm = controller.create("warm-up", &[("subDir", "team/warm-up"), ("uid", "1000")]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await; // the reaper's first look
        let before = controller.round_trips();
        server.inject(Fault::on(OpCode::SetAttr, Effect::Status(status)));
        let made = controller.create("pvc-1", &parameters).await.unwrap();
        assert_eq!(controller.round_trips() - before, 3, "{status}: one more than otherwise");
        assert_eq!(world.object("team/data"), Some(Object::Directory { mode: 0o777, owner: (1000, 0) }), "{status}");

        // The first REMOVE gives the place up, when the directory has gone already.
        let before = controller.round_trips();
        server.inject(Fault::on(OpCode::Remove, Effect::Status(status)));
        controller.delete(&made.id).await.unwrap();
        assert_eq!(controller.round_trips() - before, 5, "{status}: one more than otherwise");
        assert!(!world.exists("team/data"), "{status}");
        controller.delete(&warm.id).await.unwrap();
        assert!(world.folder("records").is_empty() && world.folder("places").is_empty(), "{status}");
        world.until_reaped().await;

        // Where there is no room even for what has to hold before anything is done, nothing is.
        let made = controller.create("pvc-2", &[]).await.unwrap();
        let tree = world.tree();
        server.inject(Fault::on(OpCode::Verify, Effect::Status(status)));
        let error = controller.delete(&made.id).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{status}: {}", error.message());
        assert!(error.message().contains("Linux clients need 8 operations"), "{}", error.message());
        assert_eq!(world.tree(), tree, "{status}");
        controller.delete(&made.id).await.unwrap();
        world.until_reaped().await;
    }
}
