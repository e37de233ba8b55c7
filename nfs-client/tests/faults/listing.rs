//! Servers whose listings have no end.

use std::time::Duration;

use nfs_client::{Error, OpCode};
use nfs_testkit::fake::{Effect, Fault, Listing};
use tokio::time::Instant;

use crate::{world, world_with};

#[tokio::test(start_paused = true)]
async fn a_listing_that_goes_round_in_a_circle_is_the_servers_fault() {
    let (server, client, export) = world().await;
    server.set_options(|options| options.listing = Listing::Circling);
    for entries in 0..3 {
        let error = client.read_dir(&export).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }) && error.to_string().contains("READDIR"), "{entries}: {error}");
        server.make_dir(&format!("/export/{entries}"));
    }
    assert!(server.executed(OpCode::ReadDir) <= 2 * 3, "two pages tell");
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_takes_no_longer_than_a_call() {
    let budget = Duration::from_secs(5);
    let (server, client, export) = world_with(|config| config.retry_budget = budget).await;
    server.make_dir("/export/a");
    server.set_options(|options| options.listing = Listing::Endless);
    server.inject(Fault::on(OpCode::ReadDir, Effect::Delay(Duration::from_millis(100))).always());
    let started = Instant::now();
    let error = client.read_dir(&export).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() < budget + Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(server.executed(OpCode::ReadDir) > 40);
}
