//! Servers where an access control list, or the file system, decides who may do what, and not the mode that is asked for.

use nfs_client::{NfsStatus, OpCode};
use nfs_testkit::fake::{Chmod, Effect, Fault};
use tonic::Code;

use crate::world::{Object, World};

/// How a server does not let a mode be set.
fn refusals() -> [Chmod; 5] {
    let refused = [NfsStatus::Perm, NfsStatus::Access, NfsStatus::NotSupp, NfsStatus::Inval].map(Chmod::Refused);
    [Chmod::Ignored, refused[0], refused[1], refused[2], refused[3]]
}

/// What the driver makes for itself is open to others whatever it asks for.
pub(crate) async fn a_share_on_which_everybody_may_write_is_named() {
    for chmod in refusals() {
        for created in [0o777, 0o770, 0o2770] {
            let world = World::fake_with(|options| (options.created_mode, options.chmod) = (Some(created), chmod));
            let controller = world.controller();
            for parameters in [&[][..], &[("subDir", "team/data")]] {
                let error = controller.create("pvc-1", parameters).await.unwrap_err();
                let message = error.message();
                assert_eq!(error.code(), Code::FailedPrecondition, "{chmod:?}: {message}");
                let begin = format!(
                    "the server does not keep permissions: fake:/export/.berth, where the driver keeps its records, was to have mode \
                     0700 and has {created:04o}, so that others could write there; an access control list"
                );
                assert!(message.starts_with(&begin) && message.contains("security style UNIX"), "{chmod:?}: {message}");
                assert!(world.tree().is_empty(), "{chmod:?}: nothing is left");
            }
        }
    }
}

/// A volume's directory has the mode that the server gives it, or cannot be had.
pub(crate) async fn a_mode_that_cannot_be_set_is_named_and_nothing_is_left() {
    for chmod in refusals() {
        // Others may not write, so that the driver's folders are its own.
        for created in [None, Some(0o700), Some(0o755)] {
            // Without an inherited mode CREATE keeps what is asked for, so that the mark of a directory that was begun is seen.
            if (created, chmod) == (None, Chmod::Ignored) {
                continue;
            }
            let world = World::fake_with(|options| (options.created_mode, options.chmod) = (created, chmod));
            let (controller, next) = (world.controller(), world.controller());
            for parameters in [&[][..], &[("subDir", "team/data")], &[("uid", "1000"), ("gid", "2000")]] {
                for controller in [&controller, &next] {
                    let error = controller.create("pvc-1", parameters).await.unwrap_err();
                    let message = error.message();
                    assert_eq!(error.code(), Code::FailedPrecondition, "{chmod:?} {created:?}: {message}");
                    let place =
                        if parameters.first() == Some(&("subDir", "team/data")) { "team/data" } else { "pvc-1" };
                    let begin = if chmod == Chmod::Ignored {
                        let created = created.unwrap();
                        format!("fake:/export/{place} was to have mode 0777, and the server gave it {created:04o}; ")
                    } else {
                        format!("the server does not let the controller give fake:/export/{place} the mode 0777: ")
                    };
                    assert!(
                        message.starts_with(&begin) && message.contains("access control list"),
                        "{chmod:?}: {message}"
                    );
                    assert!(message.contains("\"mountPermissions\""), "{message}");
                    let left = world.places();
                    assert!(left.iter().all(|path| path == "team"), "{chmod:?} {created:?}: {left:?}");
                    assert!(world.folder("records").is_empty() && world.folder("places").is_empty(), "{chmod:?}");
                    assert!(world.folder("trash").is_empty(), "{chmod:?}");
                }
            }
            let Some(created) = created else { continue };
            let permissions = format!("{created:04o}");
            for parameters in [[("subDir", "team/data"), ("uid", "0")], [("subDir", "pvc-1"), ("uid", "1000")]] {
                let parameters = [&parameters[..], &[("mountPermissions", &permissions)]].concat();
                let made = controller.create("pvc-1", &parameters).await.unwrap();
                assert_eq!(next.create("pvc-1", &parameters).await.unwrap(), made, "{chmod:?}");
                let found = world.object(&made.context["subDir"]);
                assert!(
                    matches!(found, Some(Object::Directory { mode, .. }) if mode == created),
                    "{chmod:?}: {found:?}"
                );
                next.delete(&made.id).await.unwrap();
                world.until_reaped().await;
            }
        }
    }
}

/// Where others may read and not write on everything, they may do so in the driver's folders; but nobody may have opened them.
pub(crate) async fn folders_that_others_may_only_read_are_trusted_where_the_server_makes_them_so() {
    for chmod in refusals() {
        let world = World::fake_with(|options| (options.created_mode, options.chmod) = (Some(0o755), chmod));
        world.controller().create("pvc-1", &[("mountPermissions", "0755")]).await.unwrap();
        assert_eq!(world.object(".berth"), Some(Object::Directory { mode: 0o755, owner: (0, 0) }));
        let server = world.as_fake();
        for folder in [".berth", ".berth/records"] {
            let path = format!("/export/{folder}");
            server.change(&path, nfs_client::SetAttributes::mode(0o775));
            let error = world.controller().create("pvc-2", &[("mountPermissions", "0755")]).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
            assert!(
                error.message().contains(&format!("fake:{path}, where the driver keeps its records, ")),
                "{error:?}"
            );
            server.change(&path, nfs_client::SetAttributes::mode(0o755));
        }
        // A full disk must not stand in the way of what makes room on it.
        server.inject(Fault::on(OpCode::Create, Effect::Status(NfsStatus::NoSpc)));
        world.controller().delete(&world.controller().id("pvc-1")).await.unwrap();
        world.until_reaped().await;
        assert_eq!(server.pending_faults(), 0);
    }
    let world = World::fake();
    let made = world.controller().create("pvc-1", &[]).await.unwrap();
    world.change(".berth", nfs_client::SetAttributes::mode(0o755)).await;
    let error = world.controller().delete(&made.id).await.unwrap_err();
    assert!(error.message().contains("is open to others"), "{}", error.message());
}
