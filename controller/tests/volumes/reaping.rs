//! Emptying the trash.

use std::time::Duration;

use nfs_client::{NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};

use crate::world::World;

pub(crate) async fn a_tree_is_removed_without_following_links(world: &World) {
    let controller = world.controller();
    world.make_file("outside/precious");
    let id = controller.create("pvc-1", &[]).await.unwrap().id;
    for directory in 0..12 {
        for file in 0..40 {
            world.make_file(&format!("pvc-1/d{directory}/e/f{file}"));
            world.make_file(&format!("pvc-1/d{directory}/f{file}"));
        }
        world.make_symlink(&format!("pvc-1/d{directory}/out"), "../../../../outside");
    }
    world.make_symlink("pvc-1/out", "../outside");
    world.make_symlink("pvc-1/absolute", "/");
    // Many pages of a listing: a pass must not give up because there are so many.
    for file in 0..10_000 {
        world.make_file(&format!("pvc-1/many/f{file}"));
    }
    controller.delete(&id).await.unwrap();
    assert_eq!(world.places(), ["outside", "outside/precious"]);
    world.until_reaped().await;
    assert_eq!(world.places(), ["outside", "outside/precious"]);
}

pub(crate) async fn a_deep_tree_is_removed(world: &World) {
    let controller = world.controller();
    let id = controller.create("pvc-1", &[]).await.unwrap().id;
    let deep = vec!["d"; 300].join("/");
    world.make_file(&format!("pvc-1/{deep}/file"));
    world.make_file("pvc-1/d/d/d/file");
    controller.delete(&id).await.unwrap();
    world.until_reaped().await;
}

pub(crate) async fn what_an_earlier_process_left_is_removed(world: &World) {
    world.controller().create("pvc-1", &[]).await.unwrap();
    world.make_file(".berth/trash/pvc-2~0123456789abcdef/a/file");
    world.make_file(".berth/trash/left");
    world.make_symlink(".berth/trash/link", "../../pvc-1");
    // Held until the end: a share that nobody uses has no reaper.
    let controller = world.controller();
    controller.create("pvc-3", &[]).await.unwrap();
    world.until_reaped().await;
    assert_eq!(world.places(), ["pvc-1", "pvc-3"]);
}

/// A directory that the controller may not even list keeps neither what lies beside it nor other trees.
pub(crate) async fn a_closed_directory_keeps_nothing_but_itself_where_root_is_nobody(world: &World) {
    let controller = world.controller();
    let mut ids = Vec::new();
    for number in 0..20 {
        let name = format!("pvc-{number}");
        ids.push(controller.create(&name, &[]).await.unwrap().id);
        // So many that their listing takes several pages, with the closed one somewhere among them.
        for file in 0..if number == 7 { 600 } else { 3 } {
            world.make_dir(&format!("{name}/d{file}"));
        }
    }
    world.make_file("pvc-7/private/precious");
    world.close("pvc-7/private");
    for id in ids {
        controller.delete(&id).await.unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let left = |world: &World| {
        let trash = world.folder("trash");
        let [tree] = trash.as_slice() else { return trash };
        world.folder(&format!("trash/{tree}"))
    };
    while left(world) != ["private"] {
        assert!(tokio::time::Instant::now() < deadline, "left in the trash: {:?}", left(world));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.folder("trash")[0].starts_with("pvc-7~"));
}

/// What pods of several users leave behind, none of which the controller may enter or change where root is nobody.
pub(crate) async fn directories_of_other_users_are_removed_where_root_is_nobody(world: &World) {
    let controller = world.controller();
    let mut ids = Vec::new();
    for number in 0..12u32 {
        let name = format!("pvc-{number}");
        ids.push(controller.create(&name, &[]).await.unwrap().id);
        // Nobody whom this machine knows by a name: Ganesha would tell that one, and no number.
        let (user, another) = (101_000 + number, 102_000 + number);
        // A database's directory.
        for file in 0..30 {
            world.make_file(&format!("{name}/data/base/f{file}"));
        }
        world.make_symlink(&format!("{name}/data/log"), "base");
        world.give(&format!("{name}/data/base"), user, Some(0o700));
        world.give(&format!("{name}/data"), user, Some(0o700));
        // One user's directory in another's.
        world.make_file(&format!("{name}/home/theirs/file"));
        world.give(&format!("{name}/home/theirs"), another, Some(0o700));
        world.give(&format!("{name}/home"), user, Some(0o755));
        // A tree that its owner may not change either, as Go's module cache is.
        world.make_file(&format!("{name}/cache/module/v1/file"));
        for path in ["cache/module/v1", "cache/module", "cache"] {
            world.give(&format!("{name}/{path}"), user, Some(0o555));
        }
        // Closed to everybody, and one whose names alone may be read.
        world.make_file(&format!("{name}/shut/file"));
        world.give(&format!("{name}/shut"), user, Some(0));
        world.make_file(&format!("{name}/names/below/file"));
        world.give(&format!("{name}/names/below"), user, Some(0o700));
        world.give(&format!("{name}/names"), user, Some(0o444));
        // Directories that all may write to and where each may remove his own, of a user and of root.
        for (tmp, owner) in [("tmp", user), ("root-tmp", 0)] {
            for file in 0..5 {
                world.make_file(&format!("{name}/{tmp}/f{file}"));
                world.give(&format!("{name}/{tmp}/f{file}"), another + file, None);
            }
            world.make_file(&format!("{name}/{tmp}/private/file"));
            world.give(&format!("{name}/{tmp}/private"), another, Some(0o700));
            world.give(&format!("{name}/{tmp}"), owner, Some(0o1777));
        }
    }
    for id in ids {
        controller.delete(&id).await.unwrap();
    }
    world.until_reaped().await;
}

/// One tree that the server does not let go does not keep the others, and is tried again.
pub(crate) async fn what_cannot_be_removed_is_left_and_tried_again(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    let mut ids = Vec::new();
    for name in ["pvc-1", "pvc-2", "pvc-3"] {
        ids.push(controller.create(name, &[]).await.unwrap().id);
        world.make_file(&format!("{name}/a/file"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for id in ids {
        controller.delete(&id).await.unwrap();
    }
    // The next REMOVE is the reaper's first.
    server.inject(Fault::on(OpCode::Remove, Effect::Status(NfsStatus::Access)));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.pending_faults() > 0 || world.folder("trash").len() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", world.folder("trash"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.until_reaped().await;
}

/// The answer of a delete is lost, and its repetition finds no volume any more. What was moved to the trash goes at once, and not
/// when the reaper comes by some minutes later.
pub(crate) async fn what_a_delete_without_an_answer_has_moved_is_removed(world: &World) {
    let server = world.as_fake();
    // Something for the reaper's first pass, so that the end of that pass can be seen.
    world.make_file(".berth/trash/left");
    for folder in [".berth", ".berth/trash"] {
        world.change(folder, SetAttributes::mode(0o700)).await;
    }
    let controller = world.controller();
    let id = controller.create("pvc-1", &[]).await.unwrap().id;
    world.until_reaped().await;
    server.inject(Fault::on(OpCode::Rename, Effect::RestartAfterExecution));
    controller.delete(&id).await.unwrap();
    assert_eq!(server.pending_faults(), 0);
    world.until_reaped().await;
}

/// Another replica has made the trash anew, or the server has given it another handle, while passes go on.
pub(crate) async fn a_trash_that_has_another_handle_is_looked_up_again(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    let id = controller.create("pvc-1", &[]).await.unwrap().id;
    // Every pass fails until the handle is another one.
    server.inject(Fault::on(OpCode::ReadDir, Effect::Status(NfsStatus::Access)).always());
    controller.delete(&id).await.unwrap();
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.expire_handles(&format!("{}/.berth/trash", world.share()));
    server.forget_faults();
    world.until_reaped().await;
}
