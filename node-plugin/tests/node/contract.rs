//! What every mounter does. The bodies run against the scripted mounter always and against the kernel with the feature `privileged`.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};

use node_plugin::mounter::{COVER, Cause, Fault, Kind, MountRequest, Mounter, Ownership, Unmount};
use rustix::io::Errno;
use volume::SubPath;
use volume::mount_options::MountAttributes;

use crate::fake::FakeMounter;

/// A mounter, a directory of the node to mount in, and the means to prepare what it meets.
pub(crate) trait Bench {
    type M: Ownership;

    fn mounter(&self) -> &Self::M;

    fn dir(&self) -> &Path;

    /// What is mounted: a share that exists and is empty.
    fn request(&self) -> MountRequest {
        MountRequest {
            source: "server:/share".to_owned(),
            address: "10.0.0.5:2049".parse().unwrap(),
            options: Vec::new(),
            attributes: MountAttributes::default(),
        }
    }

    /// Creates a directory on the share, which is mounted at `share`.
    fn make_on_share(&self, share: &Path, name: &str);

    /// Uses what is mounted at a place until the answer is dropped.
    fn hold(&self, at: &Path) -> Box<dyn Any>;
}

fn place(bench: &impl Bench, name: &str) -> PathBuf {
    let path = bench.dir().join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

fn mount(bench: &impl Bench, name: &str) -> PathBuf {
    let at = place(bench, name);
    let tree = bench.mounter().mount(&bench.request()).unwrap();
    bench.mounter().attach(tree, &at).unwrap();
    at
}

fn clone_of<B: Bench>(
    bench: &B,
    from: &Path,
    below: Option<&SubPath>,
    attributes: MountAttributes,
) -> Result<<B::M as Mounter>::Tree, Fault> {
    let root = bench.mounter().open(from).unwrap();
    bench.mounter().clone_tree(&root, below, attributes)
}

fn locations(bench: &impl Bench, at: &Path) -> Vec<String> {
    bench.mounter().table().unwrap().stack(at).iter().map(|entry| entry.location()).collect()
}

/// Runs every body.
pub(crate) fn hold_to_contract<B: Bench>(bench: impl Fn() -> B) {
    a_mount_is_seen_where_it_is_attached(&bench());
    a_clone_has_flags_of_its_own_and_the_superblock_of_its_origin(&bench());
    a_directory_that_is_missing_is_said_to_be(&bench());
    a_tree_that_is_dropped_leaves_nothing(&bench());
    of_a_mount_that_was_undone_there_are_no_clones(&bench());
    nothing_is_mounted_through_a_symbolic_link(&bench());
    of_a_stack_the_top_is_undone_first(&bench());
    a_mount_in_use_can_only_be_detached(&bench());
    a_mounted_file_system_tells_its_size(&bench());
    a_covered_directory_is_attached_and_detached_with_its_mount(&bench());
    what_lies_in_a_tree_is_told_and_can_be_given_to_a_group(&bench());
}

fn a_mount_is_seen_where_it_is_attached(bench: &impl Bench) {
    let at = mount(bench, "share");
    let table = bench.mounter().table().unwrap();
    let entry = table.top(&at).unwrap();
    let root = bench.mounter().open(&at).unwrap();
    assert_eq!(bench.mounter().device(&root).unwrap(), entry.device);
    drop(root);
    assert_eq!(entry.location(), bench.request().source);
    assert_eq!(entry.attributes, MountAttributes { relatime: true, ..MountAttributes::default() });
    bench.mounter().unmount(&at, Unmount::Plain).unwrap();
    assert!(locations(bench, &at).is_empty());
}

fn a_clone_has_flags_of_its_own_and_the_superblock_of_its_origin(bench: &impl Bench) {
    let share = mount(bench, "share");
    bench.make_on_share(&share, "pvc-1");
    let flags = MountAttributes {
        read_only: true,
        noexec: true,
        nosuid: true,
        nodev: true,
        noatime: true,
        ..Default::default()
    };
    let below = "pvc-1".parse().unwrap();
    let at = place(bench, "target");
    let tree = clone_of(bench, &share, Some(&below), flags).unwrap();
    bench.mounter().attach(tree, &at).unwrap();

    let table = bench.mounter().table().unwrap();
    let (origin, clone) = (table.top(&share).unwrap(), table.top(&at).unwrap());
    assert_eq!(clone.location(), format!("{}/pvc-1", bench.request().source));
    assert_eq!(clone.device, origin.device);
    assert_eq!(clone.attributes, flags);
    assert!(!origin.attributes.read_only, "the origin keeps its own");

    let whole = place(bench, "whole");
    let tree = clone_of(bench, &share, None, MountAttributes::default()).unwrap();
    bench.mounter().attach(tree, &whole).unwrap();
    assert_eq!(locations(bench, &whole), [bench.request().source]);
    for at in [&whole, &at, &share] {
        bench.mounter().unmount(at, Unmount::Plain).unwrap();
    }
}

fn a_directory_that_is_missing_is_said_to_be(bench: &impl Bench) {
    let share = mount(bench, "share");
    let missing = "pvc-none".parse().unwrap();
    let Err(fault) = clone_of(bench, &share, Some(&missing), MountAttributes::default()) else {
        panic!("there is no such directory");
    };
    assert_eq!(fault.cause(), Cause::NoSuchDirectory);
    bench.mounter().unmount(&share, Unmount::Plain).unwrap();
}

fn a_tree_that_is_dropped_leaves_nothing(bench: &impl Bench) {
    let share = mount(bench, "share");
    let before = bench.mounter().table().unwrap();
    drop(clone_of(bench, &share, None, MountAttributes::default()).unwrap());
    assert_eq!(bench.mounter().table().unwrap(), before);
    bench.mounter().unmount(&share, Unmount::Plain).unwrap();
}

fn of_a_mount_that_was_undone_there_are_no_clones(bench: &impl Bench) {
    let share = mount(bench, "share");
    let root = bench.mounter().open(&share).unwrap();
    bench.mounter().unmount(&share, Unmount::Detach).unwrap();
    // mount(2) finds out when it attaches.
    let at = place(bench, "target");
    let cloned = bench.mounter().clone_tree(&root, None, MountAttributes::default());
    let fault = cloned.and_then(|tree| bench.mounter().attach(tree, &at)).unwrap_err();
    assert_eq!(fault.errno, Errno::INVAL);
}

fn nothing_is_mounted_through_a_symbolic_link(bench: &impl Bench) {
    let real = place(bench, "real");
    let link = bench.dir().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let tree = bench.mounter().mount(&bench.request()).unwrap();
    let fault = bench.mounter().attach(tree, &link).unwrap_err();
    assert_eq!(fault.errno, Errno::NOTDIR);
    assert!(locations(bench, &real).is_empty());
    fs::remove_file(&link).unwrap();
}

fn of_a_stack_the_top_is_undone_first(bench: &impl Bench) {
    let share = mount(bench, "share");
    bench.make_on_share(&share, "below");
    bench.make_on_share(&share, "above");
    let at = place(bench, "stack");
    // The order in which mounts are made says nothing: that in which they are attached does.
    let [above, below] = ["above", "below"]
        .map(|name| clone_of(bench, &share, Some(&name.parse().unwrap()), MountAttributes::default()).unwrap());
    bench.mounter().attach(below, &at).unwrap();
    bench.mounter().attach(above, &at).unwrap();
    let source = bench.request().source;
    assert_eq!(locations(bench, &at), [format!("{source}/below"), format!("{source}/above")]);
    bench.mounter().unmount(&at, Unmount::Plain).unwrap();
    assert_eq!(locations(bench, &at), [format!("{source}/below")]);
    bench.mounter().unmount(&at, Unmount::Plain).unwrap();
    let error = bench.mounter().unmount(&at, Unmount::Plain).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL), "nothing is left");
    bench.mounter().unmount(&share, Unmount::Plain).unwrap();
}

fn a_mount_in_use_can_only_be_detached(bench: &impl Bench) {
    let at = mount(bench, "share");
    let user = bench.hold(&at);
    let error = bench.mounter().unmount(&at, Unmount::Plain).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::BUSY));
    bench.mounter().unmount(&at, Unmount::Detach).unwrap();
    assert!(locations(bench, &at).is_empty());
    drop(user);
}

fn a_mounted_file_system_tells_its_size(bench: &impl Bench) {
    let at = mount(bench, "share");
    let usage = bench.mounter().usage(&at).unwrap();
    assert!(usage.total_bytes > 0 && usage.total_inodes >= usage.free_inodes, "{usage:?}");
    bench.mounter().unmount(&at, Unmount::Plain).unwrap();
}

fn a_covered_directory_is_attached_and_detached_with_its_mount(bench: &impl Bench) {
    let share = mount(bench, "share");
    let covered = || {
        let tree = clone_of(bench, &share, None, MountAttributes::default()).unwrap();
        bench.mounter().cover(tree, "own").unwrap()
    };
    let at = place(bench, "target");
    bench.mounter().attach(covered(), &at).unwrap();
    assert!(locations(bench, &at.join("own")).is_empty(), "there is none");
    bench.mounter().unmount(&at, Unmount::Plain).unwrap();

    bench.make_on_share(&share, "own");
    let before = bench.mounter().table().unwrap();
    drop(covered());
    assert_eq!(bench.mounter().table().unwrap(), before, "a stage is left");
    bench.mounter().attach(covered(), &at).unwrap();
    let table = bench.mounter().table().unwrap();
    let (volume, cover) = (table.top(&at).unwrap(), table.top(&at.join("own")).unwrap());
    assert_eq!((cover.source.as_str(), cover.parent), (COVER, volume.id));
    assert_eq!(volume.location(), bench.request().source);
    let error = bench.mounter().unmount(&at, Unmount::Plain).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::BUSY));
    bench.mounter().unmount(&at, Unmount::Detach).unwrap();
    assert_eq!(bench.mounter().table().unwrap(), before);
    bench.mounter().unmount(&share, Unmount::Plain).unwrap();
}

fn what_lies_in_a_tree_is_told_and_can_be_given_to_a_group(bench: &impl Bench) {
    let share = mount(bench, "share");
    bench.make_on_share(&share, "owned");
    let tree = clone_of(bench, &share, None, MountAttributes::default()).unwrap();
    let mounter = bench.mounter();
    let (root, owned) = mounter.root(&tree).unwrap();
    assert_eq!(owned.kind, Kind::Directory);
    let mut listing = mounter.list(&root).unwrap();
    let mut names = Vec::new();
    while let Some(name) = mounter.next_name(&mut listing).unwrap() {
        names.push(name);
    }
    assert!(
        names.contains(&b"owned".to_vec()) && !names.iter().any(|name| matches!(&name[..], b"." | b"..")),
        "{names:?}"
    );
    let (entry, owned) = mounter.entry(&listing, b"owned").unwrap().expect("it is of the same file system");
    assert_eq!(owned.kind, Kind::Directory);
    mounter.set_group(&entry, 2000).unwrap();
    mounter.set_mode(&entry, 0o2770).unwrap();
    let (_, owned) = mounter.entry(&listing, b"owned").unwrap().unwrap();
    assert_eq!((owned.group, owned.mode), (2000, 0o2770));
    assert_eq!(mounter.entry(&listing, b"missing").err().map(|fault| fault.errno), Some(Errno::NOENT));
    drop((tree, root, listing, entry));
    bench.mounter().unmount(&share, Unmount::Plain).unwrap();
}

struct Scripted {
    mounter: FakeMounter,
    dir: tempfile::TempDir,
}

impl Bench for Scripted {
    type M = FakeMounter;

    fn mounter(&self) -> &FakeMounter {
        &self.mounter
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn make_on_share(&self, _share: &Path, name: &str) {
        self.mounter.make(&format!("{}/{name}", self.request().source));
    }

    fn hold(&self, at: &Path) -> Box<dyn Any> {
        self.mounter.hold(at);
        Box::new(())
    }
}

#[test]
fn the_scripted_mounter_keeps_the_contract() {
    hold_to_contract(|| {
        let mounter = FakeMounter::default();
        mounter.make("server:/share");
        Scripted { mounter, dir: tempfile::tempdir().unwrap() }
    });
}
