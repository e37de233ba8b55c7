//! An export that squashes root.

use nfs_client::{Client, Config, Error};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions, Squash};

#[tokio::test]
async fn a_chown_that_a_squashed_root_may_not_do_is_named_and_leaves_nothing_behind() {
    let ganesha = Ganesha::start(GaneshaOptions { squash: Squash::Root, ..GaneshaOptions::default() }).unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(ganesha.export(), open_to_all).unwrap();
    let client = Client::new(Config::new("127.0.0.1", ganesha.port()));
    let export = client.open_dir(&["export"]).await.unwrap();
    client.create_dir(&export, "mine", 0o700, None).await.unwrap();
    let error = client.create_dir(&export, "theirs", 0o700, Some((1000, 1000))).await.unwrap_err();
    assert!(matches!(&error, Error::OwnerRefused { owner, .. } if owner == "1000:1000"), "{error}");
    assert!(!ganesha.export().join("theirs").exists());
}
