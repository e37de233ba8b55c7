//! What comes, goes and is replaced in a directory.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Node, ROUNDS, World, seen_within};

fn listing(node: &Node) -> BTreeSet<String> {
    fs::read_dir(&node.at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_name_that_was_not_there_is_found_within_acdirmax() {
    let world = World::new();
    let (a, b) = world.pair(&["acdirmin=4,acdirmax=4"]);
    assert!(!b.exists("flag"));
    a.write("flag", "");
    assert!(!b.exists("flag"), "the reader believes that there is no such name");
    seen_within(Duration::from_secs(4), "a new name", || b.exists("flag"));
}

#[test]
fn with_lookupcache_positive_a_name_that_was_not_there_is_found_at_once() {
    for options in [&["lookupcache=positive"], &["lookupcache=none"]] {
        let world = World::new();
        let (a, b) = world.pair(options);
        for round in 0..20 {
            let name = format!("flag-{round}");
            assert!(!b.exists(&name));
            a.write(&name, "");
            assert!(b.exists(&name), "{options:?}");
        }
    }
}

#[test]
fn a_listing_shows_another_nodes_files_within_acdirmax() {
    let world = World::new();
    let (a, b) = world.pair(&["acdirmin=4,acdirmax=4"]);
    a.write("1", "");
    assert_eq!(listing(&b).len(), 1);
    a.write("2", "");
    seen_within(Duration::from_secs(4), "a new name in a listing", || listing(&b).len() == 2);
}

/// `ROUNDS` generations of a file, each put in the place of the one before, while the other node reads it all the time.
/// It gets the last one as soon as promised.
fn replaced_by_rename(options: &[&str], promised: Duration) {
    let world = World::new();
    let (a, b) = world.pair(options);
    let text = |round: usize| format!("{round} ").repeat(1000);
    a.write("config", &text(0));
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut last) = (0, 0);
            while !is_done.load(Ordering::Relaxed) {
                let read = b.read("config");
                let round: usize = read.split(' ').next().unwrap().parse().unwrap();
                assert!(read == text(round), "a mixture: {read:?}");
                assert!(round >= last, "round {round} after round {last}");
                (reads, last) = (reads + 1, round);
            }
            reads
        });
        for round in 1..=ROUNDS {
            a.write("config.new", &text(round));
            fs::rename(a.path("config.new"), a.path("config")).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    seen_within(promised, &format!("{options:?}: a file that was put in the place of another"), || {
        b.read("config") == text(ROUNDS)
    });
}

#[test]
fn who_opens_a_file_that_is_replaced_by_rename_gets_one_of_them_whole_and_the_new_one_within_acdirmax() {
    replaced_by_rename(&["acdirmin=4,acdirmax=4"], Duration::from_secs(4));
}

#[test]
fn with_lookupcache_none_who_opens_a_file_after_it_was_replaced_by_rename_gets_the_new_one() {
    let world = World::new();
    let (a, b) = world.pair(&["lookupcache=none"]);
    for round in 0..ROUNDS {
        let text = format!("{round}");
        a.write("config.new", &text);
        fs::rename(a.path("config.new"), a.path("config")).unwrap();
        assert_eq!(b.read("config"), text);
    }
}

#[test]
fn of_all_who_make_one_name_exclusively_one_has_made_it() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    for round in 0..ROUNDS {
        let made = |node: &Node| {
            let path = node.path(&format!("file-{round}"));
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let directory = fs::create_dir(node.path(&format!("directory-{round}")));
            [file.map(drop), directory].map(|made| match made {
                Ok(()) => 1,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => 0,
                Err(error) => panic!("{error}"),
            })
        };
        let (of_a, of_b) = thread::scope(|scope| {
            let other = scope.spawn(|| made(&b));
            (made(&a), other.join().unwrap())
        });
        assert_eq!([of_a[0] + of_b[0], of_a[1] + of_b[1]], [1, 1], "round {round}");
    }
}

#[test]
fn who_has_a_file_open_keeps_it_when_it_is_removed_on_the_same_node() {
    let world = World::new();
    let (a, b) = world.pair(&["lookupcache=none"]);
    a.write("file", "text");
    let mut open = File::open(a.path("file")).unwrap();
    fs::remove_file(a.path("file")).unwrap();
    assert!(!b.exists("file"));
    // Until it is closed it has another name, which `rm -r` and backups meet.
    let silly = listing(&a);
    assert!(silly.len() == 1 && silly.iter().all(|name| name.starts_with(".nfs")), "{silly:?}");
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    drop(open);
    seen_within(Duration::from_secs(5), "the name of a file that was removed while open is gone", || {
        listing(&a).is_empty()
    });
}
