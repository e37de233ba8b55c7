//! Slots, leases, and several clients.

use std::{collections::BTreeSet, time::Duration};

use nfs_client::{Client, Error, NfsStatus};
use tokio::{task::JoinSet, time::sleep};

use super::{World, export};

/// More callers than there are slots. That their requests overlap, and on one connection, cannot be told from here: `faults/overlap.rs` shows
/// it on the fake.
pub(crate) async fn many_callers_at_once_get_their_own_answers(world: &mut impl World) {
    const CALLERS: u64 = 300;
    let client = world.client();
    let export = export(world, &client).await;
    let round_trips = |client: &Client| client.round_trips() - client.lease_renewals();
    let before = round_trips(&client);
    let mut tasks = JoinSet::new();
    for number in 0..CALLERS {
        let (client, export) = (client.clone(), export.clone());
        tasks.spawn(async move {
            let (name, text) = (format!("record-{number}"), format!("text of {number}"));
            client.create_symlink(&export, &name, &text).await.unwrap();
            let read = client.read_link(&export, &name).await.unwrap();
            assert_eq!(read, text.as_bytes(), "{name}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(round_trips(&client) - before, 2 * CALLERS, "nothing was sent twice, and no session was lost");
    let listed = client.read_dir(&export).await.unwrap();
    let listed: BTreeSet<String> =
        listed.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
    assert_eq!(listed, (0..CALLERS).map(|number| format!("record-{number}")).collect());
}

pub(crate) async fn two_clients_keep_their_own_sessions(world: &mut impl World) {
    let (first, second) = (world.client(), world.client());
    let (export, _) = (export(world, &first).await, export(world, &second).await);
    let (before_first, before_second) = (first.round_trips(), second.round_trips());
    for number in 0..20 {
        first.create_symlink(&export, format!("first-{number}"), "x").await.unwrap();
        second.create_symlink(&export, format!("second-{number}"), "x").await.unwrap();
    }
    // A stolen session would cost EXCHANGE_ID, CREATE_SESSION and a repetition each time.
    assert_eq!(first.round_trips() - before_first, 20);
    assert_eq!(second.round_trips() - before_second, 20);
}

pub(crate) async fn an_idle_client_renews_its_lease(world: &mut impl World) {
    let lease = world.set_lease(Duration::from_secs(3));
    let client = world.client();
    let export = export(world, &client).await;
    sleep(lease * 8 / 3).await;
    let renewals = client.lease_renewals();
    assert!(renewals >= 4, "{renewals} renewals in 8/3 of a lease of {lease:?}");
    let before = client.round_trips() - client.lease_renewals();
    client.create_dir(&export, "volume", 0o700, None).await.unwrap();
    assert_eq!(client.round_trips() - client.lease_renewals() - before, 1, "the session has survived");
}

pub(crate) async fn cancelled_callers_leave_every_slot_usable(world: &mut impl World) {
    let client = world.client_with(|config| config.max_slots = 4);
    let export = export(world, &client).await;
    for round in 0..40u64 {
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let (client, export) = (client.clone(), export.clone());
            tasks.spawn(async move { client.create_symlink(&export, format!("r{round}-{number}"), "x").await });
        }
        sleep(Duration::from_micros(100 * round)).await;
        tasks.shutdown().await;
    }
    // A slot that was freed too early would make the server call the sequence misordered, and cost a new session.
    let before = client.round_trips();
    for number in 0..20 {
        client.create_symlink(&export, format!("after-{number}"), "x").await.unwrap();
    }
    let used = client.round_trips() - before;
    assert!((20..=20 + 8).contains(&used), "{used} round trips: only stragglers of cancelled calls may add to 20");
}

pub(crate) async fn shutdown_leaves_a_client_that_answers_shut_down(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    client.shutdown().await;
    client.shutdown().await;
    let error = client.lookup(&export, "x").await.unwrap_err();
    assert!(matches!(error, Error::ShutDown { .. }), "{error}");
    let other = world.client();
    assert!(other.lookup(&export, "x").await.unwrap_err().is_status(NfsStatus::NoEnt));
}
