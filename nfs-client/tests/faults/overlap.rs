//! Many requests are out at once on one connection, and none waits for the answer to another.

use std::time::Duration;

use nfs_client::{Client, FileHandle, OpCode};
use nfs_testkit::fake::{Effect, FakeServer, Fault, Options};
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

use crate::{client, world};

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

/// A client that wants so many slots, and a server that answers every change after a second.
async fn slow_world(slots: u32, habit: impl FnOnce(&mut Options)) -> (FakeServer, Client, FileHandle) {
    let mut options = Options::default();
    habit(&mut options);
    let server = FakeServer::with_options(options);
    server.make_dir("/export");
    server.inject(Fault::on(OpCode::Create, Effect::Delay(Duration::from_secs(1))).always());
    let client = client(&server, |config| config.max_slots = slots);
    let export = client.open_dir(&["export"]).await.unwrap();
    (server, client, export)
}

/// How many seconds so many changes take that begin all at once.
async fn seconds_for(changes: u32, (server, client, export): &(FakeServer, Client, FileHandle)) -> u64 {
    let (started, before) = (Instant::now(), server.executed(OpCode::Create));
    let mut tasks = JoinSet::new();
    for number in 0..changes {
        let (client, export) = (client.clone(), export.clone());
        let name = format!("l{}", before + u64::from(number));
        tasks.spawn(async move { client.create_symlink(&export, name, "x").await });
    }
    while let Some(made) = tasks.join_next().await {
        made.unwrap().unwrap();
    }
    assert_eq!(server.executed(OpCode::Create) - before, u64::from(changes));
    assert_eq!((server.connections(), server.executed(OpCode::CreateSession)), (1, 1));
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn as_many_requests_are_out_as_there_are_slots() {
    assert_eq!(seconds_for(32, &slow_world(16, |_| {}).await).await, 2, "16 replies a second");
}

/// The server says so in its reply to anything.
#[tokio::test(start_paused = true)]
async fn a_server_that_wants_fewer_slots_to_be_used_sees_no_more_until_it_wants_them_again() {
    let world = slow_world(16, |_| {}).await;
    for (target, seconds) in [(4, 4), (1, 16), (16, 1)] {
        world.0.set_options(|options| options.target_slots = target);
        world.1.getattr(&world.2).await.unwrap();
        assert_eq!(seconds_for(16, &world).await, seconds, "{target} replies a second");
    }
}

/// The most that this client ever uses are 1024.
#[tokio::test(start_paused = true)]
async fn no_more_slots_are_used_than_were_asked_for_whatever_is_granted() {
    for (wanted, used) in [(4, 4), (u32::MAX, 1024)] {
        let world = slow_world(wanted, |options| {
            options.slots = 1_000_000;
            options.grants_unasked_slots = true;
        })
        .await;
        assert_eq!(world.1.limits().await.unwrap().max_slots, 1_000_000);
        assert_eq!(seconds_for(used, &world).await, 1, "{wanted} wanted");
        assert_eq!(seconds_for(used + 1, &world).await, 2, "{wanted} wanted");
    }
}
