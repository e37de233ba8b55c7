//! Deleting volumes.

use std::time::Duration;

use tonic::Code;
use volume::Record;

use crate::world::{Object, World};

pub(crate) async fn a_volume_ends_in_the_trash_and_is_removed(world: &World) {
    let controller = world.controller();
    let one = controller.create("pvc-1", &[]).await.unwrap();
    let two = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    world.make_file("pvc-1/a/b/file");
    world.make_file("team/data/file");
    for id in [&one.id, &two.id] {
        controller.delete(id).await.unwrap();
        controller.delete(id).await.unwrap();
    }
    assert_eq!(world.places(), ["team"], "parents stay: others may count on them");
    assert!(world.folder("records").is_empty() && world.folder("places").is_empty());
    world.until_reaped().await;
}

pub(crate) async fn two_round_trips_delete_a_volume(world: &World) {
    let controller = world.controller();
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(controller.create(&format!("pvc-{number}"), &[]).await.unwrap().id);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for id in &ids {
        // The reaper, which uses the same connection, begins a moment after a delete.
        let before = controller.round_trips();
        controller.delete(id).await.unwrap();
        assert_eq!(controller.round_trips() - before, 2);
        world.until_reaped().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn an_unknown_id_changes_nothing(world: &World) {
    let controller = world.controller();
    for id in ["x", "nfs.example#share#pvc-1", "fs-0123::fsap-4567"] {
        controller.delete(id).await.unwrap();
    }
    for id in ["berth://", "berth://a/b#../c", "berth3://packed"] {
        let error = controller.delete(id).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{id}");
        let message = error.message();
        assert!(message.contains(id) && message.contains("later release") && message.contains("Retain"), "{message}");
    }
    let error = controller.delete(&controller.id("never-made")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    assert!(error.message().contains("has no folder .berth") && error.message().contains("Retain"), "{error:?}");
    assert!(world.tree().is_empty(), "a share that was not in use stays as it is");
    controller.create("pvc-1", &[]).await.unwrap();
    let tree = world.tree();
    controller.delete(&controller.id("never-made")).await.unwrap();
    assert_eq!(world.tree(), tree);
    assert_eq!(controller.delete("").await.unwrap_err().code(), Code::InvalidArgument);
}

pub(crate) async fn a_foreign_directory_survives_its_forged_id(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[]).await.unwrap();
    world.make_file("photos/precious");
    let tree = world.tree();
    controller.delete(&controller.id("photos")).await.unwrap();
    assert_eq!(world.tree(), tree);
}

pub(crate) async fn a_record_removed_by_hand_leaves_the_directory(world: &World) {
    let controller = world.controller();
    let id = controller.create("pvc-1", &[]).await.unwrap().id;
    world.make_file("pvc-1/precious");
    world.remove(".berth/records/pvc-1").await;
    controller.delete(&id).await.unwrap();
    assert_eq!(world.places(), ["pvc-1", "pvc-1/precious"]);
    assert!(world.folder("trash").is_empty());
}

pub(crate) async fn a_directory_removed_by_hand_is_forgotten(world: &World) {
    let controller = world.controller();
    let one = controller.create("pvc-1", &[]).await.unwrap().id;
    let two = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap().id;
    world.remove("pvc-1").await;
    world.remove("team/data").await;
    world.remove("team").await;
    controller.delete(&one).await.unwrap();
    controller.delete(&two).await.unwrap();
    assert!(world.folder("records").is_empty() && world.folder("places").is_empty());
}

pub(crate) async fn what_took_the_directorys_place_is_not_touched(world: &World) {
    let controller = world.controller();
    world.make_file("outside/precious");
    let ids = [
        controller.create("pvc-1", &[]).await.unwrap().id,
        controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap().id,
        controller.create("pvc-3", &[]).await.unwrap().id,
        controller.create("pvc-4", &[("subDir", "group/data")]).await.unwrap().id,
    ];
    for path in ["pvc-1", "team/data", "pvc-3", "group/data", "group"] {
        world.remove(path).await;
    }
    world.make_symlink("pvc-1", "outside");
    world.make_symlink("team/data", "../outside");
    world.make_file("pvc-3");
    world.make_symlink("group", "team");
    let tree = world.tree();
    for id in ids {
        let error = controller.delete(&id).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        assert!(message.contains("is taken by") && message.contains("move it away"), "{message}");
        assert_eq!(world.tree(), tree);
    }
}

pub(crate) async fn a_retained_directory_stays_and_its_record_is_kept(world: &World) {
    let controller = world.controller();
    let retain = ("onDelete", "retain");
    let one = controller.create("pvc-1", &[retain]).await.unwrap().id;
    let two = controller.create("pvc-2", &[retain, ("subDir", "team/data")]).await.unwrap().id;
    world.make_file("pvc-1/precious");
    for id in [&one, &two, &one] {
        controller.delete(id).await.unwrap();
    }
    assert_eq!(world.places(), ["pvc-1", "pvc-1/precious", "team", "team/data"]);
    assert!(
        world.folder("records").is_empty() && world.folder("places").is_empty() && world.folder("trash").is_empty()
    );
    let retained = world.folder("retained");
    assert_eq!(retained.len(), 2);
    let name = retained.iter().find(|name| name.starts_with("pvc-1~")).unwrap();
    let Some(Object::Text(text)) = world.object(&format!(".berth/retained/{name}")) else { panic!("no record") };
    assert_eq!(Record::from_text(&text).unwrap().path.as_str(), "pvc-1");
    // The directory belongs to whoever keeps it; a new volume of the name does not get it.
    assert_eq!(controller.create("pvc-1", &[retain]).await.unwrap_err().code(), Code::FailedPrecondition);
}

pub(crate) async fn a_hold_removed_by_hand_leaves_the_directory(world: &World) {
    let controller = world.controller();
    let id = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap().id;
    let hold = world.folder("places").remove(0);
    world.remove(&format!(".berth/places/{hold}")).await;
    controller.delete(&id).await.unwrap();
    assert_eq!(world.places(), ["team", "team/data"]);
    assert!(world.folder("records").is_empty());
}

pub(crate) async fn a_deleted_volume_frees_its_place(world: &World) {
    let controller = world.controller();
    for name in ["pvc-1", "pvc-2", "pvc-1"] {
        let id = controller.create(name, &[("subDir", "team/data")]).await.unwrap().id;
        world.make_file("team/data/file");
        controller.delete(&id).await.unwrap();
        assert_eq!(world.places(), ["team"]);
    }
}

pub(crate) async fn a_record_that_cannot_be_read_stops_everything(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_entry(".berth/records/later", "{\"version\":2}");
    world.make_entry(".berth/records/damaged", "{");
    world.make_no_entry(".berth/records/file");
    for name in ["later", "damaged", "file"] {
        world.make_file(&format!("{name}/precious"));
    }
    let tree = world.tree();
    for name in ["later", "damaged", "file"] {
        for error in [
            controller.delete(&controller.id(name)).await.unwrap_err(),
            controller.create(name, &[]).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::FailedPrecondition);
            let message = error.message();
            assert!(message.contains(&format!("{}/.berth/records/{name}", world.share())), "{message}");
        }
        assert_eq!(world.tree(), tree);
    }
}

/// A server that came up without its disk: nothing counts as deleted, and with the disk back the delete goes on.
pub(crate) async fn nothing_counts_as_deleted_on_a_share_without_its_disk(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[]).await.unwrap();
    world.make_file("pvc-1/precious");
    let by_hand = world.by_hand();
    let share = by_hand.open_dir(&world.names_to("")).await.unwrap();
    for name in [".berth", "pvc-1"] {
        by_hand.rename((&share, name), (&share, &format!("away{name}"))).await.unwrap();
    }
    for controller in [world.controller(), world.controller()] {
        let error = controller.delete(&made.id).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    }
    for name in [".berth", "pvc-1"] {
        by_hand.rename((&share, &format!("away{name}")), (&share, name)).await.unwrap();
    }
    by_hand.shutdown().await;
    let next = world.controller();
    next.delete(&made.id).await.unwrap();
    world.until_reaped().await;
    assert!(!world.exists("pvc-1"));
}
