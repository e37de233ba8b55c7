//! The table of mounts reads back as the kernel writes it, whatever is in its paths.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use node_plugin::mountinfo::{Device, Entry, MountTable, SuperOptions};
use volume::mount_options::MountAttributes;

use super::{SEPARATOR, assert_readable};

/// The text of a table; and, cut at a byte that no text has, roots, places and sources of mounts.
pub fn check(input: &[u8]) {
    match MountTable::parse(input) {
        Ok(table) => assert_written_and_read(&table),
        Err(error) => {
            assert!((1..=input.split(|&byte| byte == b'\n').count()).contains(&error.line));
            assert_readable(&error);
        }
    }
    let pieces: Vec<&[u8]> = input.split(|&byte| byte == SEPARATOR).collect();
    let entries = pieces.chunks_exact(3).zip(1u32..).map(|(paths, number)| Entry {
        id: number.into(),
        // Each upon the next, whatever their places.
        parent: u64::from(number) + 1,
        device: Device { major: 0, minor: number },
        root: path(paths[0]),
        mount_point: path(paths[1]),
        attributes: MountAttributes { read_only: true, strictatime: true, ..MountAttributes::default() },
        is_shared: number % 2 == 0,
        fs_type: "nfs4".to_owned(),
        source: String::from_utf8_lossy(paths[2]).into_owned(),
        options: SuperOptions::new(format!("rw,vers={number}")),
    });
    assert_written_and_read(&MountTable::new(entries.collect()));
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn assert_written_and_read(table: &MountTable) {
    let text: Vec<u8> = table.entries().iter().flat_map(line).collect();
    assert_eq!(MountTable::parse(&text).as_ref(), Ok(table), "{}", text.escape_ascii());
    // Each of these looks at the whole table: of a long one, the first few say it all.
    for entry in table.entries().iter().take(4) {
        let stack = table.stack(&entry.mount_point);
        assert_eq!(table.top(&entry.mount_point), stack.last().copied());
        assert!(stack.contains(&entry));
        assert!(table.of_device(entry.device).any(|other| other == entry));
        assert!(entry.options.get("vers").is_none_or(|value| entry.options.as_str().contains(value)));
        assert!(entry.location().len() <= entry.source.len() + 3 * entry.root.as_os_str().len());
    }
}

/// A line as `show_mountinfo` of the kernel writes it (`fs/proc_namespace.c`).
fn line(entry: &Entry) -> Vec<u8> {
    let Entry { id, parent, device, root, mount_point, attributes, is_shared, fs_type, source, options } = entry;
    let mut line = format!("{id} {parent} {device} ").into_bytes();
    line.extend(escaped(root.as_os_str().as_bytes()));
    line.push(b' ');
    line.extend(escaped(mount_point.as_os_str().as_bytes()));
    line.extend(if attributes.read_only { b" ro" } else { b" rw" });
    for (set, name) in [
        (attributes.nosuid, ",nosuid"),
        (attributes.nodev, ",nodev"),
        (attributes.noexec, ",noexec"),
        (attributes.noatime, ",noatime"),
        (attributes.nodiratime, ",nodiratime"),
        (attributes.relatime, ",relatime"),
    ] {
        line.extend(if set { name.as_bytes() } else { &[] });
    }
    line.extend(if *is_shared { b" shared:7".as_slice() } else { &[] });
    line.extend(format!(" master:1 - {fs_type} ").bytes());
    line.extend(escaped(source.as_bytes()));
    line.push(b' ');
    line.extend(escaped(options.as_str().as_bytes()));
    line.push(b'\n');
    line
}

/// `mangle_path` with the characters that both `seq_path` and `mangle` escape.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let escape = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        plain => vec![plain],
    };
    bytes.iter().flat_map(escape).collect()
}
