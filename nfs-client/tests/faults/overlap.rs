//! Many requests are out at once on one connection, and none waits for the answer to another.

use std::time::Duration;

use nfs_client::OpCode;
use nfs_testkit::fake::{Effect, Fault};
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

use crate::{world, world_with};

#[tokio::test(start_paused = true)]
async fn others_are_answered_while_one_request_waits_for_its_reply() {
    for effect in [Effect::NoReply, Effect::Delay(Duration::from_secs(1))] {
        let (server, client, export) = world().await;
        server.make_symlink("/export/slow", "slow text");
        server.inject(Fault::on(OpCode::ReadLink, effect.clone()));
        let started = Instant::now();
        let slow = tokio::spawn({
            let (client, export) = (client.clone(), export.clone());
            async move { client.read_link(&export, "slow").await }
        });
        while server.pending_faults() > 0 {
            yield_now().await;
        }
        for number in 0..20 {
            client.create_dir(&export, format!("d{number}"), 0o700, None).await.unwrap();
        }
        assert_eq!(started.elapsed(), Duration::ZERO, "{effect:?}: nobody waited for anything");
        assert!(!slow.is_finished(), "{effect:?}");
        assert_eq!(server.connections(), 1, "{effect:?}");
        assert_eq!(slow.await.unwrap().unwrap(), b"slow text", "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_requests_are_out_as_there_are_slots() {
    let (server, client, export) = world_with(|config| config.max_slots = 16).await;
    let second = Duration::from_secs(1);
    server.inject(Fault::on(OpCode::Create, Effect::Delay(second)).always());
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..32 {
        let (client, export) = (client.clone(), export.clone());
        tasks.spawn(async move { client.create_symlink(&export, format!("l{number}"), "x").await });
    }
    while let Some(made) = tasks.join_next().await {
        made.unwrap().unwrap();
    }
    let took = started.elapsed();
    assert!(took >= 2 * second && took < 3 * second, "{took:?}: 32 replies of a second each, 16 at a time");
    assert_eq!((server.connections(), server.executed(OpCode::Create)), (1, 32));
}
