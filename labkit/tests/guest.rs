//! Boots real guests. Needs root and, when the lab's cache is empty, some minutes.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use labkit::{
    base::LabError,
    guest::{Disk, Exec, Guest, Image, Spec},
    parts::{BUSYBOX_IMAGE, Kernel, Kubernetes, Part, Parts},
};

fn image() -> Image {
    let parts = Parts::open(Kubernetes::default()).unwrap();
    parts.ensure(Part::GUEST).unwrap().guest_image(Kernel::Linux6_1).unwrap()
}

/// Kills the guest also when a test fails half-way.
struct Ended(Guest);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
    }
}

fn boot(name: &str, directory: &Path) -> Ended {
    let image = image();
    let begun = Instant::now();
    let guest = Guest::boot(&Spec { memory_mib: 1024, ..Spec::new(name) }, &image, directory).unwrap();
    println!("{name}: ready {:.1} s after power-on", begun.elapsed().as_secs_f64());
    Ended(guest)
}

#[test]
fn a_guest_runs_commands_and_keeps_files() {
    let home = tempfile::tempdir().unwrap();
    let ended = boot("talk", home.path());
    let guest = &ended.0;
    status_and_streams(guest);
    deadlines(guest);
    files(guest, home.path());
    side_by_side(guest);

    let script = "hostname; stat -f -c %T /; stat -f -c %T /sys/fs/cgroup; findmnt -no PROPAGATION /";
    assert_eq!(guest.run(&Exec::sh(script)).unwrap().text(), "talk\next2/ext3\ncgroup2fs\nshared\n");

    // Another program finds the guest by its directory.
    let again = Guest::attach(home.path()).unwrap();
    assert!(again.alive());
    assert!(matches!(
        Guest::boot(&Spec::new("talk"), &image(), home.path()),
        Err(LabError::Precondition(why)) if why.contains("talk already runs")
    ));
    again.kill().unwrap();
    assert!(!guest.alive());
    assert!(matches!(guest.exec(&Exec::new(["true"])), Err(LabError::Part { .. })));
    assert!(fs::read_to_string(guest.console_log()).unwrap().contains("lab: ready"));
}

fn status_and_streams(guest: &Guest) {
    let output = guest.exec(&Exec::sh("cat; echo $WORD >&2; exit 7").stdin("in").env("WORD", "x")).unwrap();
    assert_eq!((output.status, output.text().as_str(), output.stderr.as_slice()), (7, "in", &b"x\n"[..]));
    assert_eq!(guest.exec(&Exec::sh("kill -9 $$")).unwrap().status, 137);
    assert!(matches!(guest.exec(&Exec::new(["no-such-program"])), Err(LabError::Start { .. })));
    assert!(matches!(guest.run(&Exec::new(["false"])), Err(LabError::Command { status, .. }) if status == "1"));
    // What a command leaves running does not keep its caller waiting.
    let begun = Instant::now();
    assert_eq!(guest.exec(&Exec::sh("sleep 60 & echo left")).unwrap().text(), "left\n");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

fn deadlines(guest: &Guest) {
    let slow = Exec::sh("echo begun; sleep 613 & sleep 613").timeout(Duration::from_secs(3));
    match guest.exec(&slow) {
        Err(LabError::Timeout { last, .. }) => assert_eq!(last, "begun"),
        other => panic!("{other:?}"),
    }
    // The command is ended in the guest too, with its children.
    let count = Exec::sh("ps -eo args | grep -c '^sleep 613' || true");
    let end = Instant::now() + Duration::from_secs(30);
    while guest.run(&count).unwrap().text() != "0\n" {
        assert!(Instant::now() < end, "a command outlived its caller");
        thread::sleep(Duration::from_millis(100));
    }
}

fn files(guest: &Guest, home: &Path) {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let from = home.join("from");
    let read = |path: &str| guest.run(&Exec::new(["cat", path])).unwrap().stdout;
    fs::write(&from, &bytes).unwrap();
    guest.copy_in(&from, "/var/tmp/new/file", 0o640).unwrap();
    assert_eq!(guest.run(&Exec::sh("stat -c %a /var/tmp/new/file")).unwrap().text(), "640\n");
    assert_eq!(read("/var/tmp/new/file"), bytes);
    assert!(guest.copy_in(Path::new("/no/such/file"), "/var/tmp/none", 0o644).is_err());
    assert_eq!(guest.exec(&Exec::new(["test", "-e", "/var/tmp/none"])).unwrap().status, 1);

    let pid = guest.spawn(&["sh", "-c", "echo here; exec sleep 614"], "/var/log/spawned").unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while read("/var/log/spawned") != b"here\n" {
        assert!(Instant::now() < end, "a spawned program says nothing");
    }
    let line = read(&format!("/proc/{pid}/cmdline"));
    assert!(String::from_utf8(line).unwrap().contains("614"));
}

fn side_by_side(guest: &Guest) {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(guest.exec(&Exec::new(["sleep", "2"])).unwrap().status, 0));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(14), "eight commands of two seconds ran one after the other");
    let begun = Instant::now();
    for _ in 0..10 {
        guest.run(&Exec::new(["true"])).unwrap();
    }
    println!("one command: {:.1} ms", begun.elapsed().as_secs_f64() * 100.0);
}

#[test]
fn a_guest_serves_nfs_and_mounts_it() {
    let home = tempfile::tempdir().unwrap();
    let image = image();
    let begun = Instant::now();
    let disk = |name: &str| Disk::Empty { name: name.to_owned(), gib: 8 };
    let spec = Spec { memory_mib: 1024, disks: vec![disk("share"), disk("ext4")], ..Spec::new("kernel") };
    let ended = Ended(Guest::boot(&spec, &image, home.path()).unwrap());
    ended.0.serve_nfs().unwrap();
    println!("server: ready {:.1} s after power-on", begun.elapsed().as_secs_f64());

    let script = "mkdir -p /mnt/nfs; mount -t nfs4 -o vers=4.2 127.0.0.1:/srv/share /mnt/nfs\n\
         echo hello >/mnt/nfs/greeting; cat /srv/share/greeting; umount /mnt/nfs";
    assert_eq!(ended.0.run(&Exec::sh(script)).unwrap().text(), "hello\n");

    let types = "for share in share ext4 small; do stat -f -c %T /srv/$share; done; exportfs | wc -l";
    let output = ended.0.run(&Exec::sh(types)).unwrap().text();
    assert!(output.starts_with("xfs\next2/ext3\next2/ext3\n"), "{output}");
    // A server that has lost its power keeps what it had said was written, and loses what nobody was told of.
    ended.0.run(&Exec::sh("echo never synced >/srv/share/lost")).unwrap();
    ended.0.cut_power().unwrap().end().unwrap();
    ended.0.serve_nfs().unwrap();
    let left =
        "cat /srv/share/greeting; cat /srv/share/lost 2>/dev/null || true; exportfs | wc -l; test -x /run/lab/writer";
    assert_eq!(
        ended.0.run(&Exec::sh(left)).unwrap().text(),
        format!("hello\n{}", output.lines().last().unwrap()) + "\n"
    );
    let refused = "mkdir -p /mnt/no; ! mount -t nfs4 -o vers=4.1,retry=0 127.0.0.1:/srv/restricted /mnt/no 2>/dev/null";
    ended.0.run(&Exec::sh(refused)).unwrap();
}

#[test]
fn a_guest_runs_containers() {
    let home = tempfile::tempdir().unwrap();
    let wanted = [Part::GUEST, &[Part::NODE_PROGRAMS, Part::BUSYBOX_IMAGE, Part::PAUSE_IMAGE]].concat();
    let built = Parts::open(Kubernetes::default()).unwrap().ensure(&wanted).unwrap();
    let programs =
        Disk::Programs { name: "node".into(), image: built.path(Part::NODE_PROGRAMS).unwrap(), at: "/opt/node".into() };
    let spec = Spec { memory_mib: 1024, disks: vec![programs], ..Spec::new("containers") };
    let ended = Ended(Guest::boot(&spec, &built.guest_image(Kernel::Linux6_1).unwrap(), home.path()).unwrap());
    let guest = &ended.0;

    guest.spawn(&["containerd"], "/var/log/containerd.log").unwrap();
    guest.run(&Exec::sh("until ctr version >/dev/null 2>&1; do sleep 0.2; done")).unwrap();
    for part in [Part::BUSYBOX_IMAGE, Part::PAUSE_IMAGE] {
        guest.copy_in(&built.path(part).unwrap(), "/var/tmp/image.tar", 0o644).unwrap();
        guest.run(&Exec::sh("ctr -n k8s.io images import /var/tmp/image.tar")).unwrap();
    }
    let listed = guest.run(&Exec::sh("ctr -n k8s.io images ls -q")).unwrap().text();
    assert!(listed.lines().any(|name| name == BUSYBOX_IMAGE), "{listed}");
    // Into a file and not through ctr, which now and then waits for ever for the end of what a short program prints.
    let script = format!(
        "ctr -n k8s.io run --detach --log-uri file:///var/tmp/one.log {BUSYBOX_IMAGE} one sh -c 'echo inside $(id -u)'\n\
         until grep inside /var/tmp/one.log; do sleep 0.2; done"
    );
    assert_eq!(guest.run(&Exec::sh(&script)).unwrap().text(), "inside 0\n");
    guest
        .run(&Exec::sh("kubelet --version; test -x /opt/cni/bin/bridge; kube-proxy --version; runc --version"))
        .unwrap();
}
