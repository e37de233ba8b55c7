//! Lost, silent and damaged connections: the session lives, so every change happens exactly once.

use std::time::Duration;

use nfs_client::{Compound, Error, NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, FakeServer, Fault};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{client, world, world_with};

#[tokio::test(start_paused = true)]
async fn a_change_whose_reply_is_lost_is_sent_again_with_the_same_slot_and_sequence() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::DropAfterExecution));
    let request = Compound::new().put_handle(&export).create_dir("a", SetAttributes::mode(0o700)).get_handle();
    let replies = client.call(request).await.unwrap();
    assert!(replies.handle(0).is_some(), "the reply is the one of the first execution, not EXIST");
    assert_eq!((server.executed(OpCode::Create), server.replayed()), (1, 1));
    assert_eq!(server.executed(OpCode::CreateSession), 1, "the session has survived");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_never_arrived_is_executed_once() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::DropBeforeExecution).times(3));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!((server.executed(OpCode::Create), server.replayed()), (1, 0));
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn every_lost_reply_is_recovered_exactly() {
    for effect in [Effect::NoReply, Effect::TruncatedReply, Effect::GarbageReply, Effect::OversizedReply] {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Create, effect.clone()));
        client.create_dir(&export, "a", 0o700, None).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!((server.executed(OpCode::Create), server.replayed()), (1, 1), "{effect:?}");
        assert_eq!(server.executed(OpCode::CreateSession), 1, "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_too_late_is_replaced_by_its_repetition() {
    let (server, client, export) = world_with(|config| config.request_timeout = Duration::from_secs(2)).await;
    server.inject(Fault::on(OpCode::Create, Effect::Delay(Duration::from_secs(5))));
    let started = Instant::now();
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!((server.executed(OpCode::Create), server.replayed()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn reading_whose_reply_was_not_kept_is_sent_as_a_new_request() {
    let (server, client, export) = world().await;
    server.make_symlink("/export/record", "text");
    server.inject(Fault::on(OpCode::ReadLink, Effect::DropAfterExecution));
    assert_eq!(client.read_link(&export, "record").await.unwrap(), b"text");
    assert_eq!(server.executed(OpCode::ReadLink), 2);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_during_many_drops_are_each_executed_once() {
    let (server, client, export) = world().await;
    for round in 0..6 {
        server.inject(Fault::on(OpCode::Create, Effect::DropAfterExecution).skip(round * 7));
        server.inject(Fault::on(OpCode::Create, Effect::DropBeforeExecution).skip(round * 11));
    }
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let (client, export) = (client.clone(), export.clone());
        tasks.spawn(async move { client.create_dir(&export, format!("d{number}"), 0o700, None).await });
    }
    while let Some(made) = tasks.join_next().await {
        made.unwrap().unwrap();
    }
    assert_eq!(server.pending_faults(), 0);
    assert_eq!(server.executed(OpCode::Create), 200);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_sends_garbage_is_given_up_and_hangs_nobody() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::GarbageReply).always());
    let started = Instant::now();
    let error = client.call(Compound::new().put_handle(&export).create_symlink("a", "x")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    server.inject(Fault::on(OpCode::Lookup, Effect::GarbageReply).always());
    let error = client.lookup(&export, "a").await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { server, .. } if &**server == "fake:2049"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(client.getattr(&export).await.is_ok(), "other requests go on");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_reached_is_reported_at_once() {
    let server = FakeServer::new();
    server.set_reachable(false);
    let client = client(&server, |_| {});
    let started = Instant::now();
    let error = client.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("fake:2049") && error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(1));
    server.set_reachable(true);
    client.probe().await.unwrap();
}

/// A server that is starting: it hangs up on the first connections, is away again, and asks to wait.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_starting_at_the_first_contact_is_waited_for() {
    let server = FakeServer::new();
    server.make_dir("/export");
    server.hang_up_on(5);
    let client = client(&server, |_| {});
    client.open_dir(&["export"]).await.unwrap();
    assert_eq!(server.connections(), 6);

    let client = self::client(&server, |_| {});
    server.hang_up_on(1);
    server.inject(Fault::on(OpCode::ExchangeId, Effect::Status(NfsStatus::Delay)).times(20));
    let away = async {
        while server.connections() < 7 {
            sleep(Duration::from_millis(1)).await;
        }
        server.set_reachable(false);
        sleep(Duration::from_secs(2)).await;
        server.set_reachable(true);
    };
    let (found, ()) = tokio::join!(client.open_dir(&["export"]), away);
    found.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_hangs_up_is_reported_after_the_budget() {
    let server = FakeServer::new();
    server.hang_up_on(u64::MAX);
    let client = client(&server, |config| config.retry_budget = Duration::from_secs(10));
    let started = Instant::now();
    let error = client.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("the server closed the connection"), "{error}");
    assert!(started.elapsed() > Duration::from_secs(5) && started.elapsed() <= Duration::from_secs(10));
    assert!(server.connections() < 40, "{} connections: the pauses grow", server.connections());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_at_the_first_contact_is_reported_after_one_request() {
    let server = FakeServer::new();
    server.set_silent(true);
    let client = client(&server, |config| config.request_timeout = Duration::from_secs(3));
    let started = Instant::now();
    let error = client.probe().await.unwrap_err();
    assert!(error.to_string().contains("no reply within 3s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    server.set_silent(false);
    client.probe().await.unwrap();
}

/// Each would wait for its own attempt otherwise, one behind the other.
#[tokio::test(start_paused = true)]
async fn whoever_waits_while_another_tries_a_dead_server_shares_the_failure() {
    let server = FakeServer::new();
    server.set_silent(true);
    let client = client(&server, |config| config.request_timeout = Duration::from_secs(3));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        callers.spawn(async move { client.probe().await });
    }
    while let Some(failed) = callers.join_next().await {
        let error = failed.unwrap().unwrap_err();
        assert!(error.to_string().contains("no reply within 3s"), "{error}");
    }
    assert_eq!((server.connections(), started.elapsed().as_secs()), (1, 3));
    server.set_silent(false);
    client.probe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_within_the_budget_is_waited_out() {
    let (server, client, export) = world().await;
    server.set_reachable(false);
    let back = async {
        sleep(Duration::from_secs(20)).await;
        server.set_reachable(true);
    };
    let (made, ()) = tokio::join!(client.create_dir(&export, "a", 0o700, None), back);
    made.unwrap();
    assert_eq!(server.executed(OpCode::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_before_its_caller_gave_up_is_never_sent() {
    let (server, client, export) = world_with(|config| config.retry_budget = Duration::from_secs(5)).await;
    server.set_reachable(false);
    // The client hears of it: what is written into a connection that is just closing counts as sent.
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() <= Duration::from_secs(6));
    server.set_reachable(true);
    sleep(Duration::from_secs(20)).await;
    client.create_dir(&export, "b", 0o700, None).await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_out_when_its_caller_gave_up_is_unknown_and_never_sent_again() {
    let (server, client, export) = world_with(|config| {
        config.retry_budget = Duration::from_secs(5);
        config.max_slots = 1;
    })
    .await;
    server.inject(Fault::on(OpCode::Create, Effect::UnplugBeforeExecution));
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: true, .. }), "{error}");
    server.set_reachable(true);
    // The only slot is free again once an empty SEQUENCE has taken the place of the change.
    client.create_symlink(&export, "b", "x").await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["b"]);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slot_whose_request_was_executed_unheard_is_settled_too() {
    for strict in [true, false] {
        let (server, client, export) = world_with(|config| {
            config.retry_budget = Duration::from_secs(5);
            config.max_slots = 1;
        })
        .await;
        server.set_options(|options| options.detects_false_retries = strict);
        server.inject(Fault::on(OpCode::Create, Effect::UnplugAfterExecution));
        let error = client.call(Compound::new().put_handle(&export).create_symlink("a", "x")).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
        server.set_reachable(true);
        client.create_symlink(&export, "b", "x").await.unwrap();
        assert_eq!(server.executed(OpCode::Create), 2);
        assert_eq!(server.executed(OpCode::CreateSession), 1, "false retries detected: {strict}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_never_waits_longer_than_its_budget_for_a_session() {
    let (server, client, export) = world_with(|config| config.retry_budget = Duration::from_secs(3)).await;
    server.restart();
    server.inject(Fault::on(OpCode::ExchangeId, Effect::NoReply).always());
    let started = Instant::now();
    let error = client.getattr(&export).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() <= Duration::from_secs(4), "{:?}", started.elapsed());
}
