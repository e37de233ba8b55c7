//! What the client refuses and reports.

use nfs_client::{Compound, Error, NfsStatus, OpCode, SetAttributes};

use super::{World, export};

pub(crate) async fn a_failed_compound_names_its_operation_and_keeps_the_results_before(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let request = Compound::new().put_handle(&export).get_handle().lookup("missing").get_handle();
    let error = client.call(request).await.unwrap_err();
    assert_eq!(error.failed_op(), Some((2, OpCode::Lookup)));
    assert!(error.is_status(NfsStatus::NoEnt));
    assert_eq!(error.completed().unwrap().len(), 2);
    assert_eq!(error.completed().unwrap().handle(0), Some(&export));
    let text = error.to_string();
    assert!(text.contains(client.server()) && text.contains("LOOKUP") && text.contains("NFS4ERR_NOENT"), "{text}");
    assert!(!error.is_transient());
}

pub(crate) async fn creating_what_exists_is_exist(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    client.create_dir(&export, "volume", 0o700, None).await.unwrap();
    let again = client.create_dir(&export, "volume", 0o755, None).await.unwrap_err();
    assert!(again.is_status(NfsStatus::Exist), "{again}");
    let request = Compound::new()
        .put_handle(&export)
        .create_symlink("record", "text")
        .put_handle(&export)
        .create_dir("volume", SetAttributes::mode(0o700));
    let error = client.call(request).await.unwrap_err();
    assert_eq!(error.failed_op(), Some((3, OpCode::Create)));
    assert_eq!(client.read_link(&export, "record").await.unwrap(), b"text", "what stands before has taken effect");
}

pub(crate) async fn lookup_refuses_symlinks_and_dot_dot(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    world.make_symlink("link", "/etc");
    assert!(matches!(client.lookup(&export, "link").await.unwrap_err(), Error::Symlink { path, .. } if path == "link"));
    assert!(client.entry(&export, "link").await.unwrap().attributes.is_symlink(), "unless it is asked for");
    for name in ["..", ".", "", "a/b", "a\0b"] {
        let before = client.round_trips();
        assert!(matches!(client.lookup(&export, name).await.unwrap_err(), Error::BadName { .. }), "{name:?}");
        assert!(matches!(client.remove(&export, name).await.unwrap_err(), Error::BadName { .. }), "{name:?}");
        assert_eq!(client.round_trips(), before, "nothing is sent");
    }
}

pub(crate) async fn walks_refuse_symlinks_and_files_on_the_way(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    client.create_dir(&export, "real", 0o755, None).await.unwrap();
    client.create_file(&export, "file", 0o644, b"x").await.unwrap();
    world.make_symlink("link", "real");
    let prefix = format!("/{}", world.root().join("/"));
    for below in [&["link"][..], &["link", "below"]] {
        let error = client.open_dir(&world.path(below)).await.unwrap_err();
        assert!(matches!(&error, Error::Symlink { path, .. } if *path == format!("{prefix}/link")), "{error}");
    }
    for below in [&["file"][..], &["file", "below"]] {
        let error = client.open_dir(&world.path(below)).await.unwrap_err();
        assert!(matches!(&error, Error::NotDirectory { path, .. } if *path == format!("{prefix}/file")), "{error}");
    }
    assert!(matches!(client.open_dir(&world.path(&[".."])).await.unwrap_err(), Error::BadName { .. }));
    let deep: Vec<String> = (0..100).map(|depth| format!("level-{depth}")).collect();
    let mut directory = export;
    for name in &deep {
        directory = client.create_dir(&directory, name, 0o700, None).await.unwrap().handle;
    }
    let path = world.root().into_iter().chain(deep).collect::<Vec<_>>();
    assert_eq!(client.open_dir(&path).await.unwrap(), directory, "a path longer than one compound");
}

pub(crate) async fn a_compound_beyond_the_limit_is_refused_unsent(world: &mut impl World) {
    let client = world.client();
    let limit = client.max_operations().await.unwrap();
    let before = client.round_trips();
    let request = (0..=limit).fold(Compound::new(), |request, _| request.put_root());
    let error = client.call(request).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "operations", .. }), "{error}");
    assert_eq!(client.round_trips(), before);
    let request = (0..limit).fold(Compound::new(), |request, _| request.put_root());
    assert_eq!(client.call(request).await.unwrap().len(), limit, "the limit itself is allowed");
}

pub(crate) async fn a_missing_export_is_noent(world: &mut impl World) {
    let client = world.client();
    let error = client.open_dir(&["nowhere", "at", "all"]).await.unwrap_err();
    assert_eq!(error.failed_op(), Some((1, OpCode::Lookup)));
    assert!(error.is_status(NfsStatus::NoEnt), "{error}");
}
