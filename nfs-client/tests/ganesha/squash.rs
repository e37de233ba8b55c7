//! An export that squashes root.

use nfs_client::{Client, Config, Error, NfsStatus, SetAttributes};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions, Squash};

/// A server that squashes, with an export that everybody may write to.
fn squashing(squash: Squash) -> (Ganesha, Client) {
    let ganesha = Ganesha::start(GaneshaOptions { squash, ..GaneshaOptions::default() }).unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(ganesha.export(), open_to_all).unwrap();
    let client = Client::new(Config::new("127.0.0.1", ganesha.port()));
    (ganesha, client)
}

#[tokio::test]
async fn a_chown_that_a_squashed_root_may_not_do_is_named_and_leaves_nothing_behind() {
    let (ganesha, client) = squashing(Squash::Root);
    let export = client.open_dir(&["export"]).await.unwrap();
    client.create_dir(&export, "mine", 0o700, None).await.unwrap();
    let error = client.create_dir(&export, "theirs", 0o700, Some((1000, 1000))).await.unwrap_err();
    assert!(matches!(&error, Error::OwnerRefused { owner, .. } if owner == "1000:1000"), "{error}");
    assert!(!ganesha.export().join("theirs").exists());
}

/// A directory that its owner has closed even to himself, on a server that takes root for nobody: who speaks for the owner may
/// list and remove it, by its handle. Where everybody is nobody, nobody may.
#[tokio::test]
async fn an_owner_may_do_what_a_squashed_root_may_not() {
    for squash in [Squash::Root, Squash::All] {
        let (ganesha, root) = squashing(squash);
        let private = ganesha.export().join("private");
        std::fs::create_dir(&private).unwrap();
        std::fs::write(private.join("file"), "x").unwrap();
        for path in [private.join("file"), private.clone()] {
            std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        }
        std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
        let export = root.open_dir(&["export"]).await.unwrap();
        let handle = root.lookup(&export, "private").await.unwrap().handle;
        assert!(root.read_dir(&handle).await.unwrap_err().is_status(NfsStatus::Access));
        let owner = root.on_behalf_of(1000, 1000);
        let opened = owner.setattr(&handle, SetAttributes::mode(0o700)).await;
        if squash == Squash::All {
            assert!(opened.unwrap_err().status().is_some_and(NfsStatus::is_refusal));
            continue;
        }
        opened.unwrap();
        assert_eq!(owner.read_dir(&handle).await.unwrap().len(), 1);
        owner.remove(&handle, "file").await.unwrap();
        root.remove(&export, "private").await.unwrap();
        assert!(!private.exists());
    }
}
