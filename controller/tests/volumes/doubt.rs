//! Failed attempts that may have left something: an answer that was lost, and what could not be taken back.

use std::time::Duration;

use controller::operations::Volumes;
use nfs_client::{NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};
use tonic::Code;

use crate::world::{Object, World};

const REPEATED: &str = "; a part of the volume may be left on the share, so the attempt is repeated";

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
            for status in [NfsStatus::Io, NfsStatus::RoFs, NfsStatus::Access] {
                let context = format!("{op} {status} {place:?}");
                server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
                server.inject(Fault::on(op, Effect::Status(status)));
                let error = controller.create("pvc-1", &parameters).await.unwrap_err();
                let message = error.message();
                assert_eq!(error.code(), Code::Unavailable, "{context}: {message}");
                assert!(message.starts_with("the server does not let the controller give fake:/export/"), "{message}");
                assert!(message.contains("export the share with no_root_squash"), "{message}");
                assert!(message.ends_with(REPEATED), "{message}");
                assert_ne!(world.tree(), tree, "{context}: nothing was left, so nothing is proved");

                server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
                let error = controller.create("pvc-1", &parameters).await.unwrap_err();
                assert_eq!(error.code(), Code::FailedPrecondition, "{context}: {}", error.message());
                assert!(!error.message().ends_with(REPEATED), "{}", error.message());
                assert_eq!(world.tree(), tree, "{context}");
            }
        }
    }
    assert_eq!(server.pending_faults(), 0);
}

/// The volume was made and the answer lost; then the server refuses for a while to let the controller look.
pub(crate) async fn a_refusal_to_look_is_not_final_after_a_lost_answer(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    // Of the looks of an attempt that fails: its own; the one before it gives up; the one at what is left.
    for refused in 1..=3 {
        let name = format!("pvc-{refused}");
        server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
        server.inject(Fault::on(world.reads_entries_by(), Effect::Status(NfsStatus::Io)));
        let error = controller.create(&name, &[]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
        assert!(world.exists(&name), "nothing was left, so nothing is proved");

        server.inject(Fault::on(world.reads_entries_by(), Effect::Status(NfsStatus::Access)).times(refused));
        let error = controller.create(&name, &[]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
        assert!(error.message().contains("NFS4ERR_ACCESS"), "{}", error.message());
        assert!(error.message().ends_with(REPEATED), "{}", error.message());
        assert_eq!(server.pending_faults(), 0);

        controller.create(&name, &[]).await.unwrap();
        assert_eq!(world.folder("records").len() as u64, 1 + refused);
    }
    // Of a volume that nobody has tried to make nothing can be left.
    world.make_dir("pvc-4");
    server.inject(Fault::on(OpCode::Lookup, Effect::Status(NfsStatus::Access)).times(4));
    let error = controller.create("pvc-4", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{}", error.message());
    assert!(!error.message().ends_with(REPEATED), "{}", error.message());
    assert_eq!(server.pending_faults(), 0);
}

/// The volume was made and the answer lost; then another disk is under the share's path. What that holds says nothing of the volume.
pub(crate) async fn another_share_is_no_proof_after_a_lost_answer(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
    server.inject(Fault::on(world.reads_entries_by(), Effect::Status(NfsStatus::Io)));
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
    assert!(world.exists("pvc-1"), "nothing was left, so nothing is proved");

    let (share, other) = (controller.share.parse().unwrap(), Some(volume::ShareIdentity::new(7)));
    let known = controller.operations.catalogue().add(&controller.server.parse().unwrap(), &share, other);
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
    assert!(error.message().ends_with(REPEATED) && error.message().contains("another one"), "{}", error.message());
    let error = controller.create("pvc-2", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "nobody has tried to make it: {}", error.message());
    drop(known);
    controller.create("pvc-1", &[]).await.unwrap();
    assert_eq!(server.pending_faults(), 0);
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

    for op in [OpCode::Remove, OpCode::Verify] {
        server.inject(Fault::on(op, Effect::Status(NfsStatus::Io)));
        let error = controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{op}: {}", error.message());
        assert_ne!(world.tree(), tree, "{op}: nothing was left, so nothing is proved");
        refused(controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err());
        assert_eq!(world.tree(), tree, "{op}");
    }

    // The one who made it never heard of it, and had not looked before: it may be one that was answered for.
    server.inject(Fault::on(OpCode::SetAttr, Effect::RestartAfterExecution));
    let error = controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
    assert!(world.exists("pvc-1"));
    server.set_options(|options| options.ignores_owners = false);
    let made = controller.create("pvc-1", &[("uid", "1000")]).await.unwrap();
    assert!(matches!(world.object("pvc-1"), Some(Object::Directory { owner: (1000, 0), .. })));
    controller.delete(&made.id).await.unwrap();
    world.until_reaped().await;
    server.set_options(|options| options.ignores_owners = true);
    assert_eq!(server.pending_faults(), 0);

    // A volume that was answered for is not taken back because somebody wants another one.
    controller.create("pvc-1", &[]).await.unwrap();
    let tree = world.tree();
    for controller in [&controller, &controller, &world.controller()] {
        refused(controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err());
        server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
        let error = controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        assert_eq!(world.tree(), tree);
    }
    // Nor where it cannot be told whether the request whose answer was lost has made it.
    let controller = world.controller();
    controller.create("other", &[]).await.unwrap();
    let tree = world.tree();
    server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
    for _ in 0..2 {
        let error = controller.create("pvc-1", &[("uid", "1000")]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{}", error.message());
        assert_eq!(world.tree(), tree);
    }
    assert_eq!(server.pending_faults(), 0);
}

/// A controller that was held up goes on with a directory that another one has completed: it looks again.
pub(crate) async fn what_is_in_use_by_now_is_not_touched(world: &World) {
    let server = world.as_fake();
    let (late, leader) = (world.controller(), world.controller());
    late.create("late", &[]).await.unwrap();
    leader.create("leader", &[]).await.unwrap();
    server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Io)));
    assert_eq!(leader.create("pvc-1", &[]).await.unwrap_err().code(), Code::Unavailable);
    assert!(matches!(world.object("pvc-1"), Some(Object::Directory { mode: 0, .. })));

    // The directory is looked at first, then the record; the answer about that comes late.
    server.inject(Fault::on(world.reads_entries_by(), Effect::Delay(Duration::from_secs(1))));
    let creating = tokio::spawn(async move { late.create("pvc-1", &[]).await });
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leader.create("pvc-1", &[]).await.unwrap();
    world.make_file("pvc-1/data");
    world.change("pvc-1", SetAttributes { owner: Some(1000), ..SetAttributes::mode(0o711) }).await;

    creating.await.unwrap().unwrap();
    assert_eq!(world.object("pvc-1"), Some(Object::Directory { mode: 0o711, owner: (1000, 0) }));
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
