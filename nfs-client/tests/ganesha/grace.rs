//! A grace period after a restart: changes and opens wait for its end instead of failing.

use std::time::{Duration, Instant};

use nfs_client::{Client, Config, NfsStatus};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};

const GRACE_SECONDS: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_period_is_waited_out_within_the_budget_and_reported_beyond_it() {
    let options = GaneshaOptions {
        grace_seconds: Some(GRACE_SECONDS),
        lease_seconds: GRACE_SECONDS,
        ..GaneshaOptions::default()
    };
    let mut ganesha = Ganesha::start(options).unwrap();
    let client = |budget| {
        let mut config = Config::new("127.0.0.1", ganesha.port());
        config.retry_budget = budget;
        Client::new(config)
    };
    let (patient, hasty) = (client(Duration::from_mins(1)), client(Duration::from_secs(2)));
    let export = patient.open_dir(&["export"]).await.unwrap();
    patient.create_file(&export, "before", 0o600, b"x").await.unwrap();
    // Of the clients that Ganesha knows one does not come back: it ends the period early for nobody but all of them.
    client(Duration::from_secs(10)).create_file(&export, "absent", 0o600, b"x").await.unwrap();

    // The period begins when the server is back, so it cannot end before it has passed since this moment.
    let crashed = Instant::now();
    ganesha.crash().unwrap();
    let waits = async {
        patient.create_file(&export, "after", 0o600, b"x").await.unwrap();
        crashed.elapsed()
    };
    let (waited, refused) = tokio::join!(waits, hasty.create_file(&export, "hasty", 0o600, b"x"));
    let error = refused.unwrap_err();
    assert!(error.is_status(NfsStatus::Grace) && error.is_transient(), "{error}");
    // Ganesha counts whole seconds.
    assert!(waited > Duration::from_secs(u64::from(GRACE_SECONDS) - 2), "the grace period was not over: {waited:?}");
    assert_eq!(patient.read_file(&export, "after").await.unwrap(), b"x");
}
