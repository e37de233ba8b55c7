use super::*;

/// Lines of a Debian 12 node (Linux 6.1) with one share in the pool, two volumes of it, a volume mounted directly, and a path with a space.
const NODE: &str = r"24 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
25 24 0:23 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
410 24 0:52 / /var/lib/kubelet/plugins/csi.berth.dev/pool/abc rw,relatime shared:220 - nfs4 nfs.example:/export rw,vers=4.1,rsize=1048576,addr=10.0.0.5
431 24 0:52 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount rw,relatime shared:231 - nfs4 nfs.example:/export/pvc-1 rw,vers=4.1,rsize=1048576,addr=10.0.0.5
440 24 0:52 / /var/lib/kubelet/pods/2/volumes/kubernetes.io~csi/pvc-2/mount ro,nosuid,nodev,noexec,noatime shared:240 - nfs4 nfs.example:/export/pvc-2 rw,vers=4.1,rsize=1048576,addr=10.0.0.5
451 24 0:53 / /mnt/with\040space\134and\011tab rw - nfs4 nfs.example:/a\040b rw
460 461 0:31 / /mnt/stacked rw,relatime master:7 propagate_from:2 - tmpfs upper rw
461 24 0:30 /pvc-3 /mnt/stacked rw,relatime - tmpfs host:/share rw
";

fn table() -> MountTable {
    MountTable::parse(NODE.as_bytes()).unwrap()
}

#[test]
fn every_line_is_read() {
    let table = table();
    assert_eq!(table.entries().len(), 8);
    let root = &table.entries()[0];
    assert_eq!((root.id, root.device, root.fs_type.as_str()), (24, Device { major: 254, minor: 1 }, "ext4"));
    assert_eq!(root.source, "/dev/vda1");
}

#[test]
fn octal_escapes_are_undone() {
    let table = table();
    let entry = table.top(Path::new("/mnt/with space\\and\ttab")).unwrap();
    assert_eq!(entry.source, "nfs.example:/a b");
    assert_eq!(unescape(br"a\04"), br"a\04");
    assert_eq!(unescape(br"a\999\\"), br"a\999\\");
    assert_eq!(unescape(br"\777"), br"\777", "no byte has that value");
}

#[test]
fn flags_of_a_mount_are_its_attributes() {
    let table = table();
    let read_only = table.top(Path::new("/var/lib/kubelet/pods/2/volumes/kubernetes.io~csi/pvc-2/mount")).unwrap();
    let expected = MountAttributes {
        read_only: true,
        noexec: true,
        nosuid: true,
        nodev: true,
        noatime: true,
        ..MountAttributes::default()
    };
    assert_eq!(read_only.attributes, expected);
    let usual = table.top(Path::new("/")).unwrap();
    assert_eq!(usual.attributes, MountAttributes { relatime: true, ..MountAttributes::default() });
    let strict = table.top(Path::new("/mnt/with space\\and\ttab")).unwrap();
    assert!(strict.attributes.strictatime);
}

#[test]
fn a_location_is_the_same_however_a_file_system_tells_it() {
    let table = table();
    let stack = table.stack(Path::new("/mnt/stacked"));
    assert_eq!(stack.iter().map(|entry| entry.location()).collect::<Vec<_>>(), ["host:/share/pvc-3", "upper"]);
    assert_eq!(table.top(Path::new("/mnt/stacked")).unwrap().source, "upper");
    let nfs = table.entries().iter().find(|entry| entry.id == 431).unwrap();
    assert_eq!(nfs.location(), "nfs.example:/export/pvc-1");
    let mut whole = nfs.clone();
    whole.source = "nfs:/".to_owned();
    whole.root = PathBuf::from("/pvc-1");
    assert_eq!(whole.location(), "nfs:/pvc-1");
}

/// Linux 6.8 and newer list mounts by their ids, which a clone has before it is attached.
#[test]
fn of_a_stack_the_parents_say_what_is_on_top() {
    let at = Path::new("/mnt/stacked");
    let ids = |table: &MountTable| table.stack(at).iter().map(|entry| entry.id).collect::<Vec<_>>();
    let mut entries = table().entries().to_vec();
    let third = Entry { id: 30, parent: 460, ..entries[6].clone() };
    entries.insert(0, third);
    for _ in 0..entries.len() {
        entries.rotate_left(1);
        let table = MountTable::new(entries.clone());
        assert_eq!(ids(&table), [461, 460, 30]);
        assert_eq!(table.top(at).map(|entry| entry.id), Some(30));
    }
}

#[test]
fn a_table_in_which_mounts_are_mounted_upon_each_other_is_read_all_the_same() {
    let mut entries = table().entries().to_vec();
    entries[7].parent = 460;
    assert_eq!(MountTable::new(entries).stack(Path::new("/mnt/stacked")).len(), 2);
}

#[test]
fn options_of_the_superblock_are_told_by_name() {
    let nfs = table().entries()[2].options.clone();
    assert_eq!((nfs.get("addr"), nfs.get("vers"), nfs.get("sec")), (Some("10.0.0.5"), Some("4.1"), None));
    assert_eq!(nfs.get("rw"), None, "an option without a value has none");
    let text = r#"rw,seclabel,context="system_u:object_r:nfs_t:s0:c1,c2",sec=krb5p,xprtsec=mtls,clientaddr=10.0.0.9"#;
    let labelled = SuperOptions::new(text);
    assert_eq!(labelled.get("context"), Some("system_u:object_r:nfs_t:s0:c1,c2"));
    assert_eq!((labelled.get("sec"), labelled.get("xprtsec")), (Some("krb5p"), Some("mtls")));
    assert_eq!((labelled.get("addr"), labelled.get("c2")), (None, None));
}

#[test]
fn the_mounts_of_a_superblock_are_found() {
    let table = table();
    assert_eq!(
        table.of_device(Device { major: 0, minor: 52 }).map(|entry| entry.id).collect::<Vec<_>>(),
        [410, 431, 440]
    );
    assert_eq!(table.top(Path::new("/nowhere")), None);
}

#[test]
fn a_broken_line_is_named() {
    for broken in [
        "x",
        "1 2 3 / / rw - tmpfs t rw",
        "1 x 0:1 / / rw - tmpfs t rw",
        "1 2 0:1 / / rw shared:1 tmpfs t rw",
        "1 2 0:1 / / rw - tmpfs",
        "1 2 0:1 / / rw - tmpfs t",
    ] {
        let text = format!("24 1 254:1 / / rw - ext4 /dev/vda1 rw\n{broken}\n");
        assert_eq!(MountTable::parse(text.as_bytes()), Err(ParseError { line: 2 }), "{broken}");
    }
}

#[test]
fn this_process_has_a_table_that_can_be_read() {
    let text = std::fs::read("/proc/self/mountinfo").unwrap();
    let table = MountTable::parse(&text).unwrap();
    assert!(table.top(Path::new("/")).is_some());
}
