//! A server that does not answer costs whoever asks for volumes on it one attempt, together, and nobody else anything.

#![allow(clippy::unwrap_used, reason = "what the tests share fails like the tests themselves")]

use std::time::Duration;

use controller::operations::{Counts, CreateVolume, Created, OperationError, Operations, Volumes};
use controller::servers::{Servers, Settings};
use csi_runtime::metrics::Metrics;
use futures::future::join_all;
use nfs_client::{Client, Config, OpCode, SourcePort};
use nfs_testkit::fake::{Effect, FakeServer, Fault};
use tokio::time::Instant;
use tonic::Code;
use volume::capacity::Range;
use volume::{AccessMode, Capability};

fn server() -> FakeServer {
    let server = FakeServer::new();
    server.make_dir("/export");
    server
}

fn operations(silent: &FakeServer, lively: &FakeServer) -> Operations {
    on(servers(silent, lively))
}

fn on(servers: Servers) -> Operations {
    Operations::new("csi.berth.dev", servers, Counts::new(&Metrics::new()))
}

fn servers(silent: &FakeServer, lively: &FakeServer) -> Servers {
    let (silent, lively) = (silent.connector(), lively.connector());
    let mut settings = Settings::new("test", SourcePort::Any);
    settings.connect = Box::new(move |server| {
        let connector = if server.host() == "silent" { silent.clone() } else { lively.clone() };
        Client::with_connector(Config::new(server.host(), server.port()), connector)
    });
    Servers::new(settings)
}

async fn create(operations: &Operations, server: &str, number: usize) -> Result<Created, OperationError> {
    let parameters = [("server", server), ("share", "/export")];
    let request = CreateVolume {
        name: format!("pvc-{number}"),
        capacity: Range { required: 1, limit: 0 },
        capabilities: vec![Capability::new(AccessMode::MultiNodeMultiWriter, String::new(), Vec::new()).unwrap()],
        parameters: parameters.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    };
    operations.create(request).await
}

/// How long `count` creates on the silent server take together; each of them fails.
async fn silence(operations: &Operations, count: usize) -> (Duration, String) {
    let began = Instant::now();
    let results = join_all((0..count).map(|number| create(operations, "silent", number))).await;
    let mut messages: Vec<String> = results
        .into_iter()
        .map(|result| {
            let error = result.unwrap_err();
            assert!(matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded), "{}", error.message());
            error.message()
        })
        .collect();
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    (began.elapsed(), messages.remove(0))
}

#[tokio::test(start_paused = true)]
async fn two_hundred_who_ask_a_silent_server_wait_as_long_as_one() {
    let (silent, lively) = (server(), server());
    // It lets clients connect, and never says a word.
    silent.inject(Fault::on(OpCode::ExchangeId, Effect::Ignored).always());
    let (alone, message) = silence(&operations(&silent, &lively), 1).await;
    assert!(alone > Duration::from_secs(1), "there was nothing to wait for: {message}");
    assert_eq!(silence(&operations(&silent, &lively), 200).await, (alone, message));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_asked_again_at_once_and_a_lively_one_is() {
    let (silent, lively) = (server(), server());
    silent.set_reachable(false);
    let operations = operations(&silent, &lively);
    silence(&operations, 1).await;
    let (took, message) = silence(&operations, 200).await;
    assert_eq!(took, Duration::ZERO, "{message}");
    assert!(message.starts_with("silent:/export was not asked: its server does not answer ("), "{message}");
    assert!(message.contains("check that the server runs"), "{message}");
    create(&operations, "lively", 0).await.unwrap();

    // Back, it is used again within fifteen seconds.
    silent.set_reachable(true);
    tokio::time::advance(Duration::from_secs(15)).await;
    for result in join_all((0..200).map(|number| create(&operations, "silent", number))).await {
        // One asks; those who come in the same moment are told to come again.
        assert!(result.is_ok() || matches!(result, Err(OperationError::NotAnswering { .. })));
    }
    create(&operations, "silent", 200).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_in_use_is_noticed() {
    let (silent, lively) = (server(), server());
    let operations = operations(&silent, &lively);
    create(&operations, "silent", 1000).await.unwrap();
    silent.set_reachable(false);
    let (first, _) = silence(&operations, 1).await;
    assert!(first > Duration::from_secs(1));
    assert_eq!(silence(&operations, 200).await.0, Duration::ZERO);
}

/// A share that is taken up while its server is down is not given up before somebody has looked into its trash.
#[tokio::test(start_paused = true)]
async fn the_trash_of_a_server_that_is_down_for_an_hour_is_emptied_when_it_is_back() {
    let (silent, lively) = (server(), server());
    create(&operations(&silent, &lively), "silent", 1).await.unwrap();
    silent.make_file("/export/.berth/trash/pvc-0~0123456789abcdef/file", "left by an earlier process");
    silent.set_reachable(false);
    let servers = servers(&silent, &lively);
    let (server, share) = ("silent".parse().unwrap(), "/export".parse().unwrap());
    let operations = on(servers.clone());
    let volume = operations.catalogue().add(&server, &share, None);
    operations.resume(&server, &share);
    let pass = async |minutes: u32| {
        for _ in 0..minutes {
            tokio::time::sleep(Duration::from_mins(1)).await;
            servers.close_idle().await;
        }
    };
    pass(60).await;
    silent.set_reachable(true);
    let trash = || silent.list("/export/.berth/trash").unwrap();
    assert_eq!(trash().len(), 1);
    pass(6).await;
    assert_eq!(trash(), Vec::<String>::new());
    drop(volume);
    // Then it is left, as any server is that nobody needs.
    pass(20).await;
    assert_eq!(silent.sessions(), 0);
}
