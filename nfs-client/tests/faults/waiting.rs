//! DELAY and GRACE: repeated as new requests, within bounds, and only while nothing has been changed.

use std::time::Duration;

use nfs_client::{Compound, NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};
use tokio::time::Instant;

use crate::{world, world_with};

#[tokio::test(start_paused = true)]
async fn delay_and_grace_are_repeated_as_new_requests() {
    for status in [NfsStatus::Delay, NfsStatus::Grace] {
        let (server, client, export) = world().await;
        let before = server.executed(OpCode::Sequence);
        server.inject(Fault::on(OpCode::Create, Effect::Status(status)).times(3));
        client.create_dir(&export, "a", 0o700, None).await.unwrap();
        assert_eq!(server.executed(OpCode::Create), 1, "{status}");
        assert_eq!(server.executed(OpCode::Sequence) - before, 4, "{status}: each attempt has a sequence of its own");
        assert_eq!(server.replayed(), 0, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn delay_of_sequence_is_repeated_with_the_same_sequence() {
    let (server, client, export) = world().await;
    let before = server.executed(OpCode::Sequence);
    server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::Delay)).times(3));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::Sequence) - before, 1);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_wait_for_ever_is_reported_after_the_budget() {
    let (server, client, export) = world_with(|config| config.retry_budget = Duration::from_secs(10)).await;
    server.inject(Fault::on(OpCode::Lookup, Effect::Status(NfsStatus::Grace)).always());
    let started = Instant::now();
    let error = client.lookup(&export, "a").await.unwrap_err();
    assert!(error.is_status(NfsStatus::Grace) && error.is_transient(), "{error}");
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(5) && waited <= Duration::from_secs(11), "{waited:?}");
    let requests = client.round_trips();
    assert!(requests < 40, "{requests} requests: the pauses grow");
}

#[tokio::test(start_paused = true)]
async fn delay_behind_a_change_is_left_to_the_caller_with_what_was_done() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Delay)));
    let request = Compound::new()
        .put_handle(&export)
        .create_dir("a", SetAttributes::mode(0o700))
        .get_handle()
        .set_attr(SetAttributes::mode(0o2700));
    let error = client.call(request).await.unwrap_err();
    assert!(error.is_status(NfsStatus::Delay) && error.is_transient());
    assert_eq!(error.failed_op(), Some((3, OpCode::SetAttr)));
    assert!(error.completed().unwrap().handle(0).is_some());
    assert_eq!(server.executed(OpCode::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_finished_when_the_server_delays_in_its_middle() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Delay)).times(2));
    let made = client.create_dir(&export, "a", 0o2770, Some((5, 6))).await.unwrap();
    assert_eq!(made.attributes.mode, Some(0o2770));
    assert_eq!((server.mode("/export/a"), server.owner("/export/a")), (Some(0o2770), Some((5, 6))));
    assert_eq!(server.executed(OpCode::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn remove_many_goes_on_where_it_was_delayed() {
    let (server, client, export) = world().await;
    for number in 0..10 {
        server.make_file(&format!("/export/f{number}"), "x");
    }
    server.inject(Fault::on(OpCode::Remove, Effect::Status(NfsStatus::Delay)).times(2));
    let names: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
    let removed = client.remove_many(&export, &names).await.unwrap();
    assert_eq!((removed.gone, removed.kept.len()), (10, 0));
    assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());
}
