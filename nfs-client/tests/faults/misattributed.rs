//! Replies that belong to another request: never believed, whatever they hold.

use nfs_client::{Compound, Error, OpCode};
use nfs_testkit::fake::{Another, Effect, FakeServer, Fault};

use crate::{client, world};

const OTHERS: [Another; 3] = [Another::Session, Another::Slot, Another::Sequence];

#[tokio::test(start_paused = true)]
async fn the_reply_to_another_request_is_not_believed_and_the_own_one_is_asked_for_again() {
    for another in OTHERS {
        let (server, client, export) = world().await;
        server.inject(Fault::on(OpCode::Create, Effect::ReplyOfAnother(another)));
        client.create_dir(&export, "a", 0o700, None).await.unwrap_or_else(|error| panic!("{another:?}: {error}"));
        assert_eq!((server.executed(OpCode::Create), server.replayed()), (1, 1), "{another:?}");
        assert_eq!(server.executed(OpCode::CreateSession), 1, "{another:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_answers_other_requests_is_given_up_and_nothing_of_it_is_handed_on() {
    for another in OTHERS {
        let (server, client, export) = world().await;
        server.make_symlink("/export/record", "of somebody else");
        server.inject(Fault::on(OpCode::ReadLink, Effect::ReplyOfAnother(another)).always());
        // Its own reply was not kept, so it is sent as a new request until the time is up: before the next attempt, or in it.
        let error = client.read_link(&export, "record").await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. } | Error::Protocol { .. }), "{another:?}: {error}");
        server.inject(Fault::on(OpCode::Create, Effect::ReplyOfAnother(another)).always());
        let error = client.call(Compound::new().put_handle(&export).create_symlink("a", "x")).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: false, .. }), "{another:?}: {error}");
        assert_eq!(server.executed(OpCode::Create), 1, "{another:?}");
        assert!(client.getattr(&export).await.is_ok(), "{another:?}: other requests go on");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_reply_in_a_session_must_be_its_own_too() {
    for another in OTHERS {
        let server = FakeServer::new();
        server.inject(Fault::on(OpCode::ReclaimComplete, Effect::ReplyOfAnother(another)));
        let client = client(&server, |_| {});
        client.probe().await.unwrap();
        assert_eq!((server.sessions(), server.executed(OpCode::CreateSession)), (1, 2), "{another:?}");
    }
}
