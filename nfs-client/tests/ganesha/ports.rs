//! Source ports below 1024. The fake tells which one a client came from.

use std::process::Command;

use nfs_client::{Client, Config, Error, NfsStatus, SourcePort};
use nfs_testkit::{
    fake::{FakeServer, Options},
    ganesha::{Ganesha, GaneshaOptions},
};

async fn picky() -> (FakeServer, u16) {
    let server = FakeServer::with_options(Options { needs_reserved_port: true, ..Options::default() });
    let port = server.listen().await.unwrap().port();
    (server, port)
}

fn client(port: u16, source_port: SourcePort) -> Client {
    let mut config = Config::new("127.0.0.1", port);
    config.source_port = source_port;
    Client::new(config)
}

#[tokio::test]
async fn a_reserved_port_is_used_when_it_is_preferred_or_required() {
    let (server, port) = picky().await;
    for source_port in [SourcePort::PreferReserved, SourcePort::RequireReserved] {
        let client = client(port, source_port);
        client.probe().await.unwrap();
        // A port that was just used is in TIME_WAIT: the next connection takes another one.
        for _ in 0..5 {
            server.disconnect();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            client.probe().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_export_that_demands_a_reserved_port_refuses_others_and_serves_us() {
    let options = GaneshaOptions { privileged_port: true, ..GaneshaOptions::default() };
    let ganesha = Ganesha::start(options).unwrap();
    let unreserved = client(ganesha.port(), SourcePort::Any);
    let error = unreserved.open_dir(&["export"]).await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoEnt), "Ganesha hides the export: {error}");
    assert!(unreserved.source_port().unwrap() >= 1024, "by which a caller can tell why");
    let reserved = client(ganesha.port(), SourcePort::PreferReserved);
    reserved.open_dir(&["export"]).await.unwrap();
    assert!(reserved.source_port().unwrap() < 1024);
}

const UNPRIVILEGED: &str = "BERTH_TEST_WITHOUT_NET_BIND_SERVICE";

#[test]
fn without_the_privilege_a_preferred_port_falls_back_and_a_required_one_fails() {
    let name = "ports::without_the_privilege_a_preferred_port_falls_back_and_a_required_one_fails";
    if std::env::var_os(UNPRIVILEGED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(unprivileged());
    }
    let itself = std::env::current_exe().unwrap();
    let output = Command::new("setpriv")
        .args(["--bounding-set=-net_bind_service", "--inh-caps=-all"])
        .arg(itself)
        .args(["--exact", name, "--nocapture"])
        .env(UNPRIVILEGED, "1")
        .output()
        .expect("setpriv (util-linux) runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

async fn unprivileged() {
    let server = FakeServer::new();
    let port = server.listen().await.unwrap().port();
    client(port, SourcePort::PreferReserved).probe().await.expect("falls back to any port");
    let error = client(port, SourcePort::RequireReserved).probe().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("reserved"), "{error}");
}
