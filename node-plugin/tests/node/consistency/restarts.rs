//! A server that ends and starts again below everything.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use super::{World, locks::is_held, seen_within};

/// What the test's server waits for clients that it knew.
const GRACE: u32 = 15;

#[test]
fn locks_and_what_was_written_outlive_a_restart_of_the_server() {
    let mut world = World::new();
    let (a, b) = world.pair(&[]);
    let open = |node: &super::Node| OpenOptions::new().append(true).create(true).open(node.path("log")).unwrap();
    let (mut mine, theirs) = (open(&a), open(&b));
    mine.lock().unwrap();
    mine.write_all(b"before\n").unwrap();
    world.server.restart_with_grace(GRACE);
    mine.write_all(b"after\n").unwrap();
    mine.sync_data().unwrap();
    assert!(is_held(&theirs), "the holder has claimed its lock again");
    mine.unlock().unwrap();
    seen_within(Duration::from_secs(GRACE.into()), "the lock", || !is_held(&theirs));
    assert_eq!(b.read("log"), "before\nafter\n");
}
