//! The CSI services as a caller sees them: gRPC over a unix socket, with the fake NFS server behind.

#![allow(clippy::unwrap_used, reason = "what the tests share fails like the tests themselves")]

use std::collections::BTreeMap;

use controller::operations::{Counts, Operations, register_servers};
use controller::servers::{Servers, Settings};
use controller::service::ControllerService;
use csi_proto::csi;
use csi_proto::csi::controller_client::ControllerClient;
use csi_proto::csi::controller_service_capability::Type as CapabilityType;
use csi_proto::csi::controller_service_capability::rpc::Type as Rpc;
use csi_proto::csi::volume_capability::access_mode::Mode;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::{Endpoint, serve};
use nfs_client::{Client, Config, SourcePort};
use nfs_testkit::fake::FakeServer;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A controller on a socket.
struct Process {
    client: ControllerClient<Channel>,
    server: FakeServer,
    metrics: Metrics,
    _shutdown: DropGuard,
    _directory: tempfile::TempDir,
}

async fn start() -> Process {
    let server = FakeServer::new();
    server.make_dir("/export");
    let (directory, metrics, shutdown) = (tempfile::tempdir().unwrap(), Metrics::new(), CancellationToken::new());
    let mut settings = Settings::new("test", SourcePort::Any);
    let connector = server.connector();
    settings.connect = Box::new(move |_| Client::with_connector(Config::new("fake", 2049), connector.clone()));
    let servers = Servers::new(settings);
    register_servers(&metrics, servers.clone());
    let operations = Operations::new("csi.example", servers, Counts::new(&metrics));
    let endpoint: Endpoint = format!("unix://{}/csi.sock", directory.path().display()).parse().unwrap();
    let routes = Routes::new(ControllerService::new(operations).into_service());
    tokio::spawn(serve(endpoint.bind().unwrap(), routes, RpcMetrics::new(&metrics), shutdown.clone()));
    let client = ControllerClient::new(endpoint.connect().await.unwrap());
    Process { client, server, metrics, _shutdown: shutdown.drop_guard(), _directory: directory }
}

fn capability(mode: Mode) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

fn block() -> csi::VolumeCapability {
    csi::VolumeCapability { access_type: Some(AccessType::Block(BlockVolume {})), ..capability(Mode::SingleNodeWriter) }
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn request(name: &str, parameters: &[(&str, &str)]) -> csi::CreateVolumeRequest {
    let mut all = map(&[("server", "fake"), ("share", "/export")]);
    all.extend(map(parameters));
    csi::CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: 10, limit_bytes: 10 }),
        volume_capabilities: vec![capability(Mode::MultiNodeMultiWriter)],
        parameters: all,
        ..Default::default()
    }
}

impl Process {
    async fn create(&mut self, request: csi::CreateVolumeRequest) -> Result<csi::Volume, Status> {
        self.client.create_volume(request).await.map(|answer| answer.into_inner().volume.unwrap())
    }

    async fn delete(&mut self, id: &str) -> Result<(), Status> {
        let request = csi::DeleteVolumeRequest { volume_id: id.to_owned(), ..Default::default() };
        self.client.delete_volume(request).await.map(drop)
    }

    async fn validate(
        &mut self,
        request: csi::ValidateVolumeCapabilitiesRequest,
    ) -> Result<csi::ValidateVolumeCapabilitiesResponse, Status> {
        self.client.validate_volume_capabilities(request).await.map(tonic::Response::into_inner)
    }
}

#[tokio::test]
async fn a_volume_lives_from_create_to_delete() {
    let mut process = start().await;
    let mut volume = process.create(request("pvc-1", &[("mountPermissions", "0750")])).await.unwrap();
    assert_eq!(volume.volume_id, "berth://fake/export#pvc-1");
    assert_eq!(volume.capacity_bytes, 10);
    let identity = volume.volume_context.remove("shareIdentity").unwrap();
    assert!(identity.parse::<volume::ShareIdentity>().is_ok(), "{identity}");
    let expected = [("server", "fake"), ("share", "/export"), ("subDir", "pvc-1"), ("accessModes", "ReadWriteMany")];
    assert_eq!(volume.volume_context, map(&expected));
    assert_eq!(process.server.mode("/export/pvc-1"), Some(0o750));
    process.delete(&volume.volume_id).await.unwrap();
    process.delete(&volume.volume_id).await.unwrap();
    assert!(!process.server.exists("/export/pvc-1"));

    let text = process.metrics.encode().unwrap();
    for line in [
        "berth_operations_total{operation=\"CreateVolume\",code=\"OK\"} 1",
        "berth_operations_total{operation=\"DeleteVolume\",code=\"OK\"} 2",
        "berth_nfs_round_trips_total{server=\"fake\"} ",
        "berth_nfs_lease_renewals_total{server=\"fake\"} ",
        "berth_trash_trees{server=\"fake\",share=\"/export\"} ",
        "berth_trash_stuck{server=\"fake\",share=\"/export\"} ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn only_what_is_offered_is_announced_and_the_rest_is_unimplemented() {
    let mut process = start().await;
    let answer = process.client.controller_get_capabilities(csi::ControllerGetCapabilitiesRequest {}).await.unwrap();
    let kinds = answer.into_inner().capabilities.into_iter().filter_map(|capability| capability.r#type);
    let announced = kinds.map(|CapabilityType::Rpc(rpc)| rpc.r#type());
    assert_eq!(announced.collect::<Vec<_>>(), [Rpc::CreateDeleteVolume, Rpc::SingleNodeMultiWriter]);
    let client = &mut process.client;
    let codes = [
        client.list_volumes(csi::ListVolumesRequest::default()).await.unwrap_err(),
        client.get_capacity(csi::GetCapacityRequest::default()).await.unwrap_err(),
        client.create_snapshot(csi::CreateSnapshotRequest::default()).await.unwrap_err(),
        client.controller_expand_volume(csi::ControllerExpandVolumeRequest::default()).await.unwrap_err(),
        client.controller_publish_volume(csi::ControllerPublishVolumeRequest::default()).await.unwrap_err(),
        client.controller_get_volume_health(csi::ControllerGetVolumeHealthRequest::default()).await.unwrap_err(),
        client.controller_list_volume_health(csi::ControllerListVolumeHealthRequest::default()).await.unwrap_err(),
    ];
    assert!(codes.iter().all(|status| status.code() == Code::Unimplemented), "{codes:?}");
}

/// Every request that is wrong in itself: `INVALID_ARGUMENT`, a text that names what is wrong, and nothing on the share.
#[tokio::test]
async fn bad_requests_are_named_and_change_nothing() {
    let mut process = start().await;
    let good = || request("pvc-1", &[]);
    let parameter = |key: &str, value: &str| request("pvc-1", &[(key, value)]);
    let without = |key: &str| {
        let mut request = request("pvc-1", &[]);
        request.parameters.remove(key);
        request
    };
    let flags = |flags: &[&str]| {
        let mount_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mount = MountVolume { mount_flags, ..Default::default() };
        let capability =
            csi::VolumeCapability { access_type: Some(AccessType::Mount(mount)), ..capability(Mode::SingleNodeWriter) };
        csi::CreateVolumeRequest { volume_capabilities: vec![capability], ..request("pvc-1", &[]) }
    };
    let size = |required_bytes, limit_bytes| csi::CreateVolumeRequest {
        capacity_range: Some(csi::CapacityRange { required_bytes, limit_bytes }),
        ..request("pvc-1", &[])
    };
    let long = format!("/{}", "x".repeat(120));
    let cases = [
        (csi::CreateVolumeRequest { name: String::new(), ..good() }, "name is missing"),
        (csi::CreateVolumeRequest { volume_capabilities: Vec::new(), ..good() }, "volume_capabilities is missing"),
        (csi::CreateVolumeRequest { volume_capabilities: vec![block()], ..good() }, "block volumes are not offered"),
        (flags(&["nfsvers=3"]), "below 4.1"),
        (flags(&["hrad"]), "did you mean"),
        (flags(&["port=20049"]), "write \"server\" as host:port"),
        (parameter("sharre", "/x"), "parameter \"sharre\" is not known, did you mean \"share\"?"),
        (parameter("mountPermissions", "rwx"), "parameter \"mountPermissions\" is \"rwx\"; write an octal mode"),
        (parameter("mountPermissions", "0888"), "parameter \"mountPermissions\" is \"0888\""),
        (parameter("subDir", "../other"), "\"..\""),
        (parameter("subDir", "a/../../b"), "\"..\""),
        (parameter("subDir", "/"), "the path is empty"),
        (parameter("subDir", ".berth/records"), "keeps for itself"),
        (parameter("subDir", "${pvc.metadata.name}"), "--extra-create-metadata"),
        (parameter("uid", "root"), "parameter \"uid\" is \"root\""),
        (parameter("onDelete", "archive"), "not offered yet"),
        (parameter("server", "nfs://host"), "parameter \"server\" is not valid"),
        (parameter("share", "relative"), "does not begin with \"/\""),
        (parameter("share", &long), "no volume id of at most 128 bytes"),
        (without("server"), "parameter \"server\" is missing"),
        (without("share"), "parameter \"share\" is missing"),
        (size(2, 1), "above the limit"),
        (size(-1, 0), "cannot be negative"),
        (
            csi::CreateVolumeRequest { volume_content_source: Some(csi::VolumeContentSource::default()), ..good() },
            "cannot be made from a snapshot",
        ),
        (
            csi::CreateVolumeRequest { mutable_parameters: map(&[("a", "b")]), ..good() },
            "VolumeAttributesClass are not offered yet",
        ),
    ];
    for (request, part) in cases {
        let status = process.create(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert!(status.message().contains(part), "{part:?} is not in {:?}", status.message());
        assert!(status.details().is_empty());
    }
    assert_eq!(process.delete("").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(process.server.list("/export"), Some(Vec::new()));
}

#[tokio::test]
async fn every_access_mode_and_any_topology_is_accepted() {
    let mut process = start().await;
    for mode in 1..=7 {
        let mode = Mode::try_from(mode).unwrap();
        let mut wanted = request(&format!("pvc-{}", i32::from(mode)), &[]);
        wanted.volume_capabilities = vec![capability(mode)];
        wanted.accessibility_requirements = Some(csi::TopologyRequirement::default());
        process.create(wanted).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_name_with_another_size_exists_already() {
    let mut process = start().await;
    let first = process.create(request("pvc-1", &[])).await.unwrap();
    assert_eq!(process.create(request("pvc-1", &[])).await.unwrap(), first);
    let mut larger = request("pvc-1", &[]);
    larger.capacity_range = Some(csi::CapacityRange { required_bytes: 20, limit_bytes: 20 });
    assert_eq!(process.create(larger).await.unwrap_err().code(), Code::AlreadyExists);
}

/// kubelet tells a node the first mode of the list and no other.
#[tokio::test]
async fn a_volume_carries_every_mode_that_it_was_made_for() {
    let mut process = start().await;
    let mut asked = request("pvc-1", &[("fsGroupChange", "always")]);
    asked.volume_capabilities =
        [Mode::MultiNodeReaderOnly, Mode::SingleNodeMultiWriter, Mode::MultiNodeReaderOnly].map(capability).to_vec();
    for _ in 0..2 {
        let volume = process.create(asked.clone()).await.unwrap();
        assert_eq!(volume.volume_context["accessModes"], "ReadOnlyMany,ReadWriteOnce");
        assert_eq!(volume.volume_context["fsGroupChange"], "always", "and what else a node must know");
    }
}

#[tokio::test]
async fn capabilities_are_validated_against_the_volume() {
    let mut process = start().await;
    let volume = process.create(request("pvc-1", &[])).await.unwrap();
    let question = |capabilities: Vec<csi::VolumeCapability>| csi::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.volume_id.clone(),
        volume_context: volume.volume_context.clone(),
        volume_capabilities: capabilities,
        ..Default::default()
    };
    let wanted = vec![capability(Mode::MultiNodeMultiWriter), capability(Mode::SingleNodeSingleWriter)];
    let answer = process.validate(question(wanted.clone())).await.unwrap();
    let confirmed = answer.confirmed.unwrap();
    assert_eq!(
        (confirmed.volume_capabilities, confirmed.volume_context),
        (wanted.clone(), volume.volume_context.clone())
    );

    let answer = process.validate(question(vec![block()])).await.unwrap();
    assert!(answer.confirmed.is_none() && answer.message.contains("block volumes are not offered"), "{answer:?}");
    let mut other = question(wanted.clone());
    other.volume_context.insert("subDir".to_owned(), "elsewhere".to_owned());
    let answer = process.validate(other).await.unwrap();
    assert!(answer.confirmed.is_none() && answer.message.contains("attributes"), "{answer:?}");
    let mut narrowed = question(wanted.clone());
    narrowed.volume_context.insert("readOnly".to_owned(), "true".to_owned());
    assert!(process.validate(narrowed.clone()).await.unwrap().confirmed.is_some(), "how it is used is no other volume");
    narrowed.volume_context.insert("mountOptions".to_owned(), "rw".to_owned());
    let answer = process.validate(narrowed).await.unwrap();
    assert!(answer.confirmed.is_none() && answer.message.contains("contradicts"), "{answer:?}");

    let code = |answer: Result<_, Status>| answer.map(drop).unwrap_err().code();
    assert_eq!(code(process.validate(question(Vec::new())).await), Code::InvalidArgument);
    for (id, expected) in [
        ("", Code::InvalidArgument),
        ("no-id-of-ours", Code::NotFound),
        ("berth://fake/export#never-made", Code::NotFound),
    ] {
        let asked = csi::ValidateVolumeCapabilitiesRequest { volume_id: id.to_owned(), ..question(wanted.clone()) };
        assert_eq!(code(process.validate(asked).await), expected, "{id}");
    }
    process.delete(&volume.volume_id).await.unwrap();
    assert_eq!(code(process.validate(question(wanted)).await), Code::NotFound);
}
