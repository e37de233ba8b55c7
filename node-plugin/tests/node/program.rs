//! The program as it is started on a node.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use csi_proto::csi::identity_client::IdentityClient;
use csi_proto::csi::node_client::NodeClient;
use csi_proto::csi::{GetPluginInfoRequest, NodeGetInfoRequest};
use csi_proto::pluginregistration::registration_client::RegistrationClient;
use csi_proto::pluginregistration::{InfoRequest, RegistrationStatus};
use csi_runtime::Endpoint;
use csi_runtime::serve::DRAIN;
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Channel;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Program {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
}

impl Program {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// On a node whose disk has kubelet's directory.
    pub(crate) fn start_in(dir: tempfile::TempDir, further: &[&str]) -> Self {
        Self::start_to(Stdio::null(), dir, further)
    }

    /// The same, with its log in a file.
    fn start_to(log: Stdio, dir: tempfile::TempDir, further: &[&str]) -> Self {
        let plugin_dir = dir.path().join("plugins/csi.example");
        fs::create_dir_all(&plugin_dir).unwrap();
        fs::create_dir_all(dir.path().join("plugins_registry")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_berth-node"))
            .arg(format!("--endpoint=unix://{}", plugin_dir.join("csi.sock").display()))
            .arg(format!("--kubelet-dir={}", dir.path().display()))
            .args(["--node-id=node-1", "--driver-name=csi.example", "--log-level=error"])
            .args(further)
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    fn socket(&self, path: &str) -> Endpoint {
        self.dir.path().join(path).to_str().unwrap().parse().unwrap()
    }

    fn csi(&self) -> Endpoint {
        self.socket("plugins/csi.example/csi.sock")
    }

    fn registration(&self) -> Endpoint {
        self.socket("plugins_registry/csi.example@reg.sock")
    }

    pub(crate) async fn registered(&self) -> RegistrationClient<Channel> {
        RegistrationClient::new(connected(&self.registration()).await)
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) async fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the program does not end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects as soon as the program listens: a socket has its name a moment before that (bind(2), listen(2)), and kubelet repeats its
/// attempt as well.
async fn connected(socket: &Endpoint) -> Channel {
    let until = Instant::now() + PATIENCE;
    loop {
        match socket.connect().await {
            Ok(channel) => return channel,
            Err(error) if Instant::now() > until => panic!("nobody listens on {socket}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn kubelet_finds_the_driver_and_the_csi_socket_answers_already() {
    let program = Program::start();
    let mut kubelet = program.registered().await;
    let info = kubelet.get_info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", "csi.example"));
    assert_eq!(PathBuf::from(info.endpoint), program.csi().path());

    let channel = program.csi().connect().await.unwrap();
    let info =
        IdentityClient::new(channel.clone()).get_plugin_info(GetPluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.name, "csi.example");
    let info = NodeClient::new(channel).node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.node_id, "node-1");
}

#[tokio::test]
async fn a_termination_ends_it_well_and_leaves_the_registration_to_its_successor() {
    let mut program = Program::start();
    // A connection that kubelet keeps open must not hold it up.
    let _kubelet = program.registered().await;
    let _csi = program.csi().connect().await.unwrap();
    program.terminate();
    let since = Instant::now();
    assert!(program.end().await.success());
    assert!(since.elapsed() < DRAIN / 4, "{:?}, and nothing was under way", since.elapsed());
    assert!(program.registration().path().exists());
}

#[tokio::test]
async fn a_node_keeps_its_identity_from_one_process_to_the_next() {
    let mut program = Program::start();
    let mut identities = Vec::new();
    for _ in 0..2 {
        drop(program.registered().await);
        identities.push(fs::read_to_string(program.dir.path().join("plugins/csi.example/client-identity")).unwrap());
        program.terminate();
        program.end().await;
        let dir = std::mem::replace(&mut program.dir, tempfile::tempdir().unwrap());
        program = Program::start_in(dir, &[]);
    }
    assert!(identities[0].starts_with("berth-") && identities[0] == identities[1], "{identities:?}");
}

#[tokio::test]
async fn a_refusal_by_kubelet_ends_it_with_a_failure() {
    let mut program = Program::start();
    let mut kubelet = program.registered().await;
    let refused = RegistrationStatus { plugin_registered: false, error: "name taken".to_owned() };
    kubelet.notify_registration_status(refused).await.unwrap();
    assert_eq!(program.end().await.code(), Some(1));
}

/// A directory of the node's disk is what is there when the volume for the pool is missing.
#[tokio::test]
async fn a_pool_that_is_no_mount_of_its_own_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (log, pool) = (dir.path().join("log"), dir.path().join("pool"));
    let further = [format!("--pool-dir={}", pool.display())];
    let program =
        Program::start_to(fs::File::create(&log).unwrap().into(), dir, &further.each_ref().map(String::as_str));
    drop(program.registered().await);
    let told = fs::read_to_string(&log).unwrap();
    assert!(
        told.contains("is not hidden from the node") && told.contains("an emptyDir without mountPropagation"),
        "{told}"
    );
}

#[test]
fn a_wrong_flag_is_named() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_berth-node")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&["--node-id=n", "--endpoint=tcp://1.2.3.4:5"]).contains("is not a unix socket"));
    assert!(run(&["--node-id=n", "--mount-deadline=600"]).contains("--mount-deadline"));
    assert!(run(&["--node-id=n", "--http-endpoint=nowhere"]).contains("nowhere"));
    let list = r#"--inline-volumes=[{"server": "nfs", "share": "exports"}]"#;
    assert!(run(&["--node-id=n", list]).contains("\"share\" of line 1"));
}
