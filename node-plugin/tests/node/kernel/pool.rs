//! The pool over the NFS client: what it believes of the server, and what outlives it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use node_plugin::mounter::{Api, Mounter, Unmount};
use node_plugin::mountinfo::Entry;
use node_plugin::publish::Publish;
use node_plugin::server::Network;
use volume::{AccessMode, MountOptions, VolumeContext};

use super::{Machine, given, request};
use crate::container::Container;

/// What the direct path relies on: the kernel tells where a path has led.
#[test]
fn a_mount_through_a_link_is_shown_where_it_led() {
    let machine = Machine::new(Api::Newest);
    for name in ["pvc-1", "pvc-2"] {
        fs::create_dir(machine.inside().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("../pvc-2", machine.inside().join("pvc-1/evil")).unwrap();
    let at = machine.disk.root.join("at");
    fs::create_dir(&at).unwrap();
    for (path, led) in [("pvc-1/evil", "pvc-2"), ("pvc-1", "pvc-1")] {
        let tree = machine.mounter.mount(&request(&machine.server, &format!("{}/{path}", machine.share))).unwrap();
        machine.mounter.attach(tree, &at).unwrap();
        let location = machine.mounter.table().unwrap().top(&at).unwrap().location();
        assert!(location.ends_with(&format!(":{}/{led}", machine.share)), "{path}: {location}");
        machine.mounter.unmount(&at, Unmount::Plain).unwrap();
    }
}

/// A plugin that is replaced: its pool ends with its mount namespace, and its successor's joins what pods still use.
#[test]
fn pods_mounts_outlive_the_plugins_namespace_and_the_next_pool_joins_their_superblock() {
    let machine = Machine::new(Api::Newest);
    fs::create_dir(machine.inside().join("pvc-1")).unwrap();
    let kubelet = machine.disk.root.clone();
    let (first, second) = (machine.target("1"), machine.target("2"));
    let publish = |target: &Path| {
        let request = machine.volume("pvc-1", target);
        Publish {
            volume: request.volume_id,
            context: VolumeContext::from_map(&request.volume_context).unwrap().0,
            options: MountOptions::default(),
            mode: AccessMode::MultiNodeMultiWriter,
            read_only: false,
            target: target.to_owned(),
        }
    };
    let device = |at: &Path| machine.mounter.table().unwrap().top(at).unwrap().device;

    let container = Container::start(machine.mounter.clone(), Network::new(), &kubelet);
    container.publish(publish(&first));
    let mut open = File::create(first.join("file")).unwrap();
    let table = machine.mounter.table().unwrap();
    let of_share = |entry: &&Entry| entry.source.contains(&machine.share);
    assert_eq!(table.entries().iter().filter(of_share).count(), 1, "of the share, the node sees the pod's mount alone");
    container.end();

    open.write_all(b"written after the end").unwrap();
    open.sync_all().unwrap();
    assert_eq!(fs::read_to_string(first.join("file")).unwrap(), "written after the end");
    let container = Container::start(machine.mounter.clone(), Network::new(), &kubelet);
    container.publish(publish(&first));
    container.publish(publish(&second));
    assert_eq!(device(&first), device(&second), "the successor's share is on the superblock that pods use");
    assert_eq!(fs::read_to_string(second.join("file")).unwrap(), "written after the end");
    drop(open);
    for target in [first, second] {
        container.with(move |runtime, node, _| runtime.block_on(node.unpublish(&target)).unwrap());
    }
    container.end();
}

/// The share's parent on a superblock of its own: whoever changes something there, this node's client of the pool does not know of it.
fn apart(machine: &Machine) -> PathBuf {
    let at = machine.disk.root.join("elsewhere");
    fs::create_dir(&at).unwrap();
    let mut apart = request(&machine.server, &given("BERTH_TEST_SHARE"));
    apart.options.push(("nosharecache".to_owned(), None));
    machine.mounter.attach(machine.mounter.mount(&apart).unwrap(), &at).unwrap();
    at
}

#[tokio::test]
async fn a_share_that_was_replaced_on_the_server_gives_way_to_the_new_one() {
    let machine = Machine::new(Api::Newest);
    let elsewhere = apart(&machine);
    let (share, old) = (elsewhere.join(&machine.name), elsewhere.join(format!("{}-old", machine.name)));
    for (pods, name) in [(true, "pvc-1"), (false, "pvc-2")] {
        fs::create_dir_all(share.join("pvc-0")).unwrap();
        let mut plugin = machine.plugin().await;
        let (before, after) = (machine.target(&format!("before-{name}")), machine.target(name));
        plugin.publish(machine.volume("pvc-0", &before)).await.unwrap();
        fs::write(before.join("file"), "old").unwrap();
        if !pods {
            plugin.unpublish(&before).await.unwrap();
        }
        fs::rename(&share, &old).unwrap();
        fs::create_dir_all(share.join(name)).unwrap();
        fs::write(share.join(name).join("file"), "new").unwrap();

        plugin.publish(machine.volume(name, &after)).await.unwrap();
        assert_eq!(fs::read_to_string(after.join("file")).unwrap(), "new", "pods: {pods}");
        if pods {
            assert_eq!(fs::read_to_string(before.join("file")).unwrap(), "old", "the old pod keeps its volume");
            plugin.unpublish(&before).await.unwrap();
        }
        plugin.unpublish(&after).await.unwrap();
        plugin.node.sweep().await.unwrap();
        fs::remove_dir_all(&old).unwrap();
    }
    machine.mounter.unmount(&elsewhere, Unmount::Plain).unwrap();
}

#[tokio::test]
async fn a_share_whose_root_is_stale_is_mounted_afresh_at_once() {
    let machine = Machine::new(Api::Newest);
    let elsewhere = apart(&machine);
    let share = elsewhere.join(&machine.name);
    for pods in [true, false] {
        fs::create_dir_all(share.join("pvc-1")).unwrap();
        let mut plugin = machine.plugin().await;
        let (before, after) = (machine.target(&format!("before-{pods}")), machine.target(&format!("after-{pods}")));
        plugin.publish(machine.volume("pvc-1", &before)).await.unwrap();
        if !pods {
            plugin.unpublish(&before).await.unwrap();
        }
        fs::remove_dir_all(&share).unwrap();
        fs::create_dir_all(share.join("pvc-1")).unwrap();
        fs::write(share.join("pvc-1/file"), "new").unwrap();

        plugin.publish(machine.volume("pvc-1", &after)).await.unwrap();
        assert_eq!(fs::read_to_string(after.join("file")).unwrap(), "new", "pods: {pods}");
        for target in [&before, &after] {
            plugin.unpublish(target).await.unwrap();
        }
        plugin.node.sweep().await.unwrap();
    }
    machine.mounter.unmount(&elsewhere, Unmount::Plain).unwrap();
}
