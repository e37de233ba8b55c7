//! Failed attempts that may have left something: an answer that was lost, and what could not be taken back.

use nfs_client::fake::{Effect, Fault};
use nfs_client::{NfsStatus, OpCode, SetAttributes};
use tonic::Code;

use crate::world::{Object, World};

const TRIES_AGAIN: &str = "; something that was begun may be left there, so the controller tries again";

/// A final answer would end the repetitions, and what the attempt has made would stay for ever.
pub(crate) async fn a_failure_is_not_final_before_what_was_begun_is_taken_back(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[("subDir", "team/first")]).await.unwrap();
    let tree = world.tree();
    for place in [None, Some("team/data")] {
        let parameters: Vec<(&str, &str)> =
            [("uid", "1000")].into_iter().chain(place.map(|place| ("subDir", place))).collect();
        for op in [OpCode::Remove, OpCode::Verify] {
            server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
            server.inject(Fault::on(op, Effect::Status(NfsStatus::Io)));
            let error = controller.create("pvc-1", &parameters).await.unwrap_err();
            let message = error.message();
            assert_eq!(error.code(), Code::Unavailable, "{op} {place:?}: {message}");
            assert!(message.starts_with("the server does not let the controller give fake:/export/"), "{message}");
            assert!(message.contains("export the share with no_root_squash"), "{message}");
            assert!(message.ends_with(TRIES_AGAIN), "{message}");
            assert_ne!(world.tree(), tree, "{op} {place:?}: nothing was left, so nothing is proved");

            server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
            let error = controller.create("pvc-1", &parameters).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition, "{op} {place:?}: {}", error.message());
            assert!(!error.message().ends_with(TRIES_AGAIN), "{}", error.message());
            assert_eq!(world.tree(), tree, "{op} {place:?}");
        }
    }
    assert_eq!(server.faults_left(), 0);
}

/// The volume was made and the answer lost; then the server refuses for a while to let the controller look.
pub(crate) async fn a_refusal_to_look_is_not_final_after_a_lost_answer(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
    server.inject(Fault::on(OpCode::ReadLink, Effect::Status(NfsStatus::Io)));
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
    assert!(world.exists("pvc-1"), "nothing was left, so nothing is proved");

    server.inject(Fault::on(OpCode::ReadLink, Effect::Status(NfsStatus::Access)).times(2));
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
    assert!(error.message().contains("NFS4ERR_ACCESS"), "{}", error.message());
    assert!(error.message().ends_with(TRIES_AGAIN), "{}", error.message());
    assert_eq!(server.faults_left(), 0);

    controller.create("pvc-1", &[]).await.unwrap();
    assert_eq!(world.folder("records"), ["first", "pvc-1"]);

    // A volume that nobody has tried to make is not in doubt.
    controller.create("team", &[("subDir", "team/data")]).await.unwrap();
    server.inject(Fault::on(OpCode::ReadLink, Effect::Status(NfsStatus::Access)));
    let error = controller.create("pvc-2", &[("subDir", "team/data/inner")]).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{}", error.message());
    assert!(!error.message().ends_with(TRIES_AGAIN), "{}", error.message());
}

/// The server says yes to an owner and keeps another one: nothing is left, whoever finds out.
pub(crate) async fn an_owner_that_is_not_kept_is_refused(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    let tree = world.tree();
    server.set_options(|options| options.ignores_owners = true);
    let refused = |error: controller::operations::OperationError| {
        let message = error.message();
        assert_eq!(error.code(), Code::FailedPrecondition, "{message}");
        let begin = "fake:/export/pvc-1 was to have owner 1000, and the server gave it 0; export the share with";
        assert!(message.starts_with(begin), "{message}");
    };
    refused(controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err());
    assert_eq!(world.tree(), tree);

    // The one who made it never heard of it.
    server.inject(Fault::on(OpCode::SetAttr, Effect::RestartAfterExecution));
    refused(controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err());
    assert_eq!(world.tree(), tree);
    assert_eq!(server.faults_left(), 0);
}

/// An attempt was cut off before it could see that owner and mode are not as they should be: the next one sets them. It
/// leaves them alone where somebody uses the volume.
pub(crate) async fn owner_and_mode_are_set_again_unless_the_volume_is_in_use(world: &World) {
    let asked = [("uid", "1000"), ("gid", "2000"), ("mountPermissions", "2770")];
    world.controller().create("pvc-1", &asked).await.unwrap();
    let as_asked = Some(Object::Directory { mode: 0o2770, owner: (1000, 2000) });
    let others = [SetAttributes::owner(Some(0), Some(0)), SetAttributes::mode(0o755)];
    for other in others {
        world.change("pvc-1", other).await;
        assert_ne!(world.object("pvc-1"), as_asked);
        world.controller().create("pvc-1", &asked).await.unwrap();
        assert_eq!(world.object("pvc-1"), as_asked);
    }
    world.make_file("pvc-1/data");
    for other in others {
        world.change("pvc-1", other).await;
        let changed = world.object("pvc-1");
        assert_ne!(changed, as_asked);
        world.controller().create("pvc-1", &asked).await.unwrap();
        assert_eq!(world.object("pvc-1"), changed);
    }
}
