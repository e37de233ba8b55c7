//! Making volumes.

use std::collections::BTreeSet;
use std::time::Duration;

use controller::operations::{CreateVolume, Volumes};
use tonic::Code;
use volume::capacity::Range;
use volume::{OnDelete, Record};

use crate::world::{Object, World};

pub(crate) async fn a_volume_is_a_directory_with_mode_owner_and_record(world: &World) {
    let controller = world.controller();
    let parameters = [
        ("mountPermissions", "2770"),
        ("uid", "1000"),
        ("gid", "2000"),
        ("csi.storage.k8s.io/pvc/name", "data"),
        ("csi.storage.k8s.io/pvc/namespace", "shop"),
    ];
    let made = controller.create("pvc-1", &parameters).await.unwrap();
    assert_eq!(made.id, format!("berth://{}{}#pvc-1", world.server(), world.share()));
    assert_eq!(made.capacity_bytes, 1 << 30);
    assert_eq!(made.context["subDir"], "pvc-1");
    assert_eq!(world.object("pvc-1"), Some(Object::Directory { mode: 0o2770, owner: (1000, 2000) }));

    let Some(Object::Text(text)) = world.object(".berth/records/pvc-1") else { panic!("no record") };
    let record = Record::from_text(&text).unwrap();
    assert_eq!((record.path.as_str(), record.size_bytes, record.on_delete), ("pvc-1", 1 << 30, OnDelete::Delete));
    assert_eq!(record.claim.map(|claim| (claim.namespace, claim.name)), Some(("shop".into(), "data".into())));
    for folder in [".berth", ".berth/records", ".berth/places", ".berth/trash", ".berth/retained"] {
        assert!(matches!(world.object(folder), Some(Object::Directory { mode: 0o700, .. })), "{folder}");
    }
    assert!(world.folder("places").is_empty(), "a default place needs no hold");
}

/// Round trips of `count` creates after a first one.
async fn round_trips(world: &World, parameters: &[(&str, &str)], count: u64) -> u64 {
    let controller = world.controller();
    controller.create("warm-up", parameters).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await; // the reaper's first look
    let before = controller.round_trips();
    for number in 0..count {
        controller.create(&format!("pvc-{number}"), parameters).await.unwrap();
    }
    controller.round_trips() - before
}

pub(crate) async fn the_default_place_takes_one_round_trip(world: &World) {
    assert_eq!(round_trips(world, &[("uid", "1000"), ("mountPermissions", "2775")], 10).await, 10);
}

pub(crate) async fn a_custom_place_takes_two_round_trips(world: &World) {
    let controller = world.controller();
    let parameters = |name: &str| {
        let pv = ("csi.storage.k8s.io/pv/name", name.to_owned());
        [("subDir", "team/${pv.metadata.name}".to_owned()), pv]
    };
    let create = async |name: &str| {
        let parameters = parameters(name);
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (*key, value.as_str())).collect();
        controller.create(name, &parameters).await.unwrap();
    };
    create("warm-up").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = controller.round_trips();
    for number in 0..10 {
        create(&format!("pvc-{number}")).await;
    }
    assert_eq!(controller.round_trips() - before, 20);
    assert_eq!(world.folder("places").len(), 11);
    assert!(matches!(world.object("team"), Some(Object::Directory { mode: 0o755, .. })));
    assert!(matches!(world.object("team/pvc-9"), Some(Object::Directory { mode: 0o777, .. })));
}

pub(crate) async fn asking_again_gives_the_same_volume(world: &World) {
    let parameters = [("subDir", "a/b/c"), ("gid", "7")];
    let first = world.controller().create("pvc-1", &parameters).await.unwrap();
    let tree = world.tree();
    let controller = world.controller();
    assert_eq!(controller.create("pvc-1", &parameters).await.unwrap(), first);
    assert_eq!(controller.create("pvc-1", &parameters).await.unwrap(), first);
    assert_eq!(world.tree(), tree);
}

pub(crate) async fn another_size_is_another_volume(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[]).await.unwrap();
    let tree = world.tree();
    let request =
        CreateVolume { capacity: Range { required: 2 << 30, limit: 2 << 30 }, ..controller.request("pvc-1", &[]) };
    let error = controller.operations.create(request).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    assert_eq!(
        error.message(),
        format!(
            "volume \"pvc-1\" exists on {}:{} with a size of 1073741824 bytes, not 2147483648 bytes; delete that \
             volume first, or ask under another name",
            world.server(),
            world.share()
        )
    );
    let larger = CreateVolume { capacity: Range { required: 1, limit: 0 }, ..controller.request("pvc-1", &[]) };
    assert_eq!(controller.operations.create(larger).await.unwrap().capacity_bytes, 1 << 30, "large enough is right");
    assert_eq!(world.tree(), tree);
}

pub(crate) async fn another_directory_or_end_is_another_volume(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[]).await.unwrap();
    let tree = world.tree();
    for parameters in [[("subDir", "elsewhere")], [("subDir", "deep/er")], [("onDelete", "retain")]] {
        let error = controller.create("pvc-1", &parameters).await.unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{}", error.message());
    }
    // What a refused attempt made above its place may stay; the place itself, holds and records may not.
    let mut after = world.tree();
    after.remove("deep");
    assert_eq!(after, tree);
}

pub(crate) async fn the_size_is_what_was_asked_for(world: &World) {
    let controller = world.controller();
    for (name, required, limit, expected) in [("a", 0, 0, 0), ("b", 5, 0, 5), ("c", 5, 9, 5), ("d", 0, 9, 9)] {
        let request = CreateVolume { capacity: Range { required, limit }, ..controller.request(name, &[]) };
        assert_eq!(controller.operations.create(request.clone()).await.unwrap().capacity_bytes, expected, "{name}");
        assert_eq!(controller.operations.create(request).await.unwrap().capacity_bytes, expected, "{name} again");
    }
}

pub(crate) async fn any_name_has_a_volume(world: &World) {
    let controller = world.controller();
    let names = ["x".repeat(200), "Größe/../..".to_owned(), "..".to_owned(), ".berth".to_owned(), "a".repeat(63)];
    let mut ids = BTreeSet::new();
    for name in &names {
        let made = controller.create(name, &[]).await.unwrap();
        assert!(made.id.len() <= 128, "{}", made.id);
        assert_eq!(controller.create(name, &[]).await.unwrap().id, made.id);
        ids.insert(made.id);
    }
    assert_eq!(ids.len(), names.len());
    assert_eq!(world.places().len(), names.len());
    assert_eq!(world.folder("records").len(), names.len());
}

pub(crate) async fn a_hundred_at_once_below_new_parents(world: &World) {
    let controller = world.controller();
    let jobs: Vec<_> = (0..100)
        .map(|number| {
            let controller = controller.clone();
            tokio::spawn(async move {
                let name = format!("pvc-{number}");
                let team = format!("team-{}", number % 3);
                let pvc = [("csi.storage.k8s.io/pvc/name", name.as_str()), ("csi.storage.k8s.io/pvc/namespace", &team)];
                let sub_dir = ("subDir", "all/${pvc.metadata.namespace}/${pvc.metadata.name}");
                controller.create(&name, &[sub_dir, pvc[0], pvc[1]]).await
            })
        })
        .collect();
    for job in jobs {
        job.await.unwrap().unwrap();
    }
    assert_eq!(world.folder("records").len(), 100);
    assert_eq!(world.folder("places").len(), 100);
    assert_eq!(world.places().len(), 104);
}

pub(crate) async fn one_name_asked_for_many_times_at_once_is_one_volume(world: &World) {
    // Two processes, as while the leader changes.
    let controllers = [world.controller(), world.controller()];
    let jobs: Vec<_> = (0..16)
        .map(|number| {
            let controller = controllers[number % 2].clone();
            tokio::spawn(async move { controller.create("pvc-1", &[("subDir", "a/b")]).await })
        })
        .collect();
    let mut made = 0;
    for job in jobs {
        match job.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), Code::Aborted, "{}", error.message()),
        }
    }
    assert!(made >= 1);
    assert_eq!(controllers[0].create("pvc-1", &[("subDir", "a/b")]).await.unwrap().context["subDir"], "a/b");
    assert_eq!(world.places(), ["a", "a/b"]);
    assert!(matches!(world.object("a/b"), Some(Object::Directory { mode: 0o777, .. })));
    assert_eq!(world.folder("records"), ["pvc-1"]);
}

pub(crate) async fn a_caller_that_leaves_gets_the_volume_later(world: &World) {
    let controller = world.controller();
    let request = controller.request("pvc-1", &[]);
    {
        let call = controller.operations.create(request.clone());
        // Polled once, which starts the job, then dropped.
        let _answer = tokio::time::timeout(Duration::ZERO, call).await;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while controller.operations.running() > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.places(), ["pvc-1"]);
    assert!(controller.operations.create(request).await.is_ok());
}
