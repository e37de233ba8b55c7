//! A grace period after a restart: changes and opens wait for its end instead of failing.

use std::time::{Duration, Instant};

use nfs_client::{Client, Config, NfsStatus};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_period_is_waited_out_within_the_budget_and_reported_beyond_it() {
    let options = GaneshaOptions { grace_seconds: Some(12), lease_seconds: 12, ..GaneshaOptions::default() };
    let mut ganesha = Ganesha::start(options).unwrap();
    let mut config = Config::new("127.0.0.1", ganesha.port());
    config.retry_budget = Duration::from_mins(1);
    let patient = Client::new(config);
    let mut config = Config::new("127.0.0.1", ganesha.port());
    config.retry_budget = Duration::from_secs(2);
    let hasty = Client::new(config);
    let export = patient.open_dir(&["export"]).await.unwrap();
    patient.create_file(&export, "before", 0o600, b"x").await.unwrap();

    ganesha.crash().unwrap();
    let started = Instant::now();
    let error = hasty.create_file(&export, "hasty", 0o600, b"x").await.unwrap_err();
    assert!(error.is_status(NfsStatus::Grace) && error.is_transient(), "{error}");
    patient.create_file(&export, "after", 0o600, b"x").await.unwrap();
    assert!(started.elapsed() > Duration::from_secs(2), "there was no grace period: {:?}", started.elapsed());
    assert_eq!(patient.read_file(&export, "after").await.unwrap(), b"x");
}
