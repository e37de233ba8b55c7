//! Which share a share is: another disk under the same path, or none, is noticed before anything is made or counts as deleted.

use controller::operations::{OperationError, Volumes};
use tonic::Code;
use volume::{ShareIdentity, VolumeContext};

use crate::world::{Controller, World};

/// The identity of the share on which a volume was made.
fn identity(made: &controller::operations::Created) -> ShareIdentity {
    VolumeContext::from_map(&made.context).unwrap().0.identity.expect("the controller tells")
}

/// Moves what lies at the root of the share away, as if the disk were another one, or back.
async fn swap(world: &World, pairs: &[(&str, &str)]) {
    let by_hand = world.by_hand();
    let share = by_hand.open_dir(&world.names_to("")).await.unwrap();
    for (from, to) in pairs {
        by_hand.rename((&share, *from), (&share, *to)).await.unwrap();
    }
    by_hand.shutdown().await;
}

fn assert_replaced(result: Result<(), OperationError>, expected: ShareIdentity) {
    let error = result.unwrap_err();
    let is_expected =
        |error: &OperationError| matches!(error, OperationError::ShareReplaced { expected: e, .. } if *e == expected);
    assert!(is_expected(&error), "{}", error.message());
    assert_eq!(error.code(), Code::FailedPrecondition);
}

pub(crate) async fn a_share_has_one_identity_whoever_uses_it_first(world: &World) {
    let controllers: Vec<Controller> = (0..4).map(|_| world.controller()).collect();
    let names = ["pvc-1", "pvc-2", "pvc-3", "pvc-4"];
    let made = controllers.iter().zip(names).map(|(controller, name)| controller.create(name, &[]));
    let made: Vec<_> = futures::future::join_all(made).await.into_iter().map(Result::unwrap).collect();
    let first = identity(&made[0]);
    assert!(made.iter().all(|made| identity(made) == first));
    let again = world.controller().create("pvc-1", &[]).await.unwrap();
    assert_eq!(identity(&again), first);
}

pub(crate) async fn another_disk_under_the_same_path_is_noticed(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[]).await.unwrap();
    world.make_file("pvc-1/precious");
    swap(world, &[(".berth", "away.berth"), ("pvc-1", "awaypvc-1")]).await;
    // Somebody who knows nothing of the first disk uses the second one.
    let stranger = world.controller();
    let other = identity(&stranger.create("pvc-2", &[]).await.unwrap());
    let first = identity(&made);
    assert_ne!(other, first);

    let next = world.controller();
    assert_replaced(next.operations.delete(&made.id, Some(first)).await, first);
    // The volumes of the cluster are told of: nothing is made for one of them, or beside them.
    let known = known(&next, Some(first));
    assert_replaced(next.create("pvc-1", &[]).await.map(drop), first);
    assert_replaced(next.create("pvc-3", &[]).await.map(drop), first);
    assert_replaced(next.operations.delete(&made.id, None).await, first);
    drop(known);
    next.operations.catalogue().set_complete();
    next.create("pvc-3", &[]).await.unwrap();
    assert!(!world.exists("pvc-1"));

    swap(world, &[(".berth", "other.berth"), ("away.berth", ".berth"), ("awaypvc-1", "pvc-1")]).await;
    let next = world.controller();
    next.operations.delete(&made.id, Some(first)).await.unwrap();
    world.until_reaped().await;
    assert!(!world.exists("pvc-1"));
}

/// A controller without a cluster to tell it of volumes goes by what it has seen.
pub(crate) async fn what_a_controller_has_seen_is_what_it_expects(world: &World) {
    let controller = world.controller();
    let first = identity(&controller.create("pvc-1", &[]).await.unwrap());
    world.remove(".berth/identity").await;
    world.make_entry(".berth/identity", &ShareIdentity::new(7).to_string());
    // The handles that it has lead to the same folders still: a handle that leads nowhere makes it look again.
    for folder in ["trash", "retained", "places"] {
        world.remove(&format!(".berth/{folder}")).await;
    }
    let error = controller.create("pvc-2", &[("subDir", "team/app")]).await.map(drop);
    assert_replaced(error, first);
    assert!(!world.exists("team/app"));
    let id = controller.id("pvc-1");
    assert_replaced(controller.operations.delete(&id, Some(first)).await, first);
    // A restored copy has taken the place of the original, and somebody follows the advice: it counts at once.
    world.remove(".berth/identity").await;
    world.make_entry(".berth/identity", &first.to_string());
    controller.operations.delete(&id, Some(first)).await.unwrap();
    controller.create("pvc-2", &[]).await.unwrap();
}

pub(crate) async fn no_folders_are_made_on_a_share_that_should_have_them(world: &World) {
    let controller = world.controller();
    let known = known(&controller, None);
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert!(matches!(error, OperationError::ShareEmpty { .. }), "{}", error.message());
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(world.tree().is_empty(), "{:?}", world.tree());
    drop(known);
    controller.create("pvc-1", &[]).await.unwrap();
}

/// A share that an earlier release has used.
pub(crate) async fn a_share_without_an_identity_gets_one(world: &World) {
    let made = world.controller().create("pvc-1", &[]).await.unwrap();
    world.remove(".berth/identity").await;
    let next = world.controller();
    // Volumes that were made before anybody wrote it down are on it, whatever it is.
    let _known = known(&next, None);
    next.create("pvc-1", &[]).await.unwrap();
    let now = identity(&next.create("pvc-2", &[]).await.unwrap());
    assert_ne!(now, identity(&made));
    world.controller().delete(&made.id).await.unwrap();
}

pub(crate) async fn an_identity_that_cannot_be_read_is_named(world: &World) {
    world.controller().create("pvc-1", &[]).await.unwrap();
    world.remove(".berth/identity").await;
    world.make_entry(".berth/identity", "../pvc-1");
    let error = world.controller().create("pvc-2", &[]).await.unwrap_err();
    assert!(error.message().contains("/.berth/identity"), "{}", error.message());
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(!world.exists("pvc-2"));
}

/// A class was replaced, and what the first one may have begun is to go.
pub(crate) async fn what_was_begun_for_nobody_is_ended_and_the_volume_in_use_stays(world: &World) {
    let controller = world.controller();
    let kept = controller.create("pvc-1", &[]).await.unwrap();
    world.make_file("pvc-1/precious");
    assert_ne!(world.alias(), world.server());
    let mut by_alias = controller.request("pvc-1", &[]);
    by_alias.parameters.insert("server".to_owned(), world.alias());
    for same in [controller.request("pvc-1", &[("subDir", "team/app")]), by_alias] {
        controller.operations.discard(same, &kept).await.unwrap();
        assert!(world.exists("pvc-1/precious") && world.object("team").is_none());
    }

    world.make_dir("other");
    let mut elsewhere = controller.request("pvc-1", &[("subDir", "team/app")]);
    elsewhere.parameters.insert("share".to_owned(), format!("{}/other", world.share()));
    controller.operations.discard(elsewhere.clone(), &kept).await.unwrap();
    assert!(!world.exists("other/.berth"), "nothing was begun there");
    controller.operations.create(elsewhere.clone()).await.unwrap();
    assert!(world.exists("other/team/app"));
    controller.operations.discard(elsewhere.clone(), &kept).await.unwrap();
    assert!(!world.exists("other/team/app") && world.exists("pvc-1/precious"));

    // Nobody has ever used it, so nothing is retained.
    elsewhere.parameters.insert("onDelete".to_owned(), "retain".to_owned());
    controller.operations.create(elsewhere.clone()).await.unwrap();
    controller.operations.discard(elsewhere, &kept).await.unwrap();
    assert!(!world.exists("other/team/app") && world.names("other/.berth/retained").is_empty());
}

/// A volume of the share is known to the controller.
fn known(controller: &Controller, identity: Option<ShareIdentity>) -> controller::operations::KnownVolume {
    let (server, share) = (controller.server.parse().unwrap(), controller.share.parse().unwrap());
    controller.operations.catalogue().add(&server, &share, identity)
}
