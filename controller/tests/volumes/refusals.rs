//! Servers and shares that cannot be used.

use nfs_client::SetAttributes;
use tokio::net::TcpListener;
use tonic::Code;

use crate::world::{Object, World};

pub(crate) async fn a_share_that_does_not_exist_is_named(world: &World) {
    let controller = world.controller();
    let below = |path: &str| format!("{}{path}", world.share());
    for share in ["/nowhere".to_owned(), below("/nowhere"), below("/no/where")] {
        let mut request = controller.request("pvc-1", &[]);
        request.parameters.insert("share".to_owned(), share.clone());
        let error = controller::operations::Volumes::create(&controller.operations, request).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        assert!(message.starts_with(&format!("the share {}:{share} does not exist: ", world.server())), "{message}");
        assert!(message.contains("correct \"share\" in the StorageClass"), "{message}");
    }
    // A delete must not take a missing share for a missing volume.
    let id = controller.id("pvc-1").replace(&format!("{}#", world.share()), "/nowhere#");
    assert_eq!(controller.delete(&id).await.unwrap_err().code(), Code::FailedPrecondition);
}

pub(crate) async fn a_server_that_refuses_is_named(world: &World) {
    let controller = world.controller();
    let port = {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        unused.local_addr().unwrap().port()
    };
    let mut request = controller.request("pvc-1", &[]);
    request.parameters.insert("server".to_owned(), format!("127.0.0.1:{port}"));
    let error = controller::operations::Volumes::create(&controller.operations, request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let message = error.message();
    assert!(message.starts_with(&format!("cannot open the share 127.0.0.1:{port}:{}: ", world.share())), "{message}");
    assert!(message.contains("refused") && message.contains("check that the server runs"), "{message}");
}

pub(crate) async fn a_server_that_is_not_nfs_is_named(world: &World) {
    let controller = world.controller();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let web = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _gone = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mut request = controller.request("pvc-1", &[]);
    request.parameters.insert("server".to_owned(), address.to_string());
    let error = controller::operations::Volumes::create(&controller.operations, request).await.unwrap_err();
    web.abort();
    let message = error.message();
    assert_eq!(error.code(), Code::FailedPrecondition, "{message}");
    assert!(message.contains("is not an NFSv4.1 server"), "{message}");
    assert!(message.contains("check \"server\" in the StorageClass"), "{message}");
}

pub(crate) async fn records_that_others_could_write_are_not_trusted(world: &World) {
    world.make_dir("elsewhere");
    world.make_symlink(".berth", "elsewhere");
    let controller = world.controller();
    for error in [
        controller.create("pvc-1", &[]).await.unwrap_err(),
        controller.delete(&controller.id("pvc-1")).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::FailedPrecondition);
        let problem = "/.berth, where the driver keeps its records, is a symbolic link";
        assert!(error.message().contains(&format!("{}{problem}", world.share())), "{}", error.message());
    }
    world.remove(".berth").await;
    world.make_dir(".berth");
    world.open_to_others(".berth").await;
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("is open to others"), "{}", error.message());
}

/// Whoever may write to one of the driver's folders could forge records, and whoever may only search it could reach what is in
/// it: a group, or anybody.
pub(crate) async fn folders_that_anybody_else_may_enter_are_not_trusted(world: &World) {
    let made = world.controller().create("pvc-1", &[]).await.unwrap();
    for folder in [".berth", ".berth/records"] {
        for mode in [0o770, 0o710, 0o701, 0o707] {
            world.change(folder, SetAttributes::mode(mode)).await;
            let controller = world.controller();
            let errors =
                [controller.create("pvc-2", &[]).await.unwrap_err(), controller.delete(&made.id).await.unwrap_err()];
            for error in errors {
                let message = error.message();
                assert_eq!(error.code(), Code::FailedPrecondition, "{folder} {mode:o}: {message}");
                let problem = "where the driver keeps its records, is open to others";
                let begin = format!("{}/{folder}, {problem}", world.share());
                assert!(message.contains(&begin), "{mode:o}: {message}");
            }
            assert_eq!(world.places(), ["pvc-1"], "{folder} {mode:o}");
        }
        world.change(folder, SetAttributes::mode(0o700)).await;
    }
    world.controller().delete(&made.id).await.unwrap();
    assert_eq!(world.places(), Vec::<String>::new(), "nothing else was in the way");
}

/// Somebody who may write to the share makes the driver's folders before the driver does, or puts his own in their place.
pub(crate) async fn records_of_another_user_are_not_trusted(world: &World) {
    let to = |uid, mode| SetAttributes { owner: Some(uid), ..SetAttributes::mode(mode) };
    world.make_dir(".berth");
    world.make_dir("precious");
    world.change(".berth", to(1000, 0o700)).await;
    world.make_dir(".berth/records");
    let forged = volume::Record::new("pvc-1".to_owned(), "precious".parse().unwrap()).to_text().unwrap();
    world.make_entry(".berth/records/pvc-1", &forged);
    for (mode, problem) in [(0o700, "belongs to another user than the controller"), (0o755, "is open to others")] {
        world.change(".berth", to(1000, mode)).await;
        let controller = world.controller();
        let errors = [
            controller.delete(&controller.id("pvc-1")).await.unwrap_err(),
            controller.create("pvc-2", &[]).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), Code::FailedPrecondition);
            let message = error.message();
            let begin = format!("{}/.berth, where the driver keeps its records, {problem}; ", world.share());
            assert!(message.contains(&begin) && message.contains("chown -R root"), "{message}");
        }
    }
    assert_eq!(world.places(), ["precious"]);
    assert_eq!(world.folder("records"), ["pvc-1"]);

    // A directory that the driver made for others, renamed: it is root's, and what is in it is not.
    world.remove(".berth/records/pvc-1").await;
    world.remove(".berth/records").await;
    world.change(".berth", to(0, 0o700)).await;
    world.make_dir(".berth/records");
    world.make_entry(".berth/records/pvc-1", &forged);
    for (folder, other) in [("", to(0, 0o755)), ("/records", to(0, 0o777)), ("/records", to(1000, 0o700))] {
        world.change(".berth", to(0, 0o700)).await;
        world.change(&format!(".berth{folder}"), other).await;
        let controller = world.controller();
        let error = controller.delete(&controller.id("pvc-1")).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{folder} {other:?}: {}", error.message());
        let place = format!("{}/.berth{folder}, where the driver keeps its records, ", world.share());
        assert!(error.message().contains(&place), "{}", error.message());
    }
    assert_eq!(world.places(), ["precious"]);

    // Nothing can be forged where there is nothing; an export that was changed to take root for root leaves such folders.
    world.remove(".berth/records/pvc-1").await;
    world.make_file(".berth/precious");
    world.change(".berth", to(1000, 0o700)).await;
    assert_eq!(world.controller().create("pvc-2", &[]).await.unwrap_err().code(), Code::FailedPrecondition);
    assert!(world.exists(".berth/precious") && world.exists(".berth/records"));
    world.remove(".berth/precious").await;
    world.controller().create("pvc-2", &[]).await.unwrap();
    assert_eq!(world.object(".berth"), Some(Object::Directory { mode: 0o700, owner: (0, 0) }));
}

#[cfg(any(feature = "wire", feature = "kernel"))]
pub(crate) async fn a_share_that_may_not_be_written_to_is_named(world: &World) {
    let controller = world.controller();
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let message = error.message();
    let begin = format!("the controller may not write to the share {}:{}: ", world.server(), world.share());
    assert!(message.starts_with(&begin), "{message}");
    assert!(message.contains("export it read-write with no_root_squash"), "{message}");
    assert!(world.tree().is_empty());
}
