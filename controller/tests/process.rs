//! `berth-controller` as a process, against NFS-Ganesha: its memory, its end, and its death between any two steps.

#![allow(clippy::unwrap_used, reason = "what the tests share fails like the tests themselves")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use csi_proto::csi;
use csi_proto::csi::controller_client::ControllerClient;
use csi_proto::csi::volume_capability::access_mode::Mode;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, MountVolume};
use csi_runtime::Endpoint;
use csi_runtime::serve::DRAIN;
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};
use tonic::transport::Channel;

/// What an idle controller may take, in KiB (goal of `make bench` for the release build).
const IDLE_RSS: u64 = 20 * 1024;

/// What abort(3) raises, by its number on Linux.
const SIGABRT: i32 = 6;

/// A running controller; killed when it is dropped.
struct Process {
    child: Child,
    endpoint: Endpoint,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _either_way = self.child.kill();
        let _either_way = self.child.wait();
    }
}

impl Process {
    fn start(directory: &Path, abort_before: Option<&str>) -> Self {
        let endpoint: Endpoint = format!("unix://{}/csi.sock", directory.display()).parse().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-controller"));
        command.args(["--kubernetes=false", "--log-format=text", "--log-level=warn", "--identity=test"]);
        command.arg(format!("--endpoint={endpoint}")).stdin(Stdio::null());
        if let Some(step) = abort_before {
            command.env("BERTH_ABORT_BEFORE", step);
        }
        Self { child: command.spawn().unwrap(), endpoint }
    }

    async fn client(&mut self) -> ControllerClient<Channel> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(channel) = self.endpoint.connect().await {
                return ControllerClient::new(channel);
            }
            assert!(Instant::now() < deadline, "the controller does not serve: {:?}", self.child.try_wait());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn request(server: &Ganesha, name: &str) -> csi::CreateVolumeRequest {
    let parameters = [("server", format!("127.0.0.1:{}", server.port())), ("share", "/export".to_owned())];
    let custom = [
        ("subDir", "all/${pvc.metadata.namespace}/${pv.metadata.name}".to_owned()),
        ("uid", "1000".to_owned()),
        ("csi.storage.k8s.io/pvc/namespace", name.to_owned()),
        ("csi.storage.k8s.io/pv/name", name.to_owned()),
    ];
    csi::CreateVolumeRequest {
        name: name.to_owned(),
        volume_capabilities: vec![csi::VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        }],
        parameters: parameters.into_iter().chain(custom).map(|(key, value)| (key.to_owned(), value)).collect(),
        ..Default::default()
    }
}

fn deletion(id: &str) -> csi::DeleteVolumeRequest {
    csi::DeleteVolumeRequest { volume_id: id.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn it_takes_little_memory_and_ends_in_order() {
    let server = Ganesha::start(GaneshaOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), None);
    let mut client = process.client().await;
    for number in 0..50 {
        let made = client.create_volume(request(&server, &format!("pvc-{number}"))).await.unwrap().into_inner();
        client.delete_volume(deletion(&made.volume.unwrap().volume_id)).await.unwrap();
    }
    let rss = process.rss();
    println!("resident after 50 volumes: {rss} KiB");
    // A debug build has its symbols' pages too; the release build is held to the goal by the benchmark.
    assert!(rss < 4 * IDLE_RSS, "{rss} KiB");
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // Nothing is under way, so nothing is waited for.
    let deadline = Instant::now() + DRAIN / 4;
    let status = loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}

#[cfg(feature = "fault-points")]
#[tokio::test]
async fn it_dies_between_any_two_steps_and_its_successor_finishes() {
    let server = Ganesha::start(GaneshaOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let folder = |name: &str| std::fs::read_dir(server.export().join(".berth").join(name)).unwrap().count();
    let mut successor = Process::start(directory.path(), None);
    let create = ["Hold", "Parents", "Place", "Record", "Owner", "Mode", "Created"];
    for step in create.into_iter().chain(["Trash", "GiveUp", "Forget", "Deleted"]) {
        let name = format!("pvc-{}", step.to_lowercase());
        let deletes = !create.contains(&step);
        let mut id = None;
        if deletes {
            let made = successor.client().await.create_volume(request(&server, &name)).await.unwrap().into_inner();
            id = Some(made.volume.unwrap().volume_id);
        }
        drop(successor);

        let mut doomed = Process::start(directory.path(), Some(step));
        let mut client = doomed.client().await;
        let died = match &id {
            Some(id) => client.delete_volume(deletion(id)).await.map(drop),
            None => client.create_volume(request(&server, &name)).await.map(drop),
        };
        assert!(died.is_err(), "{step}: a dead process does not answer");
        // Of the fault point and of nothing else: a panic or an orderly end would have cleaned up.
        let end = doomed.child.wait().unwrap();
        assert_eq!(end.signal(), Some(SIGABRT), "{step}: {end}");
        drop(doomed);

        successor = Process::start(directory.path(), None);
        let mut client = successor.client().await;
        let place = server.export().join("all").join(&name).join(&name);
        if !deletes {
            let made = client.create_volume(request(&server, &name)).await.unwrap().into_inner().volume.unwrap();
            assert!(place.is_dir(), "{step}");
            assert_eq!((folder("records"), folder("places")), (1, 1), "{step}: exactly one volume");
            id = Some(made.volume_id);
        }
        client.delete_volume(deletion(&id.unwrap())).await.unwrap();
        assert!(!place.exists(), "{step}");
        assert_eq!((folder("records"), folder("places")), (0, 0), "{step}: nothing is left");
    }
}
