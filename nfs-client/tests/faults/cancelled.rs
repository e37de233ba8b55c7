//! Callers that go away.

use std::time::Duration;

use nfs_client::OpCode;
use nfs_testkit::fake::{Effect, Fault};
use tokio::time::{Instant, sleep, timeout};

use crate::world_with;

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_keeps_its_slot_until_the_reply_has_come() {
    let (server, client, export) = world_with(|config| config.max_slots = 1).await;
    server.inject(Fault::on(OpCode::Create, Effect::Delay(Duration::from_secs(5))));
    let started = Instant::now();
    let cancelled = timeout(Duration::from_secs(1), client.create_dir(&export, "a", 0o700, None)).await;
    assert!(cancelled.is_err());
    client.create_dir(&export, "b", 0o700, None).await.unwrap();
    assert!(
        started.elapsed() >= Duration::from_secs(5),
        "the only slot was free before its reply: {:?}",
        started.elapsed()
    );
    assert_eq!(server.executed(OpCode::Create), 2);
    assert_eq!(server.executed(OpCode::CreateSession), 1, "nothing was misordered");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_whose_request_was_not_sent_leaves_no_trace() {
    let (server, client, export) = world_with(|config| config.max_slots = 1).await;
    server.set_reachable(false);
    sleep(Duration::from_millis(500)).await;
    let cancelled = timeout(Duration::from_secs(2), client.create_dir(&export, "a", 0o700, None)).await;
    assert!(cancelled.is_err());
    server.set_reachable(true);
    sleep(Duration::from_secs(10)).await;
    client.create_dir(&export, "b", 0o700, None).await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["b"]);
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_that_waits_for_a_slot_does_not_take_it() {
    let (server, client, export) = world_with(|config| config.max_slots = 1).await;
    server.inject(Fault::on(OpCode::Create, Effect::Delay(Duration::from_secs(3))));
    let first = tokio::spawn({
        let (client, export) = (client.clone(), export.clone());
        async move { client.create_dir(&export, "a", 0o700, None).await }
    });
    sleep(Duration::from_secs(1)).await;
    let cancelled = timeout(Duration::from_secs(1), client.create_dir(&export, "b", 0o700, None)).await;
    assert!(cancelled.is_err());
    first.await.unwrap().unwrap();
    client.create_dir(&export, "c", 0o700, None).await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_cancelled_while_connecting_leaves_a_session_for_the_next() {
    let (server, client, export) = world_with(|_| {}).await;
    server.restart();
    server.inject(Fault::on(OpCode::CreateSession, Effect::Delay(Duration::from_secs(2))));
    let cancelled = timeout(Duration::from_secs(1), client.getattr(&export)).await;
    assert!(cancelled.is_err());
    client.getattr(&export).await.unwrap();
    assert_eq!((server.sessions(), server.clients()), (1, 1));
}
