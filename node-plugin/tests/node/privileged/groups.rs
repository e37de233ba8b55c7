//! A pod's group, before the kernel.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::volume_capability::AccessType;
use node_plugin::mounter::Api;
use node_plugin::service::NodeService;

use super::{Machine, Present};
use crate::plugin::{config, deadlines, start_as, volume};

const GROUP: u32 = 2000;

fn grouped(change: &str, target: &Path) -> csi::NodePublishVolumeRequest {
    let mut request = volume("pvc-1", target);
    request.volume_context.insert("fsGroupChange".to_owned(), change.to_owned());
    let Some(AccessType::Mount(mount)) = &mut request.volume_capability.as_mut().unwrap().access_type else {
        panic!("a mounted volume")
    };
    mount.volume_mount_group = GROUP.to_string();
    request
}

/// Group and permissions of what is under a path; of a link, its own.
fn owned(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.gid(), found.mode() & 0o7777)
}

async fn a_volume_is_given_without_leaving_it(api: Api) {
    let machine = Machine::new(api);
    drop(machine.plugin_with_volumes().await);
    let change = |service: NodeService<_, _>| service.giving_groups(true);
    let mut plugin =
        start_as(machine.mounter.clone(), Present, &machine.disk.root, config(&machine.disk.root, deadlines()), change)
            .await;
    let (root, outside) = (machine.share().join("pvc-1"), machine.disk.root.join("outside"));
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::write(&outside, "the node's").unwrap();
    mode(&outside, 0o600);
    mode(&root, 0o755);
    for directory in ["deep/deeper", "elsewhere"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (name, permissions) in [("file", 0o600), ("program", 0o4711), ("deep/deeper/file", 0o440)] {
        fs::write(root.join(name), "x").unwrap();
        mode(&root.join(name), permissions);
    }
    for number in 0..200 {
        fs::write(root.join(format!("deep/{number}")), "x").unwrap();
    }
    let other = root.join("elsewhere");
    rustix::mount::mount("other", &other, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    fs::write(other.join("file"), "another file system's").unwrap();
    mode(&other.join("file"), 0o600);
    symlink(&outside, root.join("link")).unwrap();
    lchown(root.join("link"), Some(0), Some(0)).unwrap();
    chown(root.join("file"), Some(1000), None).unwrap();

    plugin.publish(grouped("root", &machine.target("1"))).await.unwrap();
    assert_eq!(owned(&root), (GROUP, 0o2775));
    assert_eq!(owned(&root.join("file")), (0, 0o600), "what lies below is left");
    fs::create_dir(machine.target("1").join("new")).unwrap();
    assert_eq!(owned(&root.join("new")), (GROUP, 0o2755), "what is made has the group");

    mode(&root, 0o755);
    plugin.publish(grouped("always", &machine.target("2"))).await.unwrap();
    for (name, permissions) in [
        ("", 0o2775),
        ("file", 0o660),
        ("program", 0o4771),
        ("deep", 0o2775),
        ("deep/deeper", 0o2775),
        ("deep/deeper/file", 0o660),
        ("deep/199", 0o664),
        ("new", 0o2775),
    ] {
        assert_eq!(owned(&root.join(name)), (GROUP, permissions), "{name}");
    }
    assert_eq!(fs::metadata(root.join("file")).unwrap().uid(), 1000, "owners stay");
    assert_eq!(owned(&root.join("link")).0, GROUP);
    assert_eq!(owned(&outside), (0, 0o600), "no link is followed");
    assert_eq!(owned(&other.join("file")), (0, 0o600), "no other file system is entered");
}

#[tokio::test]
async fn a_volume_is_given_without_leaving_it_through_the_mount_api() {
    a_volume_is_given_without_leaving_it(Api::Newest).await;
}

#[tokio::test]
async fn a_volume_is_given_without_leaving_it_through_mount_2() {
    a_volume_is_given_without_leaving_it(Api::Legacy).await;
}
