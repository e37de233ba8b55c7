//! What another one does between a controller's look at what was begun and given up, and its step.

use std::time::Duration;

use nfs_client::{NfsStatus, OpCode};
use nfs_testkit::fake::{Effect, Fault};
use tonic::Code;

use crate::world::{Object, World};

/// Two controllers find the same abandoned hold: the slower one must not remove the hold that the faster one has by then.
pub(crate) async fn a_place_that_was_taken_over_meanwhile_is_left(world: &World) {
    let server = world.as_fake();
    let (late, leader) = (world.controller(), world.controller());
    late.create("late", &[]).await.unwrap();
    leader.create("leader", &[]).await.unwrap();
    let hold = format!(".berth/places/{}", volume::PlaceKey::new(&"team/data".parse().unwrap()));
    world.make_old_entry(&hold, "pvc-1");

    // The server's clock is read last of all, by something that is made and removed; its answer comes late.
    server.inject(Fault::on(OpCode::Remove, Effect::Delay(Duration::from_secs(1))));
    let creating = tokio::spawn(async move { late.create("pvc-2", &[("subDir", "team/data")]).await });
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leader.create("pvc-3", &[("subDir", "team/data")]).await.unwrap();
    let tree = world.tree();
    assert_eq!(tree[&hold], Object::Text("pvc-3".to_owned()));

    let error = creating.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    assert!(error.message().contains("is taken by volume pvc-3"), "{}", error.message());
    assert_eq!(world.tree(), tree);
}

/// A directory with the mark, into which the controller may not look, is moved away, and somebody makes another one of that
/// name: only the one that was seen may be removed.
pub(crate) async fn a_closed_directory_that_was_replaced_meanwhile_is_kept(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_dir("pvc-1");
    world.close("pvc-1");

    // The removal is put off, which it is for as long as the server says so.
    server.inject(Fault::on(OpCode::Remove, Effect::Status(NfsStatus::Delay)).always());
    let creating = tokio::spawn(async move { controller.create("pvc-1", &[]).await });
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let by_hand = world.by_hand();
    let share = by_hand.open_dir(&world.names_to("")).await.unwrap();
    by_hand.rename((&share, "pvc-1"), (&share, "moved")).await.unwrap();
    world.make_dir("pvc-1");
    let tree = world.tree();
    server.forget_faults();

    let error = creating.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    assert!(error.message().contains("is taken by a directory"), "{}", error.message());
    assert_eq!(world.tree(), tree);
}
