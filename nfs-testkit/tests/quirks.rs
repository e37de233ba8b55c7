//! Each option of the server in memory does what it says, as a client sees it. Time is virtual.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::Duration;

use nfs_client::{Client, Compound, Config, Error, FileHandle, NfsStatus, OpCode, Principal, SetAttributes};
use nfs_testkit::fake::{Chmod, Effect, FakeServer, Fault, Options};
use tokio::time::{Instant, sleep};

/// A server with this habit, a client of it, and its export.
async fn world(quirk: impl FnOnce(&mut Options)) -> (FakeServer, Client, FileHandle) {
    let mut options = Options::default();
    quirk(&mut options);
    let server = FakeServer::with_options(options);
    server.make_dir("/export");
    let client = Client::with_connector(Config::new("fake", 2049), server.connector());
    let export = client.open_dir(&["export"]).await.unwrap();
    (server, client, export)
}

fn status<T: std::fmt::Debug>(result: Result<T, Error>) -> NfsStatus {
    result.unwrap_err().status().unwrap()
}

#[tokio::test(start_paused = true)]
async fn sessions_are_granted_what_the_options_allow() {
    let (_server, client, _) = world(|options| {
        options.slots = 3;
        options.max_operations = 8;
        options.max_request = 5000;
        options.max_response = 6000;
        options.max_cached = 700;
    })
    .await;
    let limits = client.limits().await.unwrap();
    assert_eq!((limits.max_slots, limits.max_operations), (3, 8));
    assert_eq!((limits.max_request, limits.max_response, limits.max_cached), (5000, 6000, 700));
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_reply_could_not_be_kept_is_not_executed() {
    let (server, client, export) = world(|options| options.max_cached = 300).await;
    let start = Compound::new().put_handle(&export).save_handle();
    let request =
        (0..10).fold(start, |request, number| request.create_symlink(format!("l{number}"), "x").restore_handle());
    let error = client.call(request).await.unwrap_err();
    assert!(error.is_status(NfsStatus::RepTooBigToCache), "{error}");
    let made = server.list("/export").unwrap().len();
    assert!((1..10).contains(&made), "{made} made");
    assert_eq!(error.completed().unwrap().len(), 2 + 2 * made, "each that was made was answered for");

    let (server, client, export) = world(|options| options.max_response = 2048).await;
    for number in 0..60 {
        server.make_file(&format!("/export/entry-{number}"), "x");
    }
    let request = Compound::new().put_handle(&export).read_dir(None, 4096);
    assert_eq!(status(client.call(request).await), NfsStatus::RepTooBig);
}

#[tokio::test(start_paused = true)]
async fn a_created_mode_is_the_servers_and_a_later_one_the_clients() {
    let (server, client, export) = world(|options| options.created_mode = Some(0o770)).await;
    let request = Compound::new().put_handle(&export).create_dir("a", SetAttributes::mode(0o700));
    client.call(request).await.unwrap();
    assert_eq!(server.mode("/export/a"), Some(0o770));
    client.create_file(&export, "file", 0o600, b"x").await.unwrap();
    assert_eq!(server.mode("/export/file"), Some(0o770));
    assert_eq!(client.create_dir(&export, "b", 0o700, None).await.unwrap().attributes.mode, Some(0o700));
}

#[tokio::test(start_paused = true)]
async fn a_mode_is_refused_or_ignored_and_an_owner_is_not() {
    for refusal in [NfsStatus::Perm, NfsStatus::Access, NfsStatus::NotSupp, NfsStatus::Inval] {
        let (server, client, export) = world(|options| options.chmod = Chmod::Refused(refusal)).await;
        assert_eq!(status(client.setattr(&export, SetAttributes::mode(0o711)).await), refusal);
        client.setattr(&export, SetAttributes::owner(Some(7), None)).await.unwrap();
        assert_eq!((server.mode("/export"), server.owner("/export")), (Some(0o755), Some((7, 0))));
    }

    let (server, client, export) = world(|options| options.chmod = Chmod::Ignored).await;
    let both = SetAttributes { owner: Some(7), ..SetAttributes::mode(0o711) };
    assert_eq!(client.setattr(&export, both).await.unwrap().mode, Some(0o755));
    assert_eq!(server.owner("/export"), Some((7, 0)));
}

#[tokio::test(start_paused = true)]
async fn symbolic_links_are_refused_and_nothing_else() {
    for refusal in [NfsStatus::Perm, NfsStatus::NotSupp, NfsStatus::BadType] {
        let (server, client, export) = world(|options| options.refuses_symlinks = Some(refusal)).await;
        assert_eq!(status(client.create_symlink(&export, "link", "x").await), refusal);
        client.create_dir(&export, "directory", 0o700, None).await.unwrap();
        client.create_file(&export, "file", 0o600, b"x").await.unwrap();
        assert_eq!(server.list("/export").unwrap(), ["directory", "file"]);
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_differ_in_case_are_one_and_keep_their_first_writing() {
    let (server, client, export) = world(|options| options.case_insensitive = true).await;
    let made = client.create_dir(&export, "Ärger", 0o700, None).await.unwrap();
    assert_eq!(client.lookup(&export, "äRGER").await.unwrap().handle, made.handle);
    assert_eq!(status(client.create_dir(&export, "ärger", 0o700, None).await), NfsStatus::Exist);
    assert_eq!(server.list("/export").unwrap(), ["Ärger"]);
    client.rename((&export, "ärger"), (&export, "ÄRGER")).await.unwrap();
    assert_eq!(client.read_dir(&export).await.unwrap()[0].name, "ÄRGER".as_bytes());
    client.create_dir(&export, "other", 0o700, None).await.unwrap();
    client.rename((&export, "OTHER"), (&export, "ärger")).await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["ärger"], "what it replaces goes by any writing");
    client.remove(&export, "äRger").await.unwrap();
    assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());

    let (server, client, export) = world(|_| {}).await;
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    client.create_dir(&export, "A", 0o700, None).await.unwrap();
    assert_eq!(server.list("/export").unwrap(), ["A", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_squashed_caller_is_nobody() {
    for (all, user) in [(false, 1000), (true, 65534)] {
        let (server, root, export) = world(|options| {
            options.squashes_root = true;
            options.squashes_all = all;
        })
        .await;
        assert_eq!(status(root.create_symlink(&export, "root", "x").await), NfsStatus::Access);
        server.change("/export", SetAttributes::mode(0o777));
        root.create_symlink(&export, "root", "x").await.unwrap();
        root.on_behalf_of(1000, 0).create_symlink(&export, "user", "x").await.unwrap();
        assert_eq!(server.owner("/export/root"), Some((65534, 65534)));
        assert_eq!(server.owner("/export/user"), Some((user, 65534)), "root's group is nobody's too");
    }
}

#[tokio::test(start_paused = true)]
async fn owners_are_told_by_name() {
    let (_server, client, export) = world(|options| options.names_owners = true).await;
    client.setattr(&export, SetAttributes::owner(Some(7), None)).await.unwrap();
    let found = client.getattr(&export).await.unwrap();
    let named = |name: &str| Some(Principal::Name(name.to_owned()));
    assert_eq!((found.owner, found.group), (named("user-7"), named("user-0")));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_user_is_nobody() {
    let (server, _, _) = world(|_| {}).await;
    server.change("/export", SetAttributes::mode(0o777));
    let mut config = Config::new("fake", 2049);
    config.credential = nfs_client::Credential::None;
    let client = Client::with_connector(config, server.connector());
    let export = client.open_dir(&["export"]).await.unwrap();
    client.create_symlink(&export, "link", "x").await.unwrap();
    assert_eq!(server.owner("/export/link"), Some((65534, 65534)));
    assert_eq!(server.executed_for(OpCode::Create, 0), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renamed_from_one_quota_tree_to_another() {
    let (server, client, export) =
        world(|options| options.quota_trees = vec!["/export/a".into(), "/export/a/b".into()]).await;
    server.make_dir("/export/a/b");
    server.make_dir("/export/plain");
    for path in ["/export/file", "/export/a/file", "/export/a/b/file"] {
        server.make_file(path, "x");
    }
    let a = client.lookup(&export, "a").await.unwrap().handle;
    let b = client.lookup(&a, "b").await.unwrap().handle;
    let plain = client.lookup(&export, "plain").await.unwrap().handle;
    for (from, to) in [(&export, &a), (&a, &export), (&a, &b), (&b, &a), (&export, &b)] {
        assert_eq!(status(client.rename((from, "file"), (to, "new")).await), NfsStatus::XDev);
    }
    assert_eq!(status(client.rename((&export, "a"), (&plain, "a")).await), NfsStatus::XDev);
    client.rename((&export, "file"), (&plain, "file")).await.unwrap();
    client.rename((&b, "file"), (&b, "new")).await.unwrap();
    assert!(server.exists("/export/plain/file") && server.exists("/export/a/b/new"));
}

#[tokio::test(start_paused = true)]
async fn a_removed_directory_is_held_or_stale() {
    for holds in [true, false] {
        let (server, client, export) = world(|options| options.holds_removed_directories = holds).await;
        let removed = client.create_dir(&export, "a", 0o700, None).await.unwrap().handle;
        client.remove(&export, "a").await.unwrap();
        let looked = client.getattr(&removed).await;
        let made = status(client.create_symlink(&removed, "record", "x").await);
        if holds {
            assert!(looked.unwrap().is_directory());
            assert_eq!(client.read_dir(&removed).await.unwrap().len(), 0);
            assert_eq!(made, NfsStatus::NoEnt);
        } else {
            assert_eq!((status(looked), made), (NfsStatus::Stale, NfsStatus::Stale));
        }
        assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn set_gid_is_dropped_or_kept_by_create_and_set_later() {
    for (drops, mode) in [(true, 0o770), (false, 0o2770)] {
        let (server, client, export) = world(|options| options.drops_setgid = drops).await;
        let request = Compound::new().put_handle(&export).create_dir("a", SetAttributes::mode(0o2770));
        client.call(request).await.unwrap();
        assert_eq!(server.mode("/export/a"), Some(mode), "dropped: {drops}");
        let made = client.lookup(&export, "a").await.unwrap().handle;
        client.setattr(&made, SetAttributes::mode(0o2770)).await.unwrap();
        assert_eq!(server.mode("/export/a"), Some(0o2770), "dropped: {drops}");
    }
}

/// The client sends an empty SEQUENCE in place of a change whose caller has gone: another request under the same number.
#[tokio::test(start_paused = true)]
async fn a_false_retry_is_detected_or_gets_the_reply_that_was_kept() {
    for (detects, replayed) in [(true, 0), (false, 1)] {
        let (server, client, export) = world(|options| options.detects_false_retries = detects).await;
        server.inject(Fault::on(OpCode::Create, Effect::UnplugAfterExecution));
        let error = client.call(Compound::new().put_handle(&export).create_symlink("a", "x")).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { may_still_happen: true, .. }), "{error}");
        server.set_reachable(true);
        // Longer than any pause between two attempts to connect.
        sleep(Duration::from_secs(5)).await;
        assert_eq!((server.replayed(), server.sessions()), (replayed, 1), "detected: {detects}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_lives_as_long_as_its_lease_without_a_sign_of_life() {
    for (outage, clients) in [(Duration::from_secs(50), 1), (Duration::from_secs(61), 2)] {
        let (server, client, export) = world(|options| options.lease = Duration::from_mins(1)).await;
        server.set_reachable(false);
        sleep(outage).await;
        server.set_reachable(true);
        client.getattr(&export).await.unwrap();
        assert_eq!(server.executed(OpCode::ExchangeId), clients, "after {outage:?}");
        assert_eq!((server.sessions(), server.clients()), (1, 1), "after {outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_mounted_below_is_another_file_system() {
    let (server, client, export) = world(|_| {}).await;
    for path in ["/export/file", "/export/other/file"] {
        server.make_file(path, "x");
    }
    server.mount_at("/export/other");
    let fsid = async |handle: &FileHandle| client.getattr(handle).await.unwrap().fsid.unwrap();
    let other = client.lookup(&export, "other").await.unwrap().handle;
    let made = client.create_dir(&other, "made", 0o755, None).await.unwrap().handle;
    let there = client.lookup(&other, "file").await.unwrap().handle;
    assert_ne!(fsid(&other).await, fsid(&export).await);
    assert_eq!((fsid(&made).await, fsid(&there).await), (fsid(&other).await, fsid(&other).await));
    for (from, to) in [(&export, &other), (&other, &export)] {
        assert_eq!(status(client.rename((from, "file"), (to, "new")).await), NfsStatus::XDev);
    }
    client.rename((&other, "file"), (&made, "new")).await.unwrap();
    assert!(server.exists("/export/other/made/new"));
}

#[tokio::test(start_paused = true)]
async fn handles_of_one_directory_expire_with_those_below_it() {
    let (server, client, export) = world(|_| {}).await;
    server.make_dir("/export/a/below");
    let a = client.lookup(&export, "a").await.unwrap().handle;
    let below = client.lookup(&a, "below").await.unwrap().handle;
    server.expire_handles("/export/a");
    for handle in [&a, &below] {
        assert_eq!(status(client.getattr(handle).await), NfsStatus::Stale);
    }
    client.getattr(&export).await.unwrap();
    let again = client.lookup(&export, "a").await.unwrap().handle;
    assert_ne!(again, a);
    client.getattr(&again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_goes_on_with_what_has_reached_it() {
    let (server, client, export) = world(|_| {}).await;
    server.set_silent(true);
    let (started, slow) = (Instant::now(), Duration::from_secs(7));
    let goes_on = async {
        sleep(slow).await;
        assert!(!server.exists("/export/a"));
        server.set_silent(false);
    };
    let (made, ()) = tokio::join!(client.create_dir(&export, "a", 0o700, None), goes_on);
    made.unwrap();
    assert_eq!((started.elapsed(), server.connections(), server.replayed()), (slow, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ignored_request_is_not_executed() {
    let (server, client, export) = world(|_| {}).await;
    server.inject(Fault::on(OpCode::Create, Effect::Ignored));
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(
        (server.executed(OpCode::Create), server.replayed()),
        (1, 0),
        "its repetition was the first to be executed"
    );
}

/// As RFC 8881 §8.4.2.1 and real servers have it: OPEN, REMOVE and RENAME wait; making and reading directories does not.
#[tokio::test(start_paused = true)]
async fn a_restarted_server_asks_to_wait_for_its_grace_period() {
    let grace = Duration::from_secs(15);
    let (server, client, export) = world(|options| options.grace = grace).await;
    client.create_dir(&export, "before", 0o700, None).await.unwrap();
    server.restart();
    let started = Instant::now();
    client.create_dir(&export, "at-once", 0o700, None).await.unwrap();
    client.read_dir(&export).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    let (made, removed, renamed) = tokio::join!(
        client.create_file(&export, "file", 0o600, b"x"),
        client.remove(&export, "before"),
        client.rename((&export, "at-once"), (&export, "renamed")),
    );
    made.unwrap();
    removed.unwrap();
    renamed.unwrap();
    assert!(
        started.elapsed() >= grace && started.elapsed() < grace + Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(server.list("/export").unwrap(), ["file", "renamed"]);
}

#[test]
#[should_panic(expected = "Status(NoSpc) on CREATE, 2 times more, after 1 more requests with it")]
fn a_fault_that_has_not_happened_fails_the_test() {
    let server = FakeServer::new();
    server.clone().inject(Fault::on(OpCode::Create, Effect::Status(NfsStatus::NoSpc)).skip(1).times(2));
    assert_eq!(server.pending_faults(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_happens_always_must_happen_once() {
    let (server, client, export) = world(|_| {}).await;
    server.inject(Fault::on(OpCode::Create, Effect::Status(NfsStatus::NoSpc)).always());
    assert_eq!(server.pending_faults(), 1);
    for _ in 0..3 {
        assert_eq!(status(client.create_dir(&export, "a", 0o700, None).await), NfsStatus::NoSpc);
        assert_eq!(server.pending_faults(), 0);
    }
    assert_eq!(server.forget_faults(), 0);
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
}
