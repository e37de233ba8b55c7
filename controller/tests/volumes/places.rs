//! What may lie where.

use tonic::Code;

use crate::world::{Object, World};

pub(crate) async fn one_place_holds_one_volume(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[("subDir", "shared/data")]).await.unwrap();
    let tree = world.tree();
    let error = controller.create("pvc-2", &[("subDir", "shared/data")]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let message = error.message();
    let taken = format!("{}:{}/shared/data is taken by volume pvc-1", world.server(), world.share());
    assert!(message.contains(&taken), "{message}");
    assert!(message.contains("differs for each volume"), "{message}");
    assert_eq!(world.tree(), tree);
}

pub(crate) async fn a_foreign_directory_is_never_adopted(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_dir("pvc-1");
    world.make_file("pvc-2/precious");
    world.make_dir("team/empty");
    world.make_file("team/full/precious");
    let tree = world.tree();
    for (name, parameters) in [
        ("pvc-1", None),
        ("pvc-2", None),
        ("pvc-3", Some("team/empty")),
        ("pvc-4", Some("team/full")),
        ("pvc-5", Some("team")),
    ] {
        let parameters: Vec<(&str, &str)> = parameters.map(|path| ("subDir", path)).into_iter().collect();
        let error = controller.create(name, &parameters).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        assert!(message.contains("is taken by a directory that is no volume of this driver"), "{message}");
        assert_eq!(world.tree(), tree, "{name}");
    }
    world.remove("pvc-1").await;
    assert!(controller.create("pvc-1", &[]).await.is_ok(), "the remedy helps");
}

pub(crate) async fn nothing_is_made_through_a_symbolic_link(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_dir("outside");
    world.make_symlink("link", "outside");
    world.make_symlink("pvc-1", "outside");
    world.make_file("file");
    let tree = world.tree();
    for (name, path) in [("pvc-1", "pvc-1"), ("x", "link"), ("x", "link/inner"), ("x", "link/in/ner")] {
        let error = controller.create(name, &[("subDir", path)]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("a symbolic link"), "{}", error.message());
        assert_eq!(world.tree(), tree, "{path}");
    }
    for path in ["file", "file/inner"] {
        let error = controller.create("x", &[("subDir", path)]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("something that is no directory"), "{}", error.message());
        assert_eq!(world.tree(), tree, "{path}");
    }
}

pub(crate) async fn no_volume_lies_inside_another(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[]).await.unwrap();
    controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    let tree = world.tree();
    for path in ["pvc-1/inner", "pvc-1/a/b/c", "team/data/inner", "team/data/a/b"] {
        // A process that knows the directories from before, and one that does not.
        for controller in [&controller, &world.controller()] {
            let error = controller.create("x", &[("subDir", path)]).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition, "{path}");
            assert!(error.message().contains("inside which it would be"), "{}", error.message());
            assert_eq!(world.tree(), tree, "{path}");
        }
    }
    assert!(controller.create("pvc-3", &[("subDir", "team/other")]).await.is_ok());
}

pub(crate) async fn a_place_whose_directory_is_missing_stays_taken(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
    controller.create("pvc-2", &[]).await.unwrap();
    world.remove("team/data").await;
    world.remove("pvc-2").await;
    let tree = world.tree();
    for path in ["team/data", "team/data/inner", "pvc-2", "pvc-2/inner"] {
        let error = controller.create("x", &[("subDir", path)]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{path}: {}", error.message());
        assert_eq!(world.tree(), tree, "{path}");
    }
}

pub(crate) async fn a_custom_place_cannot_be_anothers_default(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[("subDir", "pvc-2")]).await.unwrap();
    let tree = world.tree();
    let error = controller.create("pvc-2", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("is taken by volume pvc-1"), "{}", error.message());
    assert_eq!(world.tree(), tree);
    // With the directory gone, both claim to lie there: neither delete may touch what the other has.
    world.remove("pvc-2").await;
    controller.create("pvc-2", &[]).await.unwrap();
    controller.delete(&controller.id("pvc-1")).await.unwrap();
    assert!(world.exists("pvc-2"), "the second volume's");
    controller.delete(&controller.id("pvc-2")).await.unwrap();
    assert_eq!(world.places(), Vec::<String>::new());
}

/// The server shows another file system below the share: there nothing could be moved to the trash.
pub(crate) async fn a_volume_lies_on_the_file_system_of_its_share(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_dir("other/inner");
    world.make_dir("team");
    server.mount_at(&format!("{}/other", world.share()));
    let tree = world.tree();
    for path in ["other/data", "other/inner/data"] {
        for _again in 0..2 {
            let error = controller.create("pvc-1", &[("subDir", path)]).await.unwrap_err();
            let message = error.message();
            assert_eq!(error.code(), Code::FailedPrecondition, "{message}");
            let place = format!("{}:{}/{path} ", world.server(), world.share());
            assert!(message.starts_with(&place) && message.contains("as a share of its own"), "{message}");
            assert_eq!(world.tree(), tree, "{path}");
        }
    }
    // Beside it, and in it once it is a share.
    controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
    let inside = format!("{}/other", world.share());
    controller.create("pvc-1", &[("share", &inside), ("subDir", "team/data")]).await.unwrap();
    assert!(world.exists("other/team/data"));
}

pub(crate) async fn an_abandoned_hold_is_taken_over(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    let hold = |path: &str| format!(".berth/places/{}", volume::PlaceKey::new(&path.parse().unwrap()));
    world.make_entry(&hold("team/data"), "pvc-1");
    let error = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted, "it may be in the making: {}", error.message());
    world.make_old_entry(&hold("team/old"), "pvc-1");
    controller.create("pvc-2", &[("subDir", "team/old")]).await.unwrap();
    assert_eq!(world.object(&hold("team/old")), Some(Object::Text("pvc-2".to_owned())));
    // The volume that was begun goes on from what is there.
    world.make_entry(&hold("team/other"), "pvc-3");
    controller.create("pvc-3", &[("subDir", "team/other")]).await.unwrap();
}

/// What the attempt that was given up had begun does not stand in the way of the next volume.
pub(crate) async fn an_abandoned_place_is_taken_over_with_what_was_begun_there(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.make_dir("team/data");
    world.close("team/data");
    let hold = format!(".berth/places/{}", volume::PlaceKey::new(&"team/data".parse().unwrap()));
    world.make_old_entry(&hold, "pvc-1");
    let made = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    assert_eq!(world.object(&hold), Some(Object::Text("pvc-2".to_owned())));
    assert!(matches!(world.object("team/data"), Some(Object::Directory { mode: 0o777, .. })));
    controller.delete(&made.id).await.unwrap();

    // Nobody has begun one that holds something.
    world.make_file("team/full/precious");
    world.close("team/full");
    let hold = format!(".berth/places/{}", volume::PlaceKey::new(&"team/full".parse().unwrap()));
    world.make_old_entry(&hold, "pvc-1");
    let error = controller.create("pvc-2", &[("subDir", "team/full")]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{}", error.message());
    assert!(world.exists("team/full/precious") && !world.exists(&hold));
}

/// Where case is ignored, names that differ in nothing else are one place: volumes in them would nest, or be one.
pub(crate) async fn places_that_differ_in_case_alone_are_one(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[("subDir", "Apps/Data")]).await.unwrap();
    controller.create("pvc-2", &[]).await.unwrap();
    let check = async || {
        let tree = world.tree();
        for path in ["apps/data", "APPS/DATA/inner", "apps/data/a/b", "PVC-2", "Pvc-2/inner"] {
            // A process that knows the directories from before, and one that does not.
            for controller in [&controller, &world.controller()] {
                let error = controller.create("x", &[("subDir", path)]).await.unwrap_err();
                let message = error.message();
                assert_eq!(error.code(), Code::FailedPrecondition, "{path}: {message}");
                let by = if path.to_lowercase().contains("pvc") { "pvc-2" } else { "pvc-1" };
                assert!(message.contains(by) || message.contains("inside which it would be"), "{path}: {message}");
                assert_eq!(world.tree(), tree, "{path}");
            }
        }
    };
    check().await;
    // Removed by hand, they stay taken: deleting one volume must not take what another has there by then.
    for path in ["Apps/Data", "pvc-2"] {
        world.remove(path).await;
    }
    check().await;
    controller.create("pvc-3", &[("subDir", "APPS/other")]).await.unwrap();
    for name in ["pvc-1", "pvc-2", "pvc-3"] {
        controller.delete(&controller.id(name)).await.unwrap();
    }
    assert!(world.folder("places").is_empty() && world.folder("records").is_empty());
    controller.create("x", &[("subDir", "apps/data")]).await.unwrap();
}

/// A hold that an earlier release has taken by what was written counts on.
pub(crate) async fn a_place_that_was_taken_by_its_exact_name_stays_taken(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[("subDir", "Team/Data")]).await.unwrap();
    let exact = format!(".berth/places/{}", volume::PlaceKey::new(&"Team/Data".parse().unwrap()));
    let [taken] = &world.folder("places")[..] else { panic!("one hold") };
    world.rename(&format!(".berth/places/{taken}"), &exact).await;
    for path in ["Team/Data", "Team/Data/inner"] {
        let error = controller.create("pvc-2", &[("subDir", path)]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{path}: {}", error.message());
    }
    world.rename("Team/Data", "away").await;
    let error = controller.create("pvc-3", &[("subDir", "Team/Data")]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "its directory is missing: {}", error.message());
    world.rename("away", "Team/Data").await;
    assert_eq!(controller.create("pvc-1", &[("subDir", "Team/Data")]).await.unwrap(), made);
    assert_eq!(world.folder("places").len(), 1);
    controller.delete(&made.id).await.unwrap();
    assert!(world.folder("places").is_empty() && !world.exists("Team/Data"));
}

/// An attempt in one place was given up, and the volume was made in another one.
pub(crate) async fn a_hold_that_a_volume_elsewhere_has_left_behind_is_taken_over(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
    let hold = |path: &str| format!(".berth/places/{}", volume::PlaceKey::new(&path.parse().unwrap()));
    world.make_entry(&hold("team/new"), "pvc-1");
    world.make_old_entry(&hold("team/old"), "pvc-1");
    let error = controller.create("pvc-2", &[("subDir", "team/new")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted, "it may be at work: {}", error.message());
    controller.create("pvc-2", &[("subDir", "team/old")]).await.unwrap();
    assert_eq!(controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap(), made);
    controller.delete(&made.id).await.unwrap();
    assert!(world.exists("team/old") && !world.exists("team/data"));
}
