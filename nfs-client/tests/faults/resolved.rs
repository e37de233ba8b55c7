//! Changes of the path API that a restart interrupts: looked up, decided, and never done twice.

use std::{future::Future, time::Duration};

use nfs_client::{Error, NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, FakeServer, Fault, Options};
use tokio::time::sleep;

use crate::{client, world, world_with};

/// Both ways a restart can interrupt: before and after the request was executed.
const RESTARTS: [Effect; 2] = [Effect::RestartBeforeExecution, Effect::RestartAfterExecution];

#[tokio::test(start_paused = true)]
async fn an_interrupted_symlink_is_made_once() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Create, effect.clone()));
        client.create_symlink(&export, "record", "ours").await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(server.link("/export/record").as_deref(), Some("ours"));
        assert_eq!(server.executed(OpCode::Create), 1, "{effect:?}");
    }
}

/// Lets `meanwhile` happen while the server is away, then brings it back without its sessions.
async fn away<T>(server: &FakeServer, work: impl Future<Output = T>, meanwhile: impl FnOnce()) -> T {
    let back = async {
        sleep(Duration::from_secs(1)).await;
        meanwhile();
        server.restart();
        server.set_reachable(true);
    };
    tokio::join!(work, back).0
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_symlink_whose_name_somebody_else_took_is_exist() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::UnplugBeforeExecution));
    let work = client.create_symlink(&export, "record", "ours");
    let error = away(&server, work, || server.make_symlink("/export/record", "theirs")).await.unwrap_err();
    assert!(error.is_status(NfsStatus::Exist), "{error}");
    assert_eq!(server.link("/export/record").as_deref(), Some("theirs"));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_directory_is_made_if_it_is_not_there_and_unknown_if_it_is() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::RestartBeforeExecution));
    client.create_dir(&export, "a", 0o2770, Some((1, 2))).await.unwrap();
    assert_eq!((server.mode("/export/a"), server.owner("/export/a")), (Some(0o2770), Some((1, 2))));
    server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
    let error = client.create_dir(&export, "b", 0o700, None).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: false, .. }), "{error}");
    assert_eq!(server.executed(OpCode::Create), 2);
    server.inject(Fault::on(OpCode::Create, Effect::RestartAfterExecution));
    assert!(client.ensure_dir(&export, "c", 0o700).await.is_ok(), "it does not matter who made it");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_file_is_made_once_with_its_content() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Write, effect.clone()));
        client.create_file(&export, "file", 0o600, b"ours").await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(server.file("/export/file").as_deref(), Some(&b"ours"[..]));
        assert_eq!(server.executed(OpCode::Write), 1, "{effect:?}");
    }
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Open, Effect::UnplugBeforeExecution));
    let work = client.create_file(&export, "file", 0o600, b"ours");
    let error = away(&server, work, || server.make_file("/export/file", "theirs")).await.unwrap_err();
    assert!(error.is_status(NfsStatus::Exist), "{error}");
    assert_eq!(server.file("/export/file").as_deref(), Some(&b"theirs"[..]));
}

/// A session whose requests are too short for the file: it is written and read in parts.
#[tokio::test(start_paused = true)]
async fn an_interrupted_file_in_parts_is_made_once_with_its_content() {
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for part in 0..4 {
        for effect in RESTARTS {
            let server = FakeServer::with_options(Options { max_request: 4096, ..Options::default() });
            server.make_dir("/export");
            let client = client(&server, |_| {});
            let export = client.open_dir(&["export"]).await.unwrap();
            server.inject(Fault::on(OpCode::Write, effect.clone()).skip(part));
            let made = client.create_file(&export, "file", 0o600, &content).await;
            let made = made.unwrap_or_else(|error| panic!("{effect:?} at part {part}: {error}"));
            assert_eq!(made.attributes.size, Some(10_000), "{effect:?} at part {part}");
            assert_eq!(server.file("/export/file").unwrap(), content, "{effect:?} at part {part}");
            assert_eq!(client.read_file(&export, "file").await.unwrap(), content);
        }
    }
}

/// What was read before a change and after it is not the content of any file.
#[tokio::test(start_paused = true)]
async fn a_file_that_changes_while_it_is_read_in_parts_is_no_result() {
    let server = FakeServer::with_options(Options { max_response: 4096, ..Options::default() });
    server.make_file("/export/file", vec![b'a'; 10_000]);
    let (reader, writer) = (client(&server, |_| {}), client(&server, |_| {}));
    let export = reader.open_dir(&["export"]).await.unwrap();
    server.inject(Fault::on(OpCode::Read, Effect::Delay(Duration::from_secs(1))).skip(1));
    let file = writer.entry(&export, "file").await.unwrap().handle;
    let change = async {
        sleep(Duration::from_millis(500)).await;
        writer.setattr(&file, SetAttributes::mode(0o600)).await.unwrap();
    };
    let (read, ()) = tokio::join!(reader.read_file(&export, "file"), change);
    let error = read.unwrap_err();
    assert!(matches!(&error, Error::Protocol { detail, .. } if detail.contains("READ")), "{error}");
    assert_eq!(reader.read_file(&export, "file").await.unwrap(), vec![b'a'; 10_000]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_rename_happens_once() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        server.make_dir("/export/old/child");
        server.inject(Fault::on(OpCode::Rename, effect.clone()));
        client.rename((&export, "old"), (&export, "new")).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(server.list("/export").unwrap(), ["new"]);
        assert_eq!(server.executed(OpCode::Rename), 1, "{effect:?}");
    }
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Rename, Effect::RestartBeforeExecution));
    let error = client.rename((&export, "missing"), (&export, "new")).await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoEnt), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_remove_happens_once() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        server.make_file("/export/file", "x");
        server.inject(Fault::on(OpCode::Remove, effect.clone()));
        client.remove(&export, "file").await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert!(!server.exists("/export/file"));
        assert_eq!(server.executed(OpCode::Remove), 1, "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_removes_of_many_are_completed() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        let names: Vec<String> = (0..100).map(|number| format!("f{number}")).collect();
        for name in &names {
            server.make_file(&format!("/export/{name}"), "x");
        }
        server.inject(Fault::on(OpCode::Remove, effect).skip(1));
        let removed = client.remove_many(&export, &names).await.unwrap();
        assert_eq!((removed.gone, removed.kept.len()), (100, 0));
        assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_setattr_holds() {
    for effect in RESTARTS {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::SetAttr, effect));
        let set = client.setattr(&export, SetAttributes::mode(0o711)).await.unwrap();
        assert_eq!(set.mode, Some(0o711));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_may_still_happen_is_not_resolved_by_looking() {
    let (server, client, export) = world_with(|config| {
        config.retry_budget = Duration::from_secs(4);
        config.request_timeout = Duration::from_mins(1);
    })
    .await;
    server.inject(Fault::on(OpCode::Create, Effect::NoReply));
    let error = client.create_symlink(&export, "a", "x").await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: true, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn directories_are_walked_again_after_a_restart_with_new_handles() {
    let (server, client, export) = world().await;
    server.make_dir("/export/share");
    let share = client.directory(&["export", "share"]);
    share.create_dir("a", 0o700, None).await.unwrap();
    server.restart_with_new_handles();
    assert!(client.getattr(&export).await.unwrap_err().is_status(NfsStatus::Stale));
    share.create_dir("b", 0o700, None).await.unwrap();
    assert_eq!(server.list("/export/share").unwrap(), ["a", "b"]);
}
