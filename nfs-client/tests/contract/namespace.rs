//! Directories, links and files.

use std::collections::BTreeSet;

use nfs_client::{Attributes, Client, Compound, Error, FileHandle, FileType, NfsStatus, Principal, SetAttributes};

use super::{World, export};

pub(crate) async fn a_directory_is_made_with_mode_and_owner_in_one_round_trip(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let before = client.round_trips();
    let made = client.create_dir(&export, "volume", 0o750, Some((1234, 5678))).await.unwrap();
    assert_eq!(client.round_trips() - before, 1);
    assert!(made.attributes.is_directory());
    assert_eq!(made.attributes.mode, Some(0o750));
    assert_eq!(made.attributes.owner, Some(Principal::Id(1234)));
    assert_eq!(made.attributes.group, Some(Principal::Id(5678)));
    let found = client.lookup(&export, "volume").await.unwrap();
    assert_eq!(found.handle, made.handle);
}

pub(crate) async fn setgid_survives_create(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let made = client.create_dir(&export, "plain", 0o2770, None).await.unwrap();
    assert_eq!(made.attributes.mode, Some(0o2770));
    let made = client.create_dir(&export, "owned", 0o2775, Some((1000, 1000))).await.unwrap();
    assert_eq!(made.attributes.mode, Some(0o2775), "a change of owner must not clear it");
}

pub(crate) async fn owners_are_sent_and_read_as_numbers(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let made = client.create_dir(&export, "volume", 0o700, None).await.unwrap();
    let wanted = SetAttributes { owner: Some(4_000_000_000), group: Some(77), mode: Some(0o711), size: None };
    let set = client.setattr(&made.handle, wanted).await.unwrap();
    assert_eq!(set.owner.and_then(|owner| owner.id()), Some(4_000_000_000));
    assert_eq!(set.group.and_then(|group| group.id()), Some(77));
    assert_eq!(client.getattr(&made.handle).await.unwrap().mode, Some(0o711));
}

pub(crate) async fn what_has_changed_is_not_removed(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let remove = async |name: &str, seen: &Attributes| {
        let request = Compound::new().put_handle(&export).lookup(name).verify(seen.state().unwrap());
        client.call(request.put_handle(&export).remove(name)).await
    };
    let seen = client.create_dir(&export, "touched", 0o000, None).await.unwrap();
    client.setattr(&seen.handle, SetAttributes::mode(0o750)).await.unwrap();
    let refused = remove("touched", &seen.attributes).await.unwrap_err();
    assert!(refused.is_status(NfsStatus::NotSame), "{refused}");
    let other = client.create_dir(&export, "other", 0o750, None).await.unwrap();
    let refused = remove("touched", &other.attributes).await.unwrap_err();
    assert!(refused.is_status(NfsStatus::NotSame), "{refused}");
    assert_eq!(client.lookup(&export, "touched").await.unwrap().handle, seen.handle);

    let now = client.getattr(&seen.handle).await.unwrap();
    remove("touched", &now).await.unwrap();
    assert!(client.lookup(&export, "touched").await.unwrap_err().is_status(NfsStatus::NoEnt));
}

pub(crate) async fn symlink_records_are_exclusive_and_read_back(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    // 1,023 bytes in all: the longest target on XFS, and on ext4 with blocks of 1 KiB.
    let text = format!("{{\"version\":1,\"name\":\"{}\"}}", "x".repeat(1000));
    client.create_symlink(&export, "record", &text).await.unwrap();
    assert_eq!(client.read_link(&export, "record").await.unwrap(), text.as_bytes());
    let again = client.create_symlink(&export, "record", "other").await.unwrap_err();
    assert!(again.is_status(NfsStatus::Exist), "{again}");
    assert_eq!(client.read_link(&export, "record").await.unwrap(), text.as_bytes());
    assert!(client.read_link(&export, "missing").await.unwrap_err().is_status(NfsStatus::NoEnt));
    client.create_dir(&export, "directory", 0o700, None).await.unwrap();
    assert!(client.read_link(&export, "directory").await.unwrap_err().status().is_some());
}

pub(crate) async fn a_small_file_is_made_exclusively_and_read_back(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let content: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).take(20_000).collect();
    let limits = client.limits().await.unwrap();
    let before = client.round_trips();
    let made = client.create_file(&export, "file", 0o640, &content).await.unwrap();
    let used = client.round_trips() - before;
    assert!(
        used <= 1 + 2 * 20_000 / u64::from(limits.max_request),
        "{used} round trips, one where a request may be long"
    );
    assert_eq!((made.attributes.size, made.attributes.mode), (Some(20_000), Some(0o640)));
    assert_eq!(client.read_file(&export, "file").await.unwrap(), content);
    let again = client.create_file(&export, "file", 0o640, b"other").await.unwrap_err();
    assert!(again.is_status(NfsStatus::Exist), "{again}");
    assert_eq!(client.read_file(&export, "file").await.unwrap(), content);
    client.create_file(&export, "empty", 0o600, b"").await.unwrap();
    assert_eq!(client.read_file(&export, "empty").await.unwrap(), b"");
    assert!(client.read_file(&export, "missing").await.unwrap_err().is_status(NfsStatus::NoEnt));
}

pub(crate) async fn a_text_is_made_exclusively_in_a_file_within_a_compound(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let text = "x".repeat(1041);
    let make = |name: &str| Compound::new().put_handle(&export).create_file(name, 0o600).fill(&text).get_attr();
    let before = client.round_trips();
    let replies = client.call_whole(make("one")).await.unwrap();
    assert_eq!(client.round_trips() - before, 1);
    client.call_whole(make("other")).await.unwrap();
    let seen = replies.attributes(0).unwrap();
    assert_eq!((seen.size, seen.mode, seen.file_type), (Some(1041), Some(0o600), Some(FileType::Regular)));
    let read = async |name: &str| client.call(Compound::new().put_handle(&export).lookup(name).read_start(1100)).await;
    assert_eq!(read("one").await.unwrap().data(0), Some(text.as_bytes()));
    let again = client.call_whole(make("one")).await.unwrap_err();
    assert!(again.is_status(NfsStatus::Exist), "{again}");
    client.create_symlink(&export, "link", "one").await.unwrap();
    assert!(client.call_whole(make("link")).await.unwrap_err().is_status(NfsStatus::Exist), "not through a link");
    assert!(read("link").await.unwrap_err().status().is_some(), "nor is it read through one");
    client.create_dir(&export, "directory", 0o700, None).await.unwrap();
    assert!(read("directory").await.unwrap_err().status().is_some());
    // What is replaced as a whole is at no moment anything else.
    let put = Compound::new().put_handle(&export).lookup("one").verify(seen.state().unwrap());
    client.call(put.put_handle(&export).save_handle().rename("other", "one")).await.unwrap();
    assert!(read("other").await.unwrap_err().is_status(NfsStatus::NoEnt));
    assert_eq!(read("one").await.unwrap().data(0), Some(text.as_bytes()));
}

pub(crate) async fn renames_replace_as_rename_2_does(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let from = client.create_dir(&export, "from", 0o700, None).await.unwrap().handle;
    let to = client.create_dir(&export, "to", 0o700, None).await.unwrap().handle;
    let moved = client.create_dir(&from, "a", 0o700, None).await.unwrap().handle;

    client.rename((&from, "a"), (&to, "b")).await.unwrap();
    assert_eq!(client.lookup(&to, "b").await.unwrap().handle, moved);
    assert!(client.lookup(&from, "a").await.unwrap_err().is_status(NfsStatus::NoEnt));

    client.create_dir(&to, "empty", 0o700, None).await.unwrap();
    client.rename((&to, "b"), (&to, "empty")).await.unwrap();
    assert_eq!(client.lookup(&to, "empty").await.unwrap().handle, moved, "an empty directory is replaced");

    client.create_dir(&moved, "child", 0o700, None).await.unwrap();
    client.create_dir(&from, "c", 0o700, None).await.unwrap();
    let refused = client.rename((&from, "c"), (&to, "empty")).await.unwrap_err();
    let status = refused.status().unwrap();
    assert!(matches!(status, NfsStatus::NotEmpty | NfsStatus::Exist), "a full directory stays: {refused}");

    client.create_symlink(&from, "old", "old").await.unwrap();
    client.create_symlink(&from, "new", "new").await.unwrap();
    client.rename((&from, "new"), (&from, "old")).await.unwrap();
    assert_eq!(client.read_link(&from, "old").await.unwrap(), b"new", "a record is replaced in one step");
}

/// Makes symbolic links, as many in one compound as the server takes.
async fn make_links(client: &Client, directory: &FileHandle, names: &[impl AsRef<[u8]>]) {
    let limits = client.limits().await.unwrap();
    // The server keeps the results, of 48 bytes for each link.
    let per_request = ((limits.max_operations - 3) / 2).min((limits.max_cached - 300) / 48);
    let per_request = usize::try_from(per_request).unwrap();
    for part in names.chunks(per_request) {
        let start = Compound::new().put_handle(directory).save_handle();
        // CREATE goes on in what it has made, so the directory is restored each time.
        let request = part.iter().fold(start, |request, name| request.create_symlink(name, "x").restore_handle());
        client.call(request).await.unwrap();
    }
}

pub(crate) async fn many_names_are_removed_in_few_round_trips(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let directory = client.create_dir(&export, "trash", 0o700, None).await.unwrap().handle;
    let names: Vec<String> = (0..150).map(|number| format!("entry-{number}")).collect();
    make_links(&client, &directory, &names).await;
    let full = client.create_dir(&directory, "full", 0o700, None).await.unwrap().handle;
    client.create_dir(&full, "child", 0o700, None).await.unwrap();

    let mut wanted = names.clone();
    wanted.insert(20, "never-was".into());
    wanted.insert(70, "full".into());
    let before = client.round_trips();
    let removed = client.remove_many(&directory, &wanted).await.unwrap();
    let used = client.round_trips() - before;
    let limits = client.limits().await.unwrap();
    let per_request = (limits.max_operations - 2).min(limits.max_cached / 40);
    assert!(used <= 7 + 152 / u64::from(per_request), "{used} round trips, with room for {per_request} names in each");
    assert_eq!(removed.gone, 151);
    assert_eq!(removed.kept, [(b"full".to_vec(), NfsStatus::NotEmpty)]);
    let left: Vec<_> = client.read_dir(&directory).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, [b"full".to_vec()]);
}

pub(crate) async fn ensure_dir_takes_what_is_there(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let made = client.ensure_dir(&export, "parent", 0o755).await.unwrap();
    let found = client.ensure_dir(&export, "parent", 0o700).await.unwrap();
    assert_eq!(found.handle, made.handle);
    assert_eq!(found.attributes.mode, Some(0o755), "an existing directory stays as it is");
    client.create_symlink(&export, "link", "parent").await.unwrap();
    assert!(matches!(client.ensure_dir(&export, "link", 0o700).await.unwrap_err(), Error::Symlink { .. }));
    client.create_file(&export, "file", 0o600, b"x").await.unwrap();
    assert!(matches!(client.ensure_dir(&export, "file", 0o700).await.unwrap_err(), Error::NotDirectory { .. }));
}

pub(crate) async fn a_listing_of_thousands_respects_the_reply_limit(world: &mut impl World) {
    let client = world.client();
    let export = export(world, &client).await;
    let expected: BTreeSet<Vec<u8>> =
        (0..3000).map(|number| format!("entry-with-a-longer-name-{number:05}").into_bytes()).collect();
    let names: Vec<_> = expected.iter().collect();
    make_links(&client, &export, &names).await;
    let before = client.round_trips();
    let entries = client.read_dir(&export).await.unwrap();
    assert!(client.round_trips() - before > 3, "one reply cannot hold them");
    assert!(entries.iter().all(|entry| entry.attributes.is_symlink()));
    assert_eq!(entries.len(), expected.len());
    let listed: BTreeSet<Vec<u8>> = entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, expected);
}
