//! Compounds that speak for other users, when something goes wrong.

use std::time::Duration;

use nfs_client::{Compound, Error, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};
use tokio::time::sleep;

use crate::{world, world_with};

const USER: u32 = 1000;

/// A repetition of another user is a false retry: the server would neither execute it nor tell what the first has done.
#[tokio::test(start_paused = true)]
async fn a_change_whose_reply_was_lost_is_repeated_by_the_same_user() {
    let (server, root, export) = world().await;
    server.change("/export", SetAttributes::mode(0o777));
    let user = root.on_behalf_of(USER, USER);
    for lost in [Effect::DropAfterExecution, Effect::DropBeforeExecution, Effect::NoReply, Effect::TruncatedReply] {
        let (name, replayed) = (format!("{lost:?}"), server.replayed());
        server.inject(Fault::on(OpCode::Create, lost.clone()));
        user.create_symlink(&export, &name, "x").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(server.owner(&format!("/export/{name}")), Some((USER, USER)));
        assert_eq!(server.replayed() - replayed, u64::from(lost != Effect::DropBeforeExecution), "{name}");
    }
    assert_eq!((server.executed(OpCode::Create), server.executed_for(OpCode::Create, USER)), (4, 4));
    assert_eq!(server.executed(OpCode::CreateSession), 1, "the session has never been in doubt");
}

/// The empty SEQUENCE that settles the slot of a change whose caller has gone is the same user's too.
#[tokio::test(start_paused = true)]
async fn a_slot_is_settled_by_the_user_of_its_request() {
    let (server, root, export) = world_with(|config| config.max_slots = 1).await;
    server.set_options(|options| options.detects_false_retries = false);
    server.change("/export", SetAttributes::mode(0o777));
    server.inject(Fault::on(OpCode::Create, Effect::UnplugAfterExecution));
    let request = Compound::new().put_handle(&export).create_symlink("a", "x");
    let error = root.on_behalf_of(USER, USER).call(request).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: true, .. }), "{error}");
    server.set_reachable(true);
    // Longer than any pause between two attempts to connect.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(server.replayed(), 1, "another user would not have been told");
    root.getattr(&export).await.unwrap();
    assert_eq!(server.executed(OpCode::CreateSession), 1);
}

#[tokio::test(start_paused = true)]
async fn the_session_stays_with_the_user_of_the_configuration() {
    let (server, root, export) = world().await;
    server.change("/export", SetAttributes::mode(0o777));
    let user = root.on_behalf_of(USER, USER);
    // The next request meets a server without sessions, so a new one is made while the user waits.
    server.restart();
    user.create_symlink(&export, "a", "x").await.unwrap();
    server.inject(Fault::on(OpCode::Sequence, Effect::ReclaimNeeded));
    user.create_symlink(&export, "b", "x").await.unwrap();
    // Longer than a lease, which is renewed meanwhile.
    sleep(Duration::from_secs(200)).await;
    user.shutdown().await;
    let ops = [
        OpCode::ExchangeId,
        OpCode::CreateSession,
        OpCode::ReclaimComplete,
        OpCode::DestroySession,
        OpCode::DestroyClientId,
    ];
    for op in ops {
        assert!(server.executed(op) > 0, "{op}");
        assert_eq!(server.executed_for(op, 0), server.executed(op), "{op}");
    }
    assert_eq!(server.executed_for(OpCode::Create, USER), 2);
    let renewals = root.lease_renewals();
    assert!(renewals > 0 && server.executed_for(OpCode::Sequence, 0) >= renewals, "nor is the lease the user's");
}

/// A user's request that a restart has interrupted is sent again, or looked up, by that user.
#[tokio::test(start_paused = true)]
async fn what_is_sent_in_a_new_session_is_the_same_users() {
    for effect in [Effect::RestartBeforeExecution, Effect::RestartAfterExecution] {
        let (server, root, export) = world().await;
        server.make_dir("/export/private");
        server.change("/export/private", SetAttributes { mode: Some(0o700), ..SetAttributes::owner(Some(USER), None) });
        server.set_options(|options| options.squashes_root = true);
        let private = root.lookup(&export, "private").await.unwrap().handle;
        server.inject(Fault::on(OpCode::Create, effect.clone()));
        let made = root.on_behalf_of(USER, USER).create_symlink(&private, "a", "x").await;
        made.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(server.owner("/export/private/a"), Some((USER, USER)));
        assert_eq!(server.executed(OpCode::Create), 1, "{effect:?}");
    }
}
