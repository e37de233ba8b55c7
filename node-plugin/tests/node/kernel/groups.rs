//! A pod's group, on a real server.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use csi_proto::csi;
use csi_proto::csi::volume_capability::AccessType;
use node_plugin::mounter::{Api, LinuxMounter};
use node_plugin::server::Network;
use node_plugin::service::NodeService;

use super::{Machine, beside};
use crate::plugin::{Plugin, config, real, start_as};

const GROUP: u32 = 2000;

fn grouped(mut request: csi::NodePublishVolumeRequest, change: &str) -> csi::NodePublishVolumeRequest {
    request.volume_context.insert("fsGroupChange".to_owned(), change.to_owned());
    let Some(AccessType::Mount(mount)) = &mut request.volume_capability.as_mut().unwrap().access_type else {
        panic!("a mounted volume")
    };
    mount.volume_mount_group = GROUP.to_string();
    request
}

async fn driver(machine: &Machine) -> Plugin<LinuxMounter, Network> {
    let change = |service: NodeService<_, _>| service.giving_groups(true);
    start_as(machine.mounter.clone(), Network::new(), &machine.disk.root, config(&machine.disk.root, real()), change)
        .await
}

fn owned(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.gid(), found.mode() & 0o7777)
}

#[tokio::test]
async fn a_volume_on_a_server_is_given_to_a_group() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = driver(&machine).await;
    let root = machine.inside().join("pvc-1");
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(root.join("deep/deeper")).unwrap();
    for name in ["file", "deep/deeper/file", "program"] {
        fs::write(root.join(name), "x").unwrap();
        mode(&root.join(name), 0o600);
    }
    mode(&root.join("program"), 0o4711);
    symlink("/etc/passwd", root.join("link")).unwrap();
    mode(&root, 0o755);
    let passwd = owned(Path::new("/etc/passwd"));

    let (first, second) = (machine.target("1"), machine.target("2"));
    plugin.publish(grouped(machine.volume("pvc-1", &first), "root")).await.unwrap();
    assert_eq!(owned(&first), (GROUP, 0o2775));
    assert_eq!(owned(&first.join("file")), (0, 0o600));
    fs::write(first.join("new"), "x").unwrap();
    assert_eq!(owned(&first.join("new")).0, GROUP, "what is made has the group");

    mode(&first, 0o755);
    plugin.publish(grouped(machine.volume("pvc-1", &second), "always")).await.unwrap();
    for (name, permissions) in
        [("", 0o2775), ("file", 0o660), ("program", 0o4771), ("deep/deeper", 0o2775), ("deep/deeper/file", 0o660)]
    {
        assert_eq!(owned(&second.join(name)), (GROUP, permissions), "{name}");
    }
    assert_eq!(owned(Path::new("/etc/passwd")), passwd, "no link is followed");
    for target in [first, second] {
        plugin.unpublish(&target).await.unwrap();
    }
}

#[tokio::test]
async fn where_root_is_nobody_a_pod_with_a_group_gets_its_volume() {
    let machine = Machine::new(Api::Newest);
    let mut plugin = driver(&machine).await;
    for change in ["root", "always"] {
        let target = machine.target(change);
        plugin.publish(grouped(beside(&machine, "squashed", &target), change)).await.unwrap();
        assert_ne!(owned(&target).0, GROUP);
        plugin.unpublish(&target).await.unwrap();
    }
    let text = plugin.metrics.encode().unwrap();
    assert!(text.contains("berth_fs_group_refused_total 2"), "{text}");
}
