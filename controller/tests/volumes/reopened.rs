//! Folders of the driver that a pod's `fsGroup` has opened: kubelet walks over a volume that is the whole share.

use nfs_client::SetAttributes;
use tonic::Code;
use volume::{PlaceKey, Record};

use crate::world::{Object, World};

const FOLDERS: [&str; 5] = [".berth", ".berth/records", ".berth/places", ".berth/retained", ".berth/trash"];

fn assert_closed(world: &World) {
    for folder in FOLDERS {
        assert!(matches!(world.object(folder), Some(Object::Directory { mode: 0o700, .. })), "{folder}");
    }
}

pub(crate) async fn folders_that_an_fs_group_opened_are_closed_again(world: &World) {
    let first = world.controller();
    let made = [
        first.create("pvc-1", &[]).await.unwrap().id,
        first.create("pvc-2", &[("subDir", "team/data")]).await.unwrap().id,
    ];
    world.give_to_fs_group(Some(2000)).await;
    assert!(matches!(world.object(".berth/records"), Some(Object::Directory { mode: 0o2770, .. })));
    let next = world.controller();
    next.create("pvc-3", &[]).await.unwrap();
    assert_closed(world);
    // Whoever deletes first meets it as well.
    world.give_to_fs_group(Some(2001)).await;
    let last = world.controller();
    for id in made.into_iter().chain([last.id("pvc-3")]) {
        last.delete(&id).await.unwrap();
    }
    assert_closed(world);
    assert_eq!(world.places(), ["team"]);
    assert!(world.folder("records").is_empty() && world.folder("places").is_empty());
}

/// Where root is nobody, kubelet may not change the group; what shows that the folders are the controller's is opened too.
pub(crate) async fn folders_of_nobodys_that_an_fs_group_opened_are_closed_again(world: &World) {
    let id = world.controller().create("pvc-1", &[]).await.unwrap().id;
    world.give_to_fs_group(None).await;
    assert!(matches!(world.object(".berth/closed"), Some(Object::Directory { mode: 0o2770, .. })));
    let controller = world.controller();
    controller.create("pvc-2", &[]).await.unwrap();
    assert_closed(world);
    assert!(matches!(world.object(".berth/closed"), Some(Object::Directory { mode: 0, .. })));
    controller.delete(&id).await.unwrap();
    assert_eq!(world.places(), ["pvc-2"]);
}

/// What members of the group have put or moved there meanwhile does not count.
pub(crate) async fn what_others_wrote_into_opened_folders_is_not_believed(world: &World) {
    let first = world.controller();
    first.create("pvc-1", &[]).await.unwrap();
    first.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    first.create("pvc-3", &[]).await.unwrap();
    world.make_file("pvc-1/precious");
    world.make_file("photos/precious");
    world.give_to_fs_group(Some(2000)).await;

    let forge = |path: &str, text: &str| {
        world.make_symlink(path, text);
        world.give(path, 1000, None);
    };
    let photos = "photos".parse().unwrap();
    let record = Record::new("photos".to_owned(), photos).to_text().unwrap();
    forge(".berth/records/photos", &record);
    let hold = |path: &str| format!(".berth/places/{}", PlaceKey::new(&path.parse().unwrap()));
    forge(&hold("free/data"), "pvc-9");
    // With links that are the driver's own: the record of a volume under the key of another, which has a hold on its place.
    world.remove(".berth/records/pvc-2").await;
    world.rename(".berth/records/pvc-1", ".berth/records/pvc-2").await;
    world.rename(&hold("team/data"), &hold("pvc-1")).await;

    // The first goes on with what it knows of the folders, while they are open.
    for controller in [first, world.controller()] {
        for name in ["photos", "pvc-2"] {
            let error = controller.delete(&controller.id(name)).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition, "{name}: {}", error.message());
            let begin = format!("{}:{}/.berth/records/{name} does not count: ", world.server(), world.share());
            assert!(error.message().starts_with(&begin), "{}", error.message());
        }
        let error = controller.create("photos", &[("subDir", "albums")]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        assert!(error.message().contains("belongs to another user than its folder"), "{}", error.message());
        let error = controller.create("pvc-5", &[("subDir", "free/data")]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        assert!(error.message().contains("belongs to another user than its folder"), "{}", error.message());
        assert!(world.exists("pvc-1/precious") && world.exists("photos/precious"));
        controller.delete(&controller.id("pvc-3")).await.unwrap();
    }
    assert_closed(world);
    world.remove(".berth/records/photos").await;
    world.controller().create("photos", &[("subDir", "albums")]).await.unwrap();
}

/// A directory that only looks like it may be one that the driver made for others.
pub(crate) async fn what_no_fs_group_makes_of_the_drivers_folders_is_not_trusted(world: &World) {
    let made = world.controller().create("pvc-1", &[]).await.unwrap();
    let refused = async |why: &str| {
        let controller = world.controller();
        for error in
            [controller.create("pvc-2", &[]).await.unwrap_err(), controller.delete(&made.id).await.unwrap_err()]
        {
            assert_eq!(error.code(), Code::FailedPrecondition, "{why}: {}", error.message());
            assert!(error.message().contains("where the driver keeps its records, "), "{why}: {}", error.message());
        }
        assert_eq!(world.places(), ["pvc-1"], "{why}");
    };
    let open = async |path: &str, mode| world.change(path, SetAttributes::mode(mode)).await;
    world.give_to_fs_group(Some(2000)).await;
    for mode in [0o2775, 0o2771, 0o3770, 0o2760] {
        open(".berth", mode).await;
        refused(&format!(".berth {mode:o}")).await;
    }
    open(".berth", 0o2770).await;
    open(".berth/trash", 0o2777).await;
    refused("one of its folders is open to everybody").await;
    open(".berth/trash", 0o2770).await;
    world.change(".berth/places", SetAttributes::owner(Some(1000), None)).await;
    refused("one of its folders is somebody else's").await;
    world.change(".berth/places", SetAttributes::owner(Some(0), None)).await;
    world.remove(".berth/retained").await;
    refused("one of its folders is missing").await;
    world.make_dir(".berth/retained");
    open(".berth/retained", 0o2770).await;
    open(".berth", 0o700).await;
    refused("a folder is open in one that is not").await;
    assert!(
        matches!(world.object(".berth/records"), Some(Object::Directory { mode: 0o2770, .. })),
        "nothing was changed"
    );
    // As kubelet leaves it for a volume that is read-only.
    open(".berth", 0o2750).await;
    world.controller().delete(&made.id).await.unwrap();
    assert_closed(world);
}
