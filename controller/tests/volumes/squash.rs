//! Exports that take the controller for nobody.

use std::time::Duration;

use tonic::Code;

use crate::world::{Object, World};

pub(crate) async fn a_squashed_root_cannot_set_an_owner(world: &World) {
    let made = world.controller().create("pvc-1", &[("mountPermissions", "0777")]).await.unwrap();
    assert!(matches!(world.object("pvc-1"), Some(Object::Directory { mode: 0o777, .. })), "no owner, no trouble");
    // The next process finds folders of nobody's, and is nobody itself.
    let controller = world.controller();
    controller.delete(&made.id).await.unwrap();
    world.until_reaped().await;
    let tree = world.tree();
    for sub_dir in [None, Some("team/data")] {
        let owner = [("uid", "1000"), ("gid", "1000")];
        let parameters: Vec<(&str, &str)> = owner.into_iter().chain(sub_dir.map(|path| ("subDir", path))).collect();
        let error = controller.create("pvc-2", &parameters).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        let place = sub_dir.unwrap_or("pvc-2");
        let begin = format!(
            "the server does not let the controller give {}:{}/{place} the owner 1000:1000: ",
            world.server(),
            world.share()
        );
        assert!(message.starts_with(&begin), "{message}");
        assert!(message.contains("export the share with no_root_squash"), "{message}");
        let mut after = world.tree();
        after.remove("team");
        assert_eq!(after, tree, "nothing is left of the attempt");
    }
}

/// Where everybody is nobody, it helps nothing to speak for an owner: what is private stays, everything else goes.
pub(crate) async fn a_private_directory_stays_where_everybody_is_nobody(world: &World) {
    let controller = world.controller();
    let mut ids = Vec::new();
    for number in 0..10 {
        let name = format!("pvc-{number}");
        ids.push(controller.create(&name, &[]).await.unwrap().id);
        world.make_dir(&format!("{name}/beside"));
    }
    world.make_file("pvc-4/private/file");
    world.give("pvc-4/private", 101_000, Some(0o700));
    for id in ids {
        controller.delete(&id).await.unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let left = || {
        let trash = world.folder("trash");
        let [tree] = trash.as_slice() else { return trash };
        world.folder(&format!("trash/{tree}"))
    };
    while left() != ["private"] {
        assert!(tokio::time::Instant::now() < deadline, "left in the trash: {:?}", left());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tree = &world.folder("trash")[0];
    let private = world.object(&format!(".berth/trash/{tree}/private"));
    assert_eq!(private, Some(Object::Directory { mode: 0o700, owner: (101_000, 101_000) }), "as it was");
    assert!(world.exists(&format!(".berth/trash/{tree}/private/file")));
}
