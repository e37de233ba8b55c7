//! Contents and attributes of files.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use super::{ROUNDS, World, seen_within};

#[test]
fn who_opens_a_file_after_its_writer_has_closed_it_reads_what_was_written() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    for round in 0..ROUNDS {
        let text = format!("round {round}");
        a.write("file", &text);
        assert_eq!(b.read("file"), text);
        b.write("file", "of the other");
        assert_eq!(a.read("file"), "of the other");
    }
}

#[test]
fn what_is_neither_closed_nor_synced_is_seen_by_nobody_else() {
    let world = World::new();
    let (a, b) = world.pair(&[]);
    a.write("file", "old");
    assert_eq!(b.read("file"), "old");
    let mut file = OpenOptions::new().append(true).open(a.path("file")).unwrap();
    file.write_all(b" and new").unwrap();
    assert_eq!(b.read("file"), "old");
    file.sync_data().unwrap();
    assert_eq!(b.read("file"), "old and new");
}

#[test]
fn with_sync_each_write_is_on_the_server_when_it_returns() {
    let world = World::new();
    let (a, b) = world.pair(&["sync"]);
    let mut file = File::create(a.path("file")).unwrap();
    for round in 1..=5 {
        file.write_all(b"x").unwrap();
        assert_eq!(b.read("file").len(), round);
    }
}

/// `tail -f` of a log that another node writes.
#[test]
fn who_keeps_a_file_open_sees_its_growth_within_acregmax() {
    for (options, promised) in [(&["acregmin=1,acregmax=5"][..], 5), (&["actimeo=1"], 1), (&["noac"], 0)] {
        let world = World::new();
        let (a, b) = world.pair(options);
        a.write("log", "first\n");
        let mut log = File::open(b.path("log")).unwrap();
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first\n");
        a.append("log", "second");
        let end = log.stream_position().unwrap();
        seen_within(Duration::from_secs(promised), &format!("{options:?}: a line more of an open log"), || {
            let mut reader = log.try_clone().unwrap();
            reader.seek(SeekFrom::Start(end)).unwrap();
            let mut more = String::new();
            reader.read_to_string(&mut more).unwrap();
            more == "second\n"
        });
    }
}

#[test]
fn attributes_are_as_old_as_the_class_allows() {
    let world = World::new();
    // Longer than the default of three seconds, and shorter than that of sixty.
    let (a, b) = world.pair(&["acregmin=12,acregmax=12"]);
    a.write("file", "1");
    assert_eq!(b.length("file"), 1);
    a.append("file", "2");
    let seen = seen_within(Duration::from_secs(12), "another node's file has grown", || b.length("file") == 3);
    assert!(seen > Duration::from_secs(8), "the reader believes what it has heard: {seen:?}");
}

#[test]
fn opening_a_file_asks_for_its_attributes_anew() {
    let world = World::new();
    let (a, b) = world.pair(&["actimeo=600"]);
    a.write("file", "1");
    assert_eq!(b.length("file"), 1);
    a.append("file", "2");
    assert_eq!(b.length("file"), 1);
    assert_eq!(File::open(b.path("file")).unwrap().metadata().unwrap().len(), 3);
}

#[test]
fn with_noac_attributes_are_never_old() {
    let world = World::new();
    let (a, b) = world.pair(&["noac"]);
    a.write("file", "");
    for round in 1..=20 {
        a.append("file", "x");
        assert_eq!(b.length("file"), 2 * round);
    }
}

/// The presets of the page, each by what it is for.
#[test]
fn presets_do_what_they_are_for() {
    let world = World::new();
    let (a, b) = world.pair(&["actimeo=1,lookupcache=positive"]);
    assert!(!b.exists("flag"));
    a.write("flag", "1");
    assert_eq!(b.length("flag"), 1);
    a.append("flag", "2");
    seen_within(Duration::from_secs(1), "what another node has appended", || b.length("flag") == 3);

    let world = World::new();
    let (a, b) = world.pair(&["noac,lookupcache=none"]);
    for round in 1..=10 {
        assert!(round > 1 || !b.exists("file"));
        a.append("file", "x");
        assert_eq!(b.length("file"), 2 * round);
        a.write("new", "of this round");
        fs::rename(a.path("new"), a.path("replaced")).unwrap();
        assert_eq!(b.read("replaced"), "of this round");
        fs::remove_file(a.path("replaced")).unwrap();
        assert!(!b.exists("replaced"));
    }

    let world = World::new();
    let (a, b) = world.pair(&["actimeo=600,nocto"]);
    a.write("model", "weights");
    assert_eq!(b.read("model"), "weights");
    a.append("model", " and more");
    assert_eq!(b.length("model"), 7, "nobody asks the server again");
}

#[test]
fn two_nodes_that_append_without_a_lock_overwrite_each_other() {
    let world = World::new();
    let (a, b) = world.pair(&["actimeo=600"]);
    a.write("log", "");
    let append = |node: &super::Node| OpenOptions::new().append(true).open(node.path("log")).unwrap();
    let (mut first, mut second) = (append(&a), append(&b));
    // Both believe that the file ends where it began.
    first.write_all(b"of a\n").unwrap();
    first.sync_data().unwrap();
    second.write_all(b"of b\n").unwrap();
    drop((first, second));
    let text = fs::read_to_string(a.path("log")).unwrap();
    assert_eq!(text.len(), 5, "one line is lost: {text:?}");
}
