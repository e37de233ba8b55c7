//! Locks, which the server keeps: they hold between nodes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::{Node, World, lines, seen_within};

/// The lease that the lab's server gives; Linux gives 90 seconds, Amazon EFS too.
const LEASE: Duration = Duration::from_secs(10);

/// The server looks for clients whose lease is over now and then, and frees a lock only when another client asks.
const GRACE: Duration = Duration::from_secs(20);

/// Fewer than elsewhere: who is refused a lock asks again only after a second, and later ever less often.
const LOCKED_ROUNDS: usize = 10;

/// Whether somebody else has the lock; any other error is none of that.
pub(super) fn is_held(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => panic!("{error}"),
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).append(true).create(true).open(path).unwrap()
}

#[test]
fn a_flock_excludes_other_nodes_until_it_is_given_back() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    let (mine, theirs) = (open(&a.path("lock")), open(&b.path("lock")));
    mine.try_lock().unwrap();
    assert!(is_held(&theirs));
    assert!(matches!(theirs.try_lock_shared(), Err(TryLockError::WouldBlock)));
    mine.unlock().unwrap();
    theirs.try_lock_shared().unwrap();
    mine.try_lock_shared().unwrap();
    assert!(is_held(&mine));
    drop(theirs);
    mine.try_lock().unwrap();
}

#[test]
fn an_fcntl_lock_excludes_other_nodes_until_it_is_given_back() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    let (mine, theirs) = (open(&a.path("lock")), open(&b.path("lock")));
    fcntl_lock(&mine, FlockOperation::NonBlockingLockExclusive).unwrap();
    let refused = fcntl_lock(&theirs, FlockOperation::NonBlockingLockExclusive).unwrap_err();
    assert!(matches!(refused, Errno::AGAIN | Errno::ACCESS), "{refused}");
    // On a server, flock and fcntl are one kind of lock.
    assert!(is_held(&theirs));
    fcntl_lock(&mine, FlockOperation::NonBlockingUnlock).unwrap();
    fcntl_lock(&theirs, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn who_waits_for_a_lock_gets_it_soon_after_it_is_given_back() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    let (mine, theirs) = (open(&a.path("lock")), open(&b.path("lock")));
    mine.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| theirs.lock().unwrap());
        thread::sleep(Duration::from_secs(2));
        assert!(!waiting.is_finished());
        mine.unlock().unwrap();
        seen_within(Duration::from_secs(30), "a lock that was given back", || waiting.is_finished());
    });
}

#[test]
fn no_line_that_is_appended_under_a_lock_is_lost() {
    let flock: fn(&File) = |file| file.lock().unwrap();
    let fcntl: fn(&File) = |file| fcntl_lock(file, FlockOperation::LockExclusive).unwrap();
    for lock in [flock, fcntl] {
        let world = World::new();
        let (a, b) = world.pair(&[]);
        let append = |node: &Node, name: &str| {
            for round in 0..LOCKED_ROUNDS {
                let mut file = open(&node.path("log"));
                lock(&file);
                writeln!(file, "{name} {round}").unwrap();
                // Closed, it is unlocked.
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| append(&a, "a"));
            append(&b, "b");
        });
        assert_eq!(lines(&a.path("log")).len(), 2 * LOCKED_ROUNDS);
    }
}

/// A node that is cut off cannot be told from one that is dead: its locks go when its lease is over, and what it does with
/// the files after its return fails.
#[test]
fn the_locks_of_a_node_that_is_lost_are_free_after_the_lease_and_it_is_told_so_when_it_comes_back() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    let (mut mine, theirs) = (open(&a.path("lock")), open(&b.path("lock")));
    mine.lock().unwrap();
    mine.write_all(b"of a\n").unwrap();
    mine.sync_data().unwrap();
    a.valve.shut();
    let lost = seen_within(LEASE + GRACE, "the lock of a lost node is free", || !is_held(&theirs));
    assert!(lost + Duration::from_secs(1) >= LEASE, "its lease is not over after {lost:?}");
    fs::write(b.path("taken"), "").unwrap();

    a.valve.open();
    seen_within(LEASE + GRACE, "the lost node is back", || a.exists("taken"));
    // Writing under a lock that another node may have had since would ruin what that one wrote.
    let written = mine.write_all(b"late\n").and_then(|()| mine.sync_data());
    assert!(written.is_err(), "{written:?}");
    drop(mine);
    assert_eq!(b.read("lock"), "of a\n");
    open(&a.path("other")).lock().expect("the node itself goes on");
}
