//! A slot that cannot be settled: nobody waits for its request any more, and the server never says what became of it.

use std::time::Duration;

use nfs_client::{Error, NfsStatus, OpCode};
use nfs_testkit::fake::{Effect, FakeServer, Fault, Options};
use tokio::time::sleep;

use crate::client;

const LEASE: Duration = Duration::from_secs(30);
const BUDGET: Duration = Duration::from_secs(10);

/// Sessions that were made when a change has had no answer, its caller has gone, the server has asked everybody to wait
/// for this long since, and the client is of use again.
async fn sessions_after(silence: Duration) -> u64 {
    let server = FakeServer::with_options(Options { lease: LEASE, ..Options::default() });
    server.make_dir("/export");
    let client = client(&server, |config| {
        config.max_slots = 1;
        config.request_timeout = Duration::from_secs(2);
        config.retry_budget = BUDGET;
    });
    let export = client.open_dir(&["export"]).await.unwrap();
    // The session must not end for another reason.
    server.set_options(|options| options.lease = Duration::from_hours(1));
    server.inject(Fault::on(OpCode::Create, Effect::NoReply));
    server.inject(Fault::on(OpCode::Sequence, Effect::Status(NfsStatus::Delay)).always());
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: true, .. }), "{error}");
    sleep(silence).await;
    server.forget_faults();
    client.create_dir(&export, "b", 0o700, None).await.unwrap();
    assert_eq!((server.sessions(), server.clients()), (1, 1));
    server.executed(OpCode::CreateSession)
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_settled_within_two_leases_ends_the_session() {
    // Attempts to settle it are at most a second apart.
    assert_eq!(sessions_after(Duration::from_secs(55)).await, 1, "it was settled at last");
    assert_eq!(sessions_after(Duration::from_secs(65)).await, 2, "it was given up");
}
