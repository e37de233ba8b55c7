//! Servers that rename nothing from one quota tree into another, so that nothing can be moved to the trash.

#[cfg(feature = "fault-points")]
use std::time::Duration;

use crate::world::World;

/// Names in a directory that were put aside there.
fn aside(world: &World, directory: &str) -> Vec<String> {
    let names = world.as_fake().list(&format!("{}/{directory}", world.share())).unwrap_or_default();
    names.into_iter().filter(|name| name.starts_with(".berth-trash~")).collect()
}

/// A volume in another quota tree than the trash frees its place at once, and is emptied where it was.
pub(crate) async fn a_volume_in_another_quota_tree_is_deleted(world: &World) {
    let controller = world.controller();
    world.make_file("team/precious/file");
    let deep = vec!["d"; 70].join("/");
    for round in 0..3 {
        let made = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
        world.make_file("team/data/a/b/file");
        world.make_file(&format!("team/data/{deep}/file"));
        world.make_symlink("team/data/link", "../precious");
        let before = controller.round_trips();
        controller.delete(&made.id).await.unwrap();
        if round > 0 {
            assert_eq!(controller.round_trips() - before, 4, "as where it can be moved to the trash");
        }
        assert!(!world.exists("team/data") && world.folder("records").is_empty() && world.folder("places").is_empty());
        // The place is free, whatever is left to remove.
        let next = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
        world.until_reaped().await;
        assert_eq!(aside(world, "team"), Vec::<String>::new());
        assert!(world.exists("team/data") && world.exists("team/precious/file"));
        controller.delete(&next.id).await.unwrap();
        controller.delete(&made.id).await.unwrap();
        world.until_reaped().await;
    }
    assert_eq!(world.places(), ["team", "team/precious", "team/precious/file"]);
}

/// A quota that begins at the volume's own directory lets it be renamed nowhere.
pub(crate) async fn a_volume_that_is_a_quota_tree_of_its_own_is_named(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-own", &[]).await.unwrap();
    world.make_file("pvc-own/precious");
    let tree = world.tree();
    for _again in 0..2 {
        let error = controller.delete(&made.id).await.unwrap_err();
        let message = error.message();
        assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{message}");
        let begin = format!("cannot move to the trash {}:{}/pvc-own: ", world.server(), world.share());
        assert!(message.starts_with(&begin) && message.contains("quota"), "{message}");
        assert_eq!(world.tree(), tree);
    }
}

/// Nothing is removed but what the driver itself has put aside.
pub(crate) async fn a_link_in_the_trash_that_names_something_else_goes_alone(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    let unique = ".berth-trash~0123456789abcdef";
    for (link, target, uid) in [
        ("plain", "aside:team/precious".to_owned(), 0),
        ("outside", "aside:../outside".to_owned(), 0),
        ("forged", format!("aside:team/{unique}"), 1000),
    ] {
        world.make_entry(&format!(".berth/trash/{link}"), &target);
        world.give(&format!(".berth/trash/{link}"), uid, None);
    }
    world.make_file("team/precious/file");
    world.make_file(&format!("team/{unique}/file"));
    controller.delete(&controller.id("first")).await.unwrap();
    world.until_reaped().await;
    assert!(world.exists("team/precious/file") && world.exists(&format!("team/{unique}/file")));
}

/// Between any two steps there is a link for what was put aside, and a link for nothing goes when nobody can be at work any more.
#[cfg(feature = "fault-points")]
pub(crate) async fn a_delete_in_another_quota_tree_is_finished_after_a_crash(world: &World) {
    use ::controller::backend::directory::Step;

    world.make_dir("team");
    let steps = [Step::Note, Step::NoteText, Step::Aside, Step::GiveUp, Step::Forget, Step::Deleted];
    for step in steps.into_iter().filter(|step| crate::crash::is_step(world, *step)) {
        let controller = world.controller();
        // The first delete there tells that nothing can be moved to the trash.
        let first = controller.create("first", &[("subDir", "team/first")]).await.unwrap();
        controller.delete(&first.id).await.unwrap();
        world.until_reaped().await;

        let made = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
        world.make_file("team/data/file");
        let (doomed, id) = (controller.clone(), made.id.clone());
        crate::crash::die(&controller, step, async move {
            let _never = doomed.delete(&id).await;
        })
        .await;
        drop(controller);

        let next = world.controller();
        next.delete(&made.id).await.unwrap_or_else(|error| panic!("{step:?}: {}", error.message()));
        assert!(!world.exists("team/data") && world.folder("records").is_empty(), "{step:?}");
        if matches!(step, Step::NoteText | Step::Aside) {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            while world.folder("trash").len() > 1 || !aside(world, "team").is_empty() {
                assert!(tokio::time::Instant::now() < deadline, "{:?}", world.folder("trash"));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let [link] = &world.folder("trash")[..] else { panic!("the link stays: what it names may still come") };
            world.as_fake().age(&format!("{}/.berth/trash/{link}", world.share()), 3600);
            next.create("last", &[]).await.unwrap();
            next.delete(&next.id("last")).await.unwrap();
        }
        world.until_reaped().await;
        assert_eq!(aside(world, "team"), Vec::<String>::new(), "{step:?}");
    }
    assert_eq!(world.places(), ["team"]);
}
