//! A real server's grace period after a restart: what could undo a state that its owner has not reclaimed yet is refused
//! until every client has come back, or the time is up.

use std::time::{Duration, Instant};

use crate::world::World;

/// Length of the period in seconds: half of what a call may take in production, as a server's is that has to be used again
/// soon.
const GRACE: u32 = 15;

/// Between a period that was cut short and a whole one: a server takes a few seconds to see that it is over, and so does a
/// client that asks at growing intervals.
const BOUND: Duration = Duration::from_secs(10);

/// The only client comes back at once and says that it has nothing to reclaim: nobody is left to wait for. For a server that
/// has no other client.
#[cfg(feature = "wire")]
pub(crate) async fn a_client_that_came_back_is_not_waited_for(world: &mut World) {
    let controller = world.controller();
    let volume = controller.create("first", &[]).await.unwrap();
    world.restart_with_grace(GRACE);
    let restarted = Instant::now();
    controller.delete(&volume.id).await.unwrap();
    let waited = restarted.elapsed();
    assert!(waited < BOUND, "the server waited {waited:?} for a client that had come back");
}

/// A node that has the share mounted and a file open does not come back: the controller's calls take as long as the period.
pub(crate) async fn a_grace_period_is_waited_out(world: &mut World) {
    let controller = world.controller();
    let volume = controller.create("first", &[]).await.unwrap();
    let node = world.by_hand();
    let share = node.open_dir(&world.names_to("")).await.unwrap();
    node.create_file(&share, "open", 0o600, b"data").await.unwrap();
    world.restart_with_grace(GRACE);
    let restarted = Instant::now();
    let (made, deleted) = tokio::join!(controller.create("second", &[]), controller.delete(&volume.id));
    made.unwrap();
    deleted.unwrap();
    let waited = restarted.elapsed();
    assert!(waited > BOUND, "there was no grace period: {waited:?}");
    world.until_reaped().await;
    assert_eq!(world.places(), ["open", "second"]);
}
