//! Shares that lie in one another: no volume may come to lie inside another by way of a second share.

use controller::operations::{OperationError, Volumes};
use tonic::Code;

use crate::world::{Controller, World};

/// Makes a volume on the share that is this directory of the world's.
async fn create_on(
    controller: &Controller,
    below: &str,
    name: &str,
    parameters: &[(&str, &str)],
) -> Result<(), OperationError> {
    let mut request = controller.request(name, parameters);
    request.parameters.insert("share".to_owned(), format!("{}/{below}", controller.share));
    controller.operations.create(request).await.map(drop)
}

pub(crate) async fn a_share_inside_a_volume_is_refused(world: &World) {
    let controller = world.controller();
    controller.create("pvc-1", &[]).await.unwrap();
    controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
    for inside in ["pvc-1/a/b", "team/data/a/b"] {
        world.make_dir(inside);
    }
    let tree = world.tree();
    for (volume, shares) in
        [("pvc-1", ["pvc-1", "pvc-1/a", "pvc-1/a/b"]), ("team/data", ["team/data", "team/data/a", "team/data/a/b"])]
    {
        for share in shares {
            for parameters in [&[][..], &[("subDir", "x/y")]] {
                let error = create_on(&controller, share, "pvc-3", parameters).await.unwrap_err();
                let message = error.message();
                assert_eq!(error.code(), Code::FailedPrecondition, "{message}");
                let at = |path: &str| format!("{}:{}/{path}", world.server(), world.share());
                let begin = format!("the share {} lies inside the volume in {};", at(share), at(volume));
                assert!(message.starts_with(&begin) && message.contains("lies in no volume"), "{message}");
                assert_eq!(world.tree(), tree, "{share}");
            }
        }
    }
    // Beside volumes there may be another share, and around them.
    world.make_dir("other");
    create_on(&controller, "other", "pvc-3", &[]).await.unwrap();
    create_on(&controller, "team", "pvc-3", &[]).await.unwrap();
    // Once the volume has gone, so has the reason.
    controller.delete(&controller.id("pvc-1")).await.unwrap();
    world.until_reaped().await;
    world.make_dir("pvc-1");
    create_on(&controller, "pvc-1", "pvc-3", &[]).await.unwrap();
}

/// A share may be made around volumes of another one; its own do not come to lie in them.
pub(crate) async fn a_place_inside_a_volume_of_a_share_around_is_refused(world: &World) {
    let controller = world.controller();
    let made = controller.create("pvc-1", &[("subDir", "team/data")]).await.unwrap();
    world.make_dir("team/data/a");
    // The directory is known to the outer share, until the inner one is there.
    create_on(&controller, "team", "pvc-2", &[("subDir", "group/data")]).await.unwrap();
    for controller in [&controller, &world.controller()] {
        for path in ["data/x", "data/a/x"] {
            let error = create_on(controller, "team", "pvc-3", &[("subDir", path)]).await.unwrap_err();
            let message = error.message();
            assert_eq!(error.code(), Code::FailedPrecondition, "{path}: {message}");
            let outer = format!("\"{}:{}/team/data\", inside which it would be", world.server(), world.share());
            assert!(message.contains(&outer), "{path}: {message}");
        }
        let error = controller.create("pvc-4", &[("subDir", "team/other")]).await.unwrap_err();
        assert!(error.message().contains("is taken by the share in \"team\""), "{}", error.message());
    }
    assert_eq!(world.places().iter().filter(|path| path.contains("pvc") || path.ends_with('x')).count(), 0);
    // Its directory is missing for a while: whatever lies in its place then would go when the volume is deleted.
    world.rename("team/data", "away").await;
    for controller in [&controller, &world.controller()] {
        let error = create_on(controller, "team", "pvc-5", &[("subDir", "data")]).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        assert!(!world.exists("team/data"));
    }
    world.rename("away", "team/data").await;
    controller.delete(&made.id).await.unwrap();
    create_on(&controller, "team", "pvc-3", &[("subDir", "data/x")]).await.unwrap();
}

pub(crate) async fn a_place_inside_another_share_is_refused(world: &World) {
    let controller = world.controller();
    world.make_dir("team/deep");
    create_on(&controller, "team", "pvc-1", &[]).await.unwrap();
    create_on(&controller, "team/deep", "pvc-1", &[]).await.unwrap();
    let before = world.tree();
    for (path, share) in [("team/x", "team"), ("team/new/x", "team"), ("team/deep/x", "team"), ("team/pvc-1/x", "team")]
    {
        // A process that has the other share open, and one that has not.
        for controller in [&controller, &world.controller()] {
            let error = controller.create("pvc-2", &[("subDir", path)]).await.unwrap_err();
            let message = error.message();
            assert_eq!(error.code(), Code::FailedPrecondition, "{path}: {message}");
            let begin = format!("{}:{}/{path} is taken by the share in {share:?}, ", world.server(), world.share());
            assert!(message.starts_with(&begin) && message.contains("\"subDir\""), "{path}: {message}");
        }
    }
    let mut after = world.tree();
    after.retain(|path, _| before.contains_key(path) || !path.starts_with(".berth"));
    assert_eq!(after, before, "the first look at the share has made its folders, and nothing else was made");
    controller.create("pvc-2", &[("subDir", "group/x")]).await.unwrap();
}
