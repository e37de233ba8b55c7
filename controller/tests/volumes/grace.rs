//! A real server's grace period after a restart: what could undo a state that its owner has not reclaimed yet is refused
//! until every client has come back, or the time is up.

use std::time::{Duration, Instant};

use crate::world::World;

/// Length of the period in seconds: half of what a call may take in production, as a server's is that has to be used again
/// soon.
const GRACE: u32 = 15;

pub(crate) async fn a_grace_period_is_waited_out(world: &mut World) {
    // A server takes a few seconds to see that the period is over, and so does a client that asks at growing intervals.
    let bound = 2 * Duration::from_secs(GRACE.into()) / 3;
    let controller = world.controller();
    let first = controller.create("first", &[]).await.unwrap();
    let second = controller.create("second", &[]).await.unwrap();

    // The only client comes back at once and says that it has nothing to reclaim: nobody is left to wait for.
    world.restart_with_grace(GRACE);
    let restarted = Instant::now();
    controller.delete(&first.id).await.unwrap();
    let waited = restarted.elapsed();
    assert!(waited < bound, "the server waited {waited:?} for a client that had come back");

    // A node that has the share mounted and a file open, and does not come back.
    let node = world.by_hand();
    let share = node.open_dir(&world.names_to("")).await.unwrap();
    node.create_file(&share, "open", 0o600, b"data").await.unwrap();
    world.restart_with_grace(GRACE);
    let restarted = Instant::now();
    let (made, deleted) = tokio::join!(controller.create("third", &[]), controller.delete(&second.id));
    made.unwrap();
    deleted.unwrap();
    let waited = restarted.elapsed();
    assert!(waited > bound, "there was no grace period: {waited:?}");
    world.until_reaped().await;
    assert_eq!(world.places(), ["open", "third"]);
}
