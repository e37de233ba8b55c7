//! Compounds that speak for other users.

use nfs_client::{Client, Error, FileHandle, NfsStatus, SetAttributes};

use super::{World, export};

/// A user that owns things here, and one that owns none. No machine knows them by a name, which some servers would tell.
const OWNER: u32 = 101_000;
const OTHER: u32 = 102_000;

/// A directory of [`OWNER`]'s.
async fn directory(root: &Client, parent: &FileHandle, name: &str, mode: u32) -> FileHandle {
    root.create_dir(parent, name, mode, Some((OWNER, OWNER))).await.unwrap().handle
}

fn status<T: std::fmt::Debug>(result: Result<T, Error>) -> NfsStatus {
    result.unwrap_err().status().unwrap()
}

pub(crate) async fn a_compound_speaks_for_the_user_it_is_given(world: &mut impl World) {
    let root = world.client();
    let export = export(world, &root).await;
    let private = directory(&root, &export, "private", 0o700).await;
    let (owner, other) = (root.on_behalf_of(OWNER, OWNER), root.on_behalf_of(OTHER, OTHER));
    let before = root.round_trips();
    let made = owner.create_dir(&private, "made", 0o700, None).await.unwrap();
    assert_eq!(made.attributes.owner.and_then(|owner| owner.id()), Some(OWNER));
    assert_eq!(made.attributes.group.and_then(|group| group.id()), Some(OWNER));
    assert_eq!(status(other.lookup(&private, "made").await), NfsStatus::Access);
    assert_eq!(root.lookup(&private, "made").await.unwrap().handle, made.handle);
    assert_eq!(root.round_trips() - before, 3, "all in one session");
}

/// What the server in memory refuses, and how, is what real servers refuse.
pub(crate) async fn users_may_do_what_owners_and_modes_allow(world: &mut impl World) {
    let root = world.client();
    let export = export(world, &root).await;
    let (owner, other) = (root.on_behalf_of(OWNER, OWNER), root.on_behalf_of(OTHER, OTHER));

    let open = directory(&root, &export, "open", 0o755).await;
    owner.create_dir(&open, "entry", 0o755, None).await.unwrap();
    assert!(other.lookup(&open, "entry").await.is_ok());
    assert_eq!(other.read_dir(&open).await.unwrap().len(), 1);
    assert_eq!(status(other.lookup(&open, "missing").await), NfsStatus::NoEnt);
    assert_eq!(status(other.create_symlink(&open, "link", "x").await), NfsStatus::Access);
    assert_eq!(status(other.remove(&open, "entry").await), NfsStatus::Access);
    assert_eq!(status(other.rename((&open, "entry"), (&open, "new")).await), NfsStatus::Access);
    assert_eq!(status(other.setattr(&open, SetAttributes::mode(0o777)).await), NfsStatus::Perm);
    assert_eq!(status(owner.setattr(&open, SetAttributes::owner(Some(OTHER), None)).await), NfsStatus::Perm);

    let private = directory(&root, &export, "private", 0o700).await;
    assert_eq!(status(other.lookup(&private, "x").await), NfsStatus::Access);
    assert_eq!(status(other.read_dir(&private).await), NfsStatus::Access);
    assert_eq!(root.read_dir(&private).await.unwrap().len(), 0, "root may");
    other.getattr(&private).await.unwrap();

    let names_only = directory(&root, &export, "names-only", 0o744).await;
    owner.create_dir(&names_only, "entry", 0o755, None).await.unwrap();
    let listed = other.read_dir(&names_only).await.unwrap();
    assert_eq!((listed[0].name.as_slice(), listed[0].attributes.file_type), (&b"entry"[..], None));
    assert_eq!(status(other.lookup(&names_only, "entry").await), NfsStatus::Access);

    // Nothing changes in a directory that its owner has closed to himself, until he opens it.
    let shut = directory(&root, &export, "shut", 0o755).await;
    owner.create_dir(&shut, "entry", 0o755, None).await.unwrap();
    owner.setattr(&shut, SetAttributes::mode(0o555)).await.unwrap();
    assert_eq!(status(owner.remove(&shut, "entry").await), NfsStatus::Access);
    owner.setattr(&shut, SetAttributes::mode(0o755)).await.unwrap();
    owner.remove(&shut, "entry").await.unwrap();

    let sticky = directory(&root, &export, "sticky", 0o1777).await;
    let third = root.on_behalf_of(103_000, 103_000);
    for name in ["first", "second"] {
        third.create_dir(&sticky, name, 0o700, None).await.unwrap();
    }
    assert_eq!(status(other.remove(&sticky, "first").await), NfsStatus::Perm);
    assert_eq!(status(other.rename((&sticky, "first"), (&sticky, "new")).await), NfsStatus::Perm);
    third.remove(&sticky, "first").await.unwrap();
    owner.remove(&sticky, "second").await.unwrap();

    let (from, to) = (directory(&root, &export, "from", 0o777).await, directory(&root, &export, "to", 0o777).await);
    owner.create_dir(&from, "moved", 0o755, None).await.unwrap();
    other.rename((&from, "moved"), (&from, "renamed")).await.unwrap();
    assert_eq!(status(other.rename((&from, "renamed"), (&to, "moved")).await), NfsStatus::Access);
    owner.rename((&from, "renamed"), (&to, "moved")).await.unwrap();
}

pub(crate) async fn names_are_removed_until_one_is_refused(world: &mut impl World) {
    let root = world.client();
    let export = export(world, &root).await;
    let sticky = directory(&root, &export, "sticky", 0o1777).await;
    let (owner, other) = (root.on_behalf_of(OWNER, OWNER), root.on_behalf_of(OTHER, OTHER));
    other.create_symlink(&sticky, "a", "x").await.unwrap();
    owner.create_symlink(&sticky, "b", "x").await.unwrap();
    other.create_symlink(&sticky, "c", "x").await.unwrap();
    let names = ["a", "missing", "b", "c"];
    let removed = other.remove_until_refused(&sticky, &names).await.unwrap();
    assert_eq!((removed.gone, removed.kept), (2, vec![(b"b".to_vec(), NfsStatus::Perm)]));
    assert!(root.lookup(&sticky, "c").await.is_err_and(|error| matches!(error, Error::Symlink { .. })), "not tried");
    let removed = owner.remove_until_refused(&sticky, &names[2..]).await.unwrap();
    assert_eq!((removed.gone, removed.kept.len()), (2, 0));
}
