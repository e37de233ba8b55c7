//! Disks that are full.

use nfs_client::{NfsStatus, OpCode};
use nfs_testkit::fake::{Effect, Fault};
use tonic::Code;

use crate::world::World;

/// Whichever object finds no room, the answer is the same and nothing is left of the attempt.
pub(crate) async fn a_full_disk_is_named_and_nothing_is_left(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    controller.create("first", &[]).await.unwrap();
    let tree = world.tree();
    for status in [NfsStatus::NoSpc, NfsStatus::DQuot] {
        for (name, parameters) in [("pvc-1", &[][..]), ("pvc-2", &[("subDir", "team/data")])] {
            let faults = [(OpCode::Create, "a directory, record or hold"), (OpCode::SetAttr, "an owner or mode")];
            for (op, what) in faults {
                server.inject(Fault::on(op, Effect::Status(status)));
                let error = controller.create(name, parameters).await.unwrap_err();
                assert_eq!(error.code(), Code::ResourceExhausted, "{what}: {}", error.message());
                let message = error.message();
                assert!(message.contains("free space on the server, or raise its quota"), "{message}");
                assert!(message.contains("fake:/export/"), "{message}");
                let mut after = world.tree();
                after.remove("team");
                assert_eq!(after, tree, "{name}, {what}");
            }
        }
    }
    controller.create("pvc-1", &[]).await.unwrap();
    controller.create("pvc-2", &[("subDir", "team/data")]).await.unwrap();
}

/// A real disk: volumes are made until no more fit, and again after half of them are gone. One would not do everywhere: a
/// directory of ext4 that has grown keeps its blocks, and another name may make another directory grow.
#[cfg(any(feature = "wire", feature = "kernel"))]
pub(crate) async fn a_disk_that_fills_up_refuses_and_recovers(world: &World) {
    let controller = world.controller();
    let mut ids = Vec::new();
    let error = loop {
        let name = format!("pvc-{}", ids.len());
        let parameters = [("subDir", "${pv.metadata.name}-data"), ("csi.storage.k8s.io/pv/name", name.as_str())];
        match controller.create(&name, &parameters).await {
            Ok(made) => ids.push(made.id),
            Err(error) => break error,
        }
        assert!(ids.len() < 1000, "the disk is not small");
    };
    assert_eq!(error.code(), Code::ResourceExhausted, "{}", error.message());
    assert!(error.message().contains("NFS4ERR_NOSPC"), "{}", error.message());
    assert!(!ids.is_empty());
    assert_eq!(world.folder("records").len(), ids.len());
    assert_eq!(world.folder("places").len(), ids.len());
    assert_eq!(world.places().len(), ids.len());
    for id in ids.split_off(ids.len() / 2) {
        controller.delete(&id).await.unwrap();
    }
    world.until_reaped().await;
    controller.create("another", &[("subDir", "another-data")]).await.unwrap();
}
