//! A share that an earlier release has written, in every state that it can have left, and the way back to it.

use std::collections::BTreeSet;

use crate::crash_parameters::parameters;
use crate::world::{Object, World};

/// What release 0.1.0 wrote: two volumes with data, one with a long name, one that is retained, and for each step of a create
/// and of a delete one that was begun when the controller died. Path, kind, and mode and owner or target, tab separated.
const SHARE: &str = include_str!("fixtures/share-0.1.0.tsv");

/// The volumes on it that were made with parameters of their own.
const CREATED: [(&str, bool); 9] = [
    ("pvc-default", false),
    ("pvc-default-record", false),
    ("pvc-default-owner", false),
    ("pvc-default-mode", false),
    ("pvc-custom", true),
    ("pvc-custom-parents", true),
    ("pvc-custom-place", true),
    ("pvc-custom-record", true),
    ("pvc-custom-owner", true),
];

/// Those of which a delete was begun.
const DELETED: [&str; 3] = ["pvc-default-forget", "pvc-custom-giveup", "pvc-custom-forget"];

fn lay_out(world: &World) {
    for line in SHARE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            [path, "directory", mode, owner] => {
                let (uid, gid) = owner.split_once(':').unwrap();
                let owner = (uid.parse().unwrap(), gid.parse().unwrap());
                world.lay(path, u32::from_str_radix(mode, 8).unwrap(), owner);
            }
            [path, "link", target] => world.make_symlink(path, target),
            [path, "file"] => world.make_file(path),
            _ => panic!("{line}"),
        }
    }
}

fn path_of(name: &str, custom: bool) -> String {
    if custom { format!("all/{name}/{name}") } else { name.to_owned() }
}

fn record_of(name: &str, custom: bool) -> Object {
    let path = path_of(name, custom);
    Object::Text(format!(
        "{{\"version\":1,\"name\":\"{name}\",\"path\":\"{path}\",\"sizeBytes\":1073741824,\"onDelete\":\"delete\",\
         \"madeBy\":\"csi.berth.dev\"}}"
    ))
}

pub(crate) async fn a_share_of_an_earlier_release_is_gone_on_with_and_can_go_back(world: &World) {
    lay_out(world);
    let controller = world.controller();
    let mut ids = Vec::new();
    for (name, custom) in CREATED {
        let made = controller.create(name, &parameters(name, custom)).await;
        ids.push(made.unwrap_or_else(|error| panic!("{name}: {}", error.message())).id);
        let expected = Object::Directory { mode: 0o2770, owner: (1000, 2000) };
        assert_eq!(world.object(&path_of(name, custom)), Some(expected), "{name}");
        // The earlier release reads what this one writes: the same text, where it looks for it.
        assert_eq!(world.object(&format!(".berth/records/{name}")), Some(record_of(name, custom)));
    }
    ids.push(controller.create("a name that is no file name/", &[]).await.unwrap().id);
    let kept: BTreeSet<String> = world.names(".berth").into_iter().collect();
    let folders = ["identity", "places", "records", "retained", "trash"];
    assert_eq!(kept, folders.map(str::to_owned).into(), "nothing that the earlier release would stumble over");
    for path in ["pvc-default/precious", "all/pvc-custom/pvc-custom/precious"] {
        assert!(world.exists(path), "{path}");
    }

    ids.extend(DELETED.map(|name| controller.id(name)));
    for id in ids {
        controller.delete(&id).await.unwrap_or_else(|error| panic!("{id}: {}", error.message()));
    }
    world.until_reaped().await;
    assert_eq!(world.folder("records"), ["pvc-custom-mode"], "nobody has asked for it");
    assert_eq!(world.folder("places").len(), 1);
    assert!(world.exists("pvc-retained") && world.folder("retained").len() == 1);
    assert!(!world.exists("pvc-default") && !world.exists("all/pvc-custom/pvc-custom"));
}
