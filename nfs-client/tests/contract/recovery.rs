//! Restarts and stale handles.

use nfs_client::{NfsStatus, OpCode};

use super::{World, export};

pub(crate) async fn the_client_comes_back_after_a_crash(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    client.create_dir(&export, "before", 0o700, None).await.unwrap();
    for round in 0..3 {
        world.crash();
        assert!(client.lookup(&export, "before").await.unwrap().attributes.is_directory());
        client.create_dir(&export, format!("after-{round}"), 0o700, None).await.unwrap();
        client.create_file(&export, format!("file-{round}"), 0o600, b"x").await.unwrap();
    }
    assert_eq!(client.read_dir(&export).await.unwrap().len(), 7);
}

pub(crate) async fn a_stale_handle_is_reported_and_walked_again_by_its_path(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let directory = client.directory(&world.path(&["share"]));
    client.create_dir(&export, "share", 0o755, None).await.unwrap();
    directory.create_dir("one", 0o700, None).await.unwrap();

    let other = world.client();
    let old = directory.handle().await.unwrap();
    other.remove(&old, "one").await.unwrap();
    other.remove(&export, "share").await.unwrap();
    other.create_dir(&export, "share", 0o755, None).await.unwrap();

    let error = client.lookup(&old, "x").await.unwrap_err();
    assert_eq!(error.failed_op(), Some((0, OpCode::PutFh)), "{error}");
    assert!(error.status().is_some_and(NfsStatus::is_lost_handle), "{error}");
    assert!(error.is_transient());

    directory.create_dir("two", 0o700, None).await.unwrap();
    assert_ne!(directory.handle().await.unwrap(), old);
    assert!(other.lookup(&directory.handle().await.unwrap(), "two").await.is_ok());
}
