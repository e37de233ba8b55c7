//! Shares without symbolic links, on which the driver's entries are small files.

use nfs_client::{NfsStatus, OpCode, SetAttributes};
use nfs_testkit::fake::{Effect, Fault};
use tonic::Code;
use volume::sealed::seal;
use volume::{PlaceKey, Record};

use crate::world::{Object, World};

fn hold(path: &str) -> String {
    format!(".berth/places/{}", PlaceKey::new(&path.parse().unwrap()))
}

/// Everything that the driver keeps there lies in files that nobody else may read, from the making of a volume to its end.
pub(crate) async fn records_and_holds_are_files(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[("subDir", "team/data"), ("onDelete", "retain")]).await.unwrap();
    assert!(!world.has_links());
    let text = |path: &str| match world.object(path) {
        Some(Object::Text(text)) => text,
        other => panic!("{path}: {other:?}"),
    };
    let record = Record::from_text(&text(".berth/records/pvc-1")).unwrap();
    assert_eq!((record.name.as_str(), record.path.as_str()), ("pvc-1", "team/data"));
    assert_eq!(text(&hold("team/data")), "pvc-1");
    assert_eq!(text(".berth/identity"), made.context["shareIdentity"]);
    assert_eq!(
        world.controller().create("pvc-2", &[]).await.unwrap().context["shareIdentity"],
        text(".berth/identity")
    );
    controller.delete(&made.id).await.unwrap();
    let [retained] = &world.folder("retained")[..] else { panic!("one record is kept") };
    assert_eq!(Record::from_text(&text(&format!(".berth/retained/{retained}"))).unwrap(), record);
    assert!(world.exists("team/data") && world.folder("places").is_empty());
}

/// A record that was begun counts for nothing, and is in nobody's way.
pub(crate) async fn a_record_that_was_begun_is_made_anew(world: &World) {
    world.controller().create("first", &[]).await.unwrap();
    let whole = seal(&Record::new("pvc-1".to_owned(), "pvc-1".parse().unwrap()).to_text().unwrap());
    let zeros = whole.replace("pvc-1", "\0\0\0\0\0");
    for begun in ["", "{", &whole[..whole.len() - 1], &zeros] {
        world.write(".berth/records/pvc-1", begun);
        let controller = world.controller();
        let refused = [
            controller.delete(&controller.id("pvc-1")).await.unwrap_err(),
            controller.create("pvc-1", &[]).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.code(), Code::Aborted, "{begun:?}: {}", error.message());
        }
        assert!(world.exists(".berth/records/pvc-1"), "{begun:?}: whoever has begun it may be about to write it");
        world.age(".berth/records/pvc-1");
        let made = controller.create("pvc-1", &[]).await.unwrap();
        assert!(matches!(world.object(".berth/records/pvc-1"), Some(Object::Text(_))), "{begun:?}");
        controller.delete(&made.id).await.unwrap();
        assert!(!world.exists("pvc-1") && !world.exists(".berth/records/pvc-1"), "{begun:?}");
    }
    // One that somebody has changed is no such thing.
    world.make_file("pvc-2/precious");
    world.write(".berth/records/pvc-2", &whole.replace("pvc-1", "other"));
    let error = world.controller().create("pvc-2", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    assert!(error.message().contains("/.berth/records/pvc-2"), "{}", error.message());
    assert!(world.exists(".berth/records/pvc-2"));
}

/// A delete takes a record that was begun and given up for nothing where nothing is in the volume's place. A disk that has lost
/// what was written is another matter.
pub(crate) async fn a_delete_of_a_record_that_was_begun_gives_no_data_up(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[]).await.unwrap();
    world.make_file("pvc-1/precious");
    world.remove(".berth/records/pvc-1").await;
    world.write(".berth/records/pvc-1", "");
    world.age(".berth/records/pvc-1");
    let error = controller.delete(&made.id).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
    assert!(error.message().contains("/.berth/records/pvc-1 does not count: it has no text"), "{}", error.message());
    assert!(world.exists("pvc-1/precious") && world.exists(".berth/records/pvc-1"));
    world.write(".berth/records/pvc-2", "");
    world.age(".berth/records/pvc-2");
    controller.delete(&controller.id("pvc-2")).await.unwrap();
    assert!(!world.exists(".berth/records/pvc-2"));
}

/// A text that is written while somebody reads, or of which the server tells a part, is not one that was begun.
pub(crate) async fn a_text_that_is_written_while_it_is_read_stays(world: &World) {
    let server = world.as_fake();
    let id = world.controller().create("first", &[]).await.unwrap().id;
    let path = format!("{}/.berth/identity", world.share());
    let whole = String::from_utf8(server.file(&path).unwrap()).unwrap();
    world.remove(".berth/identity").await;
    world.write(".berth/identity", "");
    server.inject(Fault::on(OpCode::Read, Effect::ThenWritten(path, whole.clone())));
    let made = world.controller().create("pvc-1", &[]).await.unwrap();
    assert!(whole.starts_with(&made.context["shareIdentity"]), "{whole:?} was written before the create ended");

    let controller = world.controller();
    controller.create("pvc-2", &[]).await.unwrap();
    server.set_options(|options| options.max_read = 10);
    let tree = world.tree();
    let error = controller.delete(&id).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted, "{}", error.message());
    assert!(error.message().contains("/.berth/records/first"), "{}", error.message());
    assert_eq!(world.tree(), tree);
}

/// A share of links whose identity is gone stays one, whatever its server answers to the next link, and one of files stays one of files.
pub(crate) async fn a_share_that_keeps_something_does_not_change_its_form(world: &World) {
    let server = world.as_fake();
    let (links, share) = (server.has_symlinks(), world.share());
    let id = world.controller().create("pvc-1", &[("onDelete", "retain")]).await.unwrap().id;
    for records in ["records", "retained"] {
        if world.exists(".berth/identity") {
            world.remove(".berth/identity").await;
        }
        server.set_options(|options| options.refuses_symlinks = links.then_some(NfsStatus::Perm));
        let made = world.controller().create(&format!("pvc-{records}"), &[]).await;
        assert_eq!(made.is_err(), links, "{records}");
        assert_eq!(server.exists(&format!("{share}/.berth/identity")), !links, "{records}");
        if !links {
            assert!(
                server.file(&format!("{share}/.berth/records/pvc-{records}")).is_some(),
                "no link beside the files"
            );
        }
        world.controller().delete(&id).await.unwrap();
    }
}

/// Nobody can tell whose a hold is that was begun, so it keeps everybody out until no attempt can be at work any more.
pub(crate) async fn a_hold_that_was_begun_is_waited_for_and_taken_over(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    for begun in ["", "pvc-1\n"] {
        world.write(&hold("team/data"), begun);
        let tree = world.tree();
        for path in ["team/data", "team/data/inner"] {
            let error = controller.create("pvc-1", &[("subDir", path)]).await.unwrap_err();
            assert_eq!(error.code(), Code::Aborted, "{}", error.message());
            assert!(error.message().contains("a volume that is being made"), "{}", error.message());
            assert_eq!(world.tree(), tree);
        }
        world.age(&hold("team/data"));
        let made = controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
        assert_eq!(world.object(&hold("team/data")), Some(Object::Text("pvc-2".to_owned())), "{begun:?}");
        controller.delete(&made.id).await.unwrap();
        assert!(world.folder("places").is_empty());
        world.until_reaped().await;
    }
}

/// No volume is said to be on a share of half an identity.
pub(crate) async fn an_identity_that_was_begun_is_made_anew(world: &World) {
    let before = world.controller().create("pvc-1", &[]).await.unwrap().context["shareIdentity"].clone();
    for begun in [String::new(), before.clone(), seal(&before)[..40].to_owned()] {
        world.remove(".berth/identity").await;
        world.write(".berth/identity", &begun);
        let now = world.controller().create("pvc-2", &[]).await.unwrap().context["shareIdentity"].clone();
        assert_ne!(now, before, "{begun:?}");
        assert_eq!(world.object(".berth/identity"), Some(Object::Text(now)), "{begun:?}");
    }
}

/// A file that is there and finds no room for its text is taken back, and closed.
pub(crate) async fn a_text_without_room_is_named_and_nothing_is_left(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    let tree = world.tree();
    let cases = [true, false].map(|refuses| [&[][..], &[("subDir", "place")]].map(|parameters| (refuses, parameters)));
    for (refuses, parameters) in cases.into_iter().flatten() {
        if refuses {
            server.inject(Fault::on(OpCode::Write, Effect::Status(NfsStatus::NoSpc)));
        } else {
            server.set_options(|options| options.max_write = 10);
        }
        let error = controller.create("pvc-1", parameters).await.unwrap_err();
        server.set_options(|options| options.max_write = usize::MAX);
        assert_eq!(error.code(), Code::ResourceExhausted, "{}", error.message());
        assert_eq!((world.tree(), server.opens()), (tree.clone(), 0), "{parameters:?}");
        controller.create("pvc-1", parameters).await.unwrap();
        controller.delete(&controller.id("pvc-1")).await.unwrap();
        world.until_reaped().await;
    }
}

/// Whoever has begun a record knows that nobody is about to write it.
pub(crate) async fn an_attempt_goes_on_from_its_own_record_at_once(world: &World) {
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    world.as_fake().inject(Fault::on(OpCode::Write, Effect::Status(NfsStatus::Stale)));
    controller.create("pvc-1", &[]).await.unwrap();
}

/// A note without its text names nothing, so nothing is put aside by it.
pub(crate) async fn nothing_is_put_aside_by_half_a_note(world: &World) {
    let (server, controller) = (world.as_fake(), world.controller());
    let id = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap().id;
    world.make_file("team/data/precious");
    server.set_options(|options| {
        (options.quota_trees, options.max_write) = (vec![format!("{}/team", world.share())], 10);
    });
    let tree = world.tree();
    let error = controller.delete(&id).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{}", error.message());
    assert_eq!(world.tree(), tree);
    server.set_options(|options| options.max_write = usize::MAX);
    controller.delete(&id).await.unwrap();
    world.until_reaped().await;
    assert_eq!(world.places(), ["team"]);
}

/// On files the server gives everybody what the driver's folders may not give.
pub(crate) async fn files_that_others_may_write_to_are_named(world: &World) {
    let controller = world.controller();
    for parameters in [&[][..], &[("subDir", "team/data")]] {
        let error = controller.create("pvc-1", parameters).await.unwrap_err();
        let message = error.message();
        assert_eq!(error.code(), Code::FailedPrecondition, "{message}");
        assert!(
            message
                .contains("/.berth/identity, where the driver keeps its records, was to have mode 0600 and has 0666"),
            "{message}"
        );
        assert!(world.places().is_empty() && !world.exists(".berth/identity"), "{:?}", world.tree());
    }
}

/// kubelet lets an `fsGroup` write to files, and what its members have written keeps the owner: unlike a link, a file does not tell.
pub(crate) async fn what_an_fs_group_could_have_written_does_not_count(world: &World) {
    let first = world.controller();
    let id = first.create("pvc-1", &[]).await.unwrap().id;
    first.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    world.give_to_fs_group(Some(2000)).await;
    let tree = world.tree();
    let next = world.controller();
    for error in [next.delete(&id).await.unwrap_err(), next.create("pvc-3", &[]).await.unwrap_err()] {
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        let message = error.message();
        assert!(message.contains("does not count: others than its owner may write to it"), "{message}");
        assert!(message.contains("set them to 0600"), "{message}");
    }
    assert_eq!(world.places().len(), tree.keys().filter(|path| !path.starts_with(".berth")).count());
    // Somebody has looked.
    for path in tree.iter().filter(|(_, object)| matches!(object, Object::Text(_))).map(|(path, _)| path) {
        world.as_fake().change(&format!("{}/{path}", world.share()), SetAttributes::mode(0o600));
    }
    let last = world.controller();
    last.delete(&id).await.unwrap();
    last.delete(&last.id("pvc-2")).await.unwrap();
    last.create("pvc-3", &[]).await.unwrap();
}

/// What a share began with it goes on with, whatever its server makes later.
pub(crate) async fn a_share_keeps_the_form_of_its_entries(world: &World) {
    let server = world.as_fake();
    let refuses = server.has_symlinks().then_some(NfsStatus::NotSupp);
    let id = world.controller().create("pvc-1", &[]).await.unwrap().id;
    server.set_options(|options| options.refuses_symlinks = refuses);
    let record = |name: &str| format!("{}/.berth/records/{name}", world.share());
    let next = world.controller();
    let made = next.create("pvc-2", &[]).await;
    if refuses.is_some() {
        made.unwrap_err();
        assert!(!server.exists(&record("pvc-2")), "no file beside the links");
    } else {
        assert!(made.is_ok() && server.file(&record("pvc-2")).is_some(), "no link beside the files");
    }
    next.delete(&id).await.unwrap();
}

/// On a server that takes eight operations in a compound the text of a record takes a request more than a link.
pub(crate) async fn eight_operations_cost_one_round_trip_more(world: &World) {
    use crate::split::round_trips;
    assert_eq!(round_trips(world, &[("uid", "1000"), ("mountPermissions", "2775")]).await, [3, 4]);
    assert_eq!(round_trips(world, &[("subDir", "team/${pv.metadata.name}"), ("uid", "1000")]).await, [6, 5]);
}
