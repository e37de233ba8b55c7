//! Connections, sessions and handles that are lost in the middle of things.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::operations::OperationError;
use nfs_client::{NfsStatus, OpCode};
use nfs_testkit::fake::{Effect, Fault};
use tokio::task::JoinHandle;

use crate::world::{Controller, Object, World};

const EFFECTS: [Effect; 9] = [
    Effect::DropBeforeExecution,
    Effect::DropAfterExecution,
    Effect::RestartBeforeExecution,
    Effect::RestartAfterExecution,
    Effect::TruncatedReply,
    Effect::Status(NfsStatus::Delay),
    Effect::Status(NfsStatus::Stale),
    Effect::Status(NfsStatus::Io),
    Effect::Status(NfsStatus::ServerFault),
];

/// Does something again, as the provisioner would, until it succeeds; a final error fails the test.
macro_rules! insist {
    ($work:expr, $($context:tt)*) => {
        'done: {
            for _ in 0..5 {
                match $work.await {
                    Ok(done) => break 'done done,
                    Err(error) => {
                        let retried =
                            [tonic::Code::Aborted, tonic::Code::Unavailable, tonic::Code::DeadlineExceeded];
                        assert!(retried.contains(&error.code()), "{}: {}", format!($($context)*), error.message());
                    }
                }
            }
            panic!("{}: it never succeeds", format!($($context)*));
        }
    };
}

/// Whatever happens to the first, second or third request with an operation, there is one volume in the end, and then none.
pub(crate) async fn whatever_happens_to_a_request_there_is_one_volume(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    let parameters = [("subDir", "team/data"), ("uid", "1000"), ("mountPermissions", "2770")];
    controller.create("first", &[("subDir", "team/first")]).await.unwrap();
    let entries: &[OpCode] = match world.reads_entries_by() {
        OpCode::ReadLink => &[OpCode::ReadLink],
        read => &[read, OpCode::Open, OpCode::Write, OpCode::Close],
    };
    let ops = [OpCode::Create, OpCode::SetAttr, OpCode::Lookup, OpCode::Rename, OpCode::Remove];
    for effect in EFFECTS {
        for &op in ops.iter().chain(entries) {
            for skip in 0..3 {
                if skip == 0 {
                    // Else it could happen to a request of the reaper, and not to one of the volume's.
                    world.until_reaped().await;
                }
                let before = without_trash(world);
                server.inject(Fault::on(op, effect.clone()).skip(skip));
                let made = insist!(controller.create("pvc-1", &parameters), "{effect:?} on {op} after {skip}");
                let expected = Some(Object::Directory { mode: 0o2770, owner: (1000, 0) });
                assert_eq!(world.object("team/data"), expected, "{effect:?} on {op} after {skip}");
                assert_eq!(world.folder("records"), ["first", "pvc-1"], "{effect:?} on {op} after {skip}");
                insist!(controller.delete(&made.id), "{effect:?} on {op} after {skip}");
                assert_eq!(without_trash(world), before, "{effect:?} on {op} after {skip}");
                // Which operations a volume's life takes, and how often, is the controller's affair; each of these it takes once.
                let left = server.forget_faults();
                assert!(skip > 0 || left == 0, "{effect:?} on {op}: it never happened");
            }
        }
        world.until_reaped().await;
    }
}

fn without_trash(world: &World) -> BTreeMap<String, Object> {
    let mut tree = world.tree();
    tree.retain(|path, _| !path.starts_with(".berth/trash/"));
    tree
}

async fn round(controller: &Controller, world: &World, name: &str) {
    let made = controller.create(name, &[]).await.unwrap();
    let custom = controller.create(&format!("{name}-custom"), &[("subDir", "team/data")]).await.unwrap();
    for id in [made.id, custom.id] {
        controller.delete(&id).await.unwrap();
    }
    world.until_reaped().await;
}

/// A server that comes back with other handles: those that are kept lead nowhere.
pub(crate) async fn handles_are_looked_up_again(world: &World) {
    let server = world.as_fake();
    let controller = world.controller();
    round(&controller, world, "pvc-1").await;
    server.restart_with_new_handles();
    round(&controller, world, "pvc-2").await;
    let made = controller.create("pvc-3", &[("subDir", "team/data")]).await.unwrap();
    server.restart_with_new_handles();
    controller.delete(&made.id).await.unwrap();
    server.restart_with_new_handles();
    let error = controller.create("pvc-4", &[("subDir", "team/a/b")]).await;
    assert!(error.is_ok(), "{}", error.unwrap_err().message());
}

/// The driver's folders are removed by hand while it runs: they are made again, and nothing else is touched.
pub(crate) async fn folders_removed_by_hand_are_made_again(world: &World) {
    let controller = world.controller();
    round(&controller, world, "pvc-1").await;
    for folder in ["trash", "records", "places", "retained"] {
        world.remove(&format!(".berth/{folder}")).await;
        round(&controller, world, &format!("pvc-{folder}")).await;
    }
    world.remove(".berth/trash").await;
    let made = controller.create("pvc-2", &[]).await.unwrap();
    controller.delete(&made.id).await.unwrap();
    world.until_reaped().await;
    assert_eq!(world.places(), ["team"]);
}

/// An attempt fails for good, and another controller completes what it has begun before it takes that back.
pub(crate) async fn what_another_controller_completes_is_not_taken_back(world: &World) {
    let server = world.as_fake();
    let (ours, theirs) = (world.controller(), world.controller());
    ours.create("ours", &[]).await.unwrap();
    theirs.create("theirs", &[]).await.unwrap();

    let before = (server.executed(OpCode::Verify), server.executed(OpCode::Remove));
    server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::Perm)));
    // Our look at what is to be taken back: it is out of date when it arrives.
    server.inject(Fault::on(OpCode::Lookup, Effect::Delay(Duration::from_millis(500))));
    let failing = tokio::spawn(async move { ours.create("pvc-1", &[("uid", "1000")]).await });
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(world.object("pvc-1"), Some(Object::Directory { mode: 0, .. })), "{:?}", world.object("pvc-1"));
    theirs.create("pvc-1", &[("uid", "1000")]).await.unwrap();

    // Not final: the volume exists, and asking again finds it.
    assert_eq!(failing.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    assert!(matches!(world.object("pvc-1"), Some(Object::Directory { owner: (1000, 0), .. })));
    assert!(world.folder("records").contains(&"pvc-1".to_owned()));
    // That the text of a record is all there is verified as well, where that lies in a file.
    let texts = u64::from(!server.has_symlinks());
    assert_eq!(
        (server.executed(OpCode::Verify) - before.0, server.executed(OpCode::Remove) - before.1),
        (2 + texts, 0),
        "each has looked again before it went on, and nothing was removed"
    );
}

/// A delete that is held up until the leader has deleted the volume and given its place to `next`; then it goes on.
async fn delete_late(world: &World, next: &str) -> (Controller, JoinHandle<Result<(), OperationError>>) {
    let server = world.as_fake();
    let (late, leader) = (world.controller(), world.controller());
    let place = [("subDir", "team/data")];
    late.create("ours", &[]).await.unwrap();
    let first = leader.create("pvc-1", &place).await.unwrap();

    // Record, hold and place are looked at in this order; the answer about the place comes late.
    server.inject(Fault::on(OpCode::Lookup, Effect::Delay(Duration::from_secs(1))).skip(2));
    let deleting = tokio::spawn({
        let id = first.id.clone();
        async move { late.delete(&id).await }
    });
    while server.pending_faults() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leader.delete(&first.id).await.unwrap();
    leader.create(next, &place).await.unwrap();
    (leader, deleting)
}

pub(crate) async fn a_late_delete_does_not_touch_the_next_volume(world: &World) {
    let (_leader, deleting) = delete_late(world, "pvc-2").await;
    world.make_file("team/data/precious");

    deleting.await.unwrap().unwrap();
    world.until_reaped().await;
    assert!(world.places().contains(&"team/data/precious".to_owned()), "{:?}", world.places());
    assert!(world.folder("records").contains(&"pvc-2".to_owned()));
    assert_eq!(world.folder("places").len(), 1, "the place is still held");
}

/// Of the same name, it is still not the one that was to go.
pub(crate) async fn a_late_delete_does_not_touch_the_next_volume_of_its_name(world: &World) {
    let (_leader, deleting) = delete_late(world, "pvc-1").await;
    world.until_reaped().await;
    let tree = world.tree();
    assert_eq!(deleting.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(world.tree(), tree);
}
