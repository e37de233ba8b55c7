//! Servers with several addresses, over the scripted mounter.

use std::net::SocketAddr;

use csi_proto::csi::volume_capability::access_mode::Mode;
use tonic::Code;

use crate::plugin::{capability, failure, volume};
use crate::service::{locations, scene};

#[tokio::test]
async fn the_addresses_of_a_server_are_tried_until_one_answers() {
    let mut scene = scene().await;
    let [bad, good]: [SocketAddr; 2] = ["10.1.0.9:2049", "10.1.0.5:2049"].map(|text| text.parse().unwrap());
    scene.kernel.resolve("server", &[bad, good]);
    scene.kernel.close(bad);
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    assert_eq!(scene.kernel.mounted_from(), [good], "nothing is mounted from one that does not answer");
    assert_eq!(locations(&scene, &scene.target("1")), ["server:/share/pvc-1"]);
}

/// The question goes by TCP, which is another port.
#[tokio::test]
async fn a_port_of_rdma_is_mounted_from_without_a_question() {
    let mut scene = scene().await;
    let address: SocketAddr = "10.1.0.5:20049".parse().unwrap();
    scene.kernel.resolve("server", &[address]);
    scene.kernel.refuse_questions(address);
    let mut request = volume("pvc-1", &scene.target("1"));
    request.volume_context.insert("server".to_owned(), "server:20049".to_owned());
    assert_eq!(failure(scene.plugin.publish(request.clone()).await).0, Code::Unavailable, "by TCP it must answer");
    request.volume_capability = Some(capability(Mode::MultiNodeMultiWriter, &["proto=rdma"]));
    scene.plugin.publish(request).await.unwrap();
    assert_eq!(scene.kernel.mounted_from(), [address]);
}

#[tokio::test]
async fn an_address_that_dies_before_the_mount_gives_way_to_the_next() {
    let mut scene = scene().await;
    let [dying, good]: [SocketAddr; 2] = ["10.1.0.5:2049", "10.1.0.9:2049"].map(|text| text.parse().unwrap());
    scene.kernel.resolve("server", &[dying, good]);
    scene.kernel.close_after_ping(dying);
    scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await.unwrap();
    assert_eq!(scene.kernel.mounted_from(), [dying, good]);
}

#[tokio::test]
async fn a_server_none_of_whose_addresses_answers_is_told_with_all_of_them() {
    let mut scene = scene().await;
    let [first, second, third]: [SocketAddr; 3] =
        ["10.1.0.5:2049", "10.1.0.7:2049", "10.1.0.9:2049"].map(|text| text.parse().unwrap());
    scene.kernel.close(first);
    scene.kernel.close(second);
    scene.kernel.close_after_ping(third);
    let mut texts = Vec::new();
    for order in [[first, second, third], [third, first, second]] {
        scene.kernel.resolve("server", &order);
        let (code, text) = failure(scene.plugin.publish(volume("pvc-1", &scene.target("1"))).await);
        assert_eq!(code, Code::Unavailable, "{text}");
        texts.push(text);
    }
    assert_eq!(
        texts[0],
        "cannot mount server:/share (also tried: 10.1.0.7:2049 refuses connections; 10.1.0.9:2049 stopped answering: \
         fsconfig(create): Connection refused (os error 111)): 10.1.0.5:2049 refuses connections: check that the NFS server \
         runs and listens on this port, or correct \"server\" in the StorageClass"
    );
    assert_eq!(texts[0], texts[1], "the resolver's order makes no event of its own");
    assert!(!scene.target("1").exists());
}
