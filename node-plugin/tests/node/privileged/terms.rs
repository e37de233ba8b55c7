//! What attributes forbid, and what pods define by themselves, before the kernel.

use std::fs;
use std::io::ErrorKind;

use node_plugin::mounter::Api;
use tonic::Code;

use super::{Machine, Present};
use crate::plugin::{config, deadlines, failure, start_as, volume};

#[tokio::test]
async fn the_kernel_forbids_what_the_attributes_forbid() {
    for api in [Api::Newest, Api::Legacy] {
        let machine = Machine::new(api);
        let mut plugin = machine.plugin_with_volumes().await;
        for (pod, key, value) in [("1", "mountOptions", "ro,noexec"), ("2", "readOnly", "true")] {
            let target = machine.target(pod);
            let mut request = volume("pvc-1", &target);
            request.volume_context.insert(key.to_owned(), value.to_owned());
            plugin.publish(request).await.unwrap();
            assert_eq!(fs::write(target.join("file"), "x").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem, "{key}");
        }
    }
}

/// Below an admitted share, links may be a pod's.
#[tokio::test]
async fn an_inline_volume_is_not_led_off_its_share() {
    let machine = Machine::new(Api::Newest);
    let list = r#"[{"server": "server", "share": "/share"}]"#;
    let change = |service: node_plugin::service::NodeService<_, _>| service.admitting(list.parse().unwrap());
    let mut plugin =
        start_as(machine.mounter.clone(), Present, &machine.disk.root, config(&machine.disk.root, deadlines()), change)
            .await;
    let inline = |share: &str, pod: &str| {
        let mut request = volume("", &machine.target(pod));
        request.volume_context.insert("share".to_owned(), share.to_owned());
        request.volume_context.insert("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned());
        request
    };
    plugin.publish(inline("/share", "1")).await.unwrap();
    fs::create_dir(machine.target("1").join("docs")).unwrap();
    std::os::unix::fs::symlink("/etc", machine.target("1").join("evil")).unwrap();
    plugin.publish(inline("/share/docs", "2")).await.unwrap();
    fs::write(machine.target("2").join("file"), "hello").unwrap();
    assert_eq!(fs::read_to_string(machine.target("1").join("docs/file")).unwrap(), "hello");
    let (code, text) = failure(plugin.publish(inline("/share/evil", "3")).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("symbolic link"), "{text}");
    assert_eq!(failure(plugin.publish(inline("/", "3")).await).0, Code::PermissionDenied);
}
