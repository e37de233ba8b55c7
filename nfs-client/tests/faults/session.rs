//! Lost sessions: what was not executed is sent in a new one, what may have been executed is not.

use nfs_client::{Compound, Error, NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, FakeServer, Fault};
use std::time::Duration;
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use crate::{client, world};

#[tokio::test(start_paused = true)]
async fn every_status_that_ends_a_session_brings_a_new_one_and_one_execution() {
    for status in [
        NfsStatus::BadSession,
        NfsStatus::DeadSession,
        NfsStatus::SeqMisordered,
        NfsStatus::SeqFalseRetry,
        NfsStatus::BadSlot,
        NfsStatus::BadHighSlot,
    ] {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Sequence, Effect::Status(status)));
        client.create_dir(&export, "a", 0o700, None).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(server.executed(OpCode::Create), 1, "{status}");
        assert_eq!(server.executed(OpCode::CreateSession), 2, "{status}");
        assert_eq!(server.clients(), 1, "{status}");
    }
}

/// A server that grants sessions and knows none of them any more when they are used, as behind a balancer whose servers do
/// not know of each other: one lost session is replaced at once, the next ones at a measured pace.
#[tokio::test(start_paused = true)]
async fn sessions_that_are_lost_one_after_the_other_are_not_replaced_in_a_hurry() {
    let (server, client, export) = world().await;
    // Every second SEQUENCE is the first of a new session, which succeeds.
    for lost in 0..1000 {
        server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::BadSession)).skip(2 * lost));
    }
    let started = Instant::now();
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }) && error.to_string().contains("BADSESSION"), "{error}");
    assert!(started.elapsed() <= Duration::from_secs(31), "{:?}", started.elapsed());
    let sessions = server.executed(OpCode::CreateSession);
    assert!((10..100).contains(&sessions), "{sessions} sessions");
    server.forget_faults();
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_at_its_first_request_is_replaced_until_the_time_is_up() {
    for status in [NfsStatus::BadSession, NfsStatus::StaleClientId] {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Sequence, Effect::Status(status)).times(3));
        client.create_dir(&export, "a", 0o700, None).await.unwrap();
        assert_eq!(server.executed(OpCode::Create), 1, "{status}");

        let before = server.executed(OpCode::CreateSession);
        server.inject(Fault::on(OpCode::Sequence, Effect::Status(status)).always());
        let error = client.create_dir(&export, "b", 0o700, None).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let sessions = server.executed(OpCode::CreateSession) - before;
        assert!((10..100).contains(&sessions), "{sessions} sessions for {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_only_the_client_has_given_up_is_destroyed() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::SeqMisordered)));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::DestroySession), 1);
    assert_eq!(server.sessions(), 1);
}

/// A session that was made and whose first request failed: nobody has used it, and the server need not keep it.
#[tokio::test(start_paused = true)]
async fn a_session_that_fails_at_its_first_request_is_destroyed() {
    for effect in [
        Effect::Status(NfsStatus::Io),
        Effect::DropBeforeExecution,
        Effect::DropAfterExecution,
        Effect::NoReply,
        Effect::GarbageReply,
    ] {
        let server = FakeServer::new();
        server.inject(Fault::on(OpCode::ReclaimComplete, effect.clone()));
        let client = client(&server, |_| {});
        client.probe().await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(server.executed(OpCode::CreateSession), 2, "{effect:?}");
        assert_eq!((server.sessions(), server.clients()), (1, 1), "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_destroys_a_session_that_failed_at_its_first_request() {
    let server = FakeServer::new();
    server.inject(Fault::on(OpCode::ReclaimComplete, Effect::Status(NfsStatus::Access)));
    let client = client(&server, |_| {});
    let error = client.probe().await.unwrap_err();
    assert!(error.is_status(NfsStatus::Access), "{error}");
    assert_eq!(server.sessions(), 1);
    client.shutdown().await;
    assert_eq!((server.sessions(), server.clients()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stale_client_id_brings_a_new_one() {
    let (server, client, export) = world().await;
    server.restart();
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::ExchangeId), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_id_that_the_server_both_denies_and_confirms_is_replaced() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::BadSession)));
    server.inject(Fault::on(OpCode::CreateSession, Effect::Status(NfsStatus::StaleClientId)));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!((server.sessions(), server.clients()), (1, 1), "the client has come back as a restarted one");
    assert_eq!(server.executed(OpCode::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_replaced_before_anything_is_executed() {
    let (server, client, export) = world().await;
    server.expire_sessions();
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::Create), 1);
    assert_eq!(server.connections(), 1, "the connection was good");
}

#[tokio::test(start_paused = true)]
async fn an_unbound_connection_is_bound() {
    let (server, client, export) = world().await;
    server.set_options(|options| options.needs_binding = true);
    server.disconnect();
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::BindConnToSession), 1);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
    assert_eq!(server.executed(OpCode::Create), 1);
}

/// A server that binds the connection and says each time that it is not bound: it is asked at a measured pace.
#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_unbound_is_not_bound_in_a_hurry() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::ConnNotBoundToSession)).always());
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let asked = server.executed(OpCode::BindConnToSession);
    assert!((2..200).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_a_raw_change_is_an_unknown_outcome() {
    for (effect, executed) in [(Effect::RestartAfterExecution, 1), (Effect::RestartBeforeExecution, 0)] {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Create, effect.clone()));
        let request = Compound::new().put_handle(&export).create_dir("a", SetAttributes::mode(0o700));
        let error = client.call(request).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: false, .. }), "{effect:?}: {error}");
        assert_eq!(server.executed(OpCode::Create), executed, "{effect:?}: never repeated blindly");
        assert!(client.getattr(&export).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_after_a_restart_in_its_middle() {
    let (server, client, export) = world().await;
    server.make_symlink("/export/record", "text");
    server.inject(Fault::on(OpCode::ReadLink, Effect::RestartAfterExecution).times(2));
    assert_eq!(client.read_link(&export, "record").await.unwrap(), b"text");
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_create_session_makes_no_second_session() {
    let (server, client, export) = world().await;
    server.expire_sessions();
    server.inject(Fault::on(OpCode::CreateSession, Effect::DropAfterExecution));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!((server.sessions(), server.clients()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_session_waits_for_a_server_that_asks_to_wait() {
    let (server, client, export) = world().await;
    server.restart();
    server.inject(Fault::on(OpCode::ExchangeId, Effect::Status(NfsStatus::Delay)).times(2));
    server.inject(Fault::on(OpCode::CreateSession, Effect::Status(NfsStatus::Delay)).times(2));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reclaim_complete_is_sent_for_a_new_client_and_when_the_server_asks() {
    let (server, client, export) = world().await;
    assert_eq!(server.executed(OpCode::ReclaimComplete), 1);
    client.create_file(&export, "file", 0o600, b"x").await.unwrap();
    server.inject(Fault::on(OpCode::Sequence, Effect::ReclaimNeeded));
    client.getattr(&export).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.executed(OpCode::ReclaimComplete), 2);
}

/// A server that restarts again and keeps its sessions each time asks each time, in every reply until it is told.
#[tokio::test(start_paused = true)]
async fn each_time_the_server_asks_for_reclaim_complete_it_is_told_once() {
    let (server, client, export) = world().await;
    let second = Duration::from_secs(1);
    for restarts in 1..=3 {
        server.inject(Fault::on(OpCode::ReclaimComplete, Effect::Delay(second)));
        server.inject(Fault::on(OpCode::GetAttr, Effect::ReclaimNeeded).times(5));
        for _ in 0..5 {
            client.getattr(&export).await.unwrap();
        }
        sleep(2 * second).await;
        assert_eq!(server.executed(OpCode::ReclaimComplete), 1 + restarts);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_requests_in_flight() {
    let (server, client, export) = world().await;
    let slow = Duration::from_secs(3);
    server.inject(Fault::on(OpCode::Create, Effect::Delay(slow)));
    let started = Instant::now();
    let making = tokio::spawn({
        let (client, export) = (client.clone(), export.clone());
        async move { client.create_dir(&export, "a", 0o700, None).await }
    });
    while server.pending_faults() > 0 {
        yield_now().await;
    }
    client.shutdown().await;
    assert!(started.elapsed() >= slow, "{:?}", started.elapsed());
    making.await.unwrap().unwrap();
    assert_eq!((server.sessions(), server.clients()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::NoReply));
    let making = tokio::spawn({
        let (client, export) = (client.clone(), export.clone());
        async move { client.create_dir(&export, "a", 0o700, None).await }
    });
    while server.pending_faults() > 0 {
        yield_now().await;
    }
    let started = Instant::now();
    client.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(making.await.unwrap().is_err());
    assert_eq!((server.sessions(), server.clients()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_leaves_nothing_on_the_server() {
    let (server, client, _export) = world().await;
    client.shutdown().await;
    assert_eq!((server.sessions(), server.clients()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_outlives_many_leases_and_a_dropped_one_does_not() {
    let (server, client, _export) = world().await;
    sleep(Duration::from_secs(3605)).await;
    let used = client.round_trips();
    client.probe().await.unwrap();
    assert_eq!(client.round_trips() - used, 1, "the session is still the first");
    assert_eq!(server.executed(OpCode::CreateSession), 1);
    drop(client);
    let sequences = server.executed(OpCode::Sequence);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(server.executed(OpCode::Sequence), sequences, "nobody renews for a client that is gone");
}

#[tokio::test(start_paused = true)]
async fn two_clients_with_one_owner_would_steal_and_two_configs_do_not_share_one() {
    let (server, first, export) = world().await;
    let second = client(&server, |_| {});
    second.probe().await.unwrap();
    first.getattr(&export).await.unwrap();
    assert_eq!((server.sessions(), server.clients()), (2, 2));
}
