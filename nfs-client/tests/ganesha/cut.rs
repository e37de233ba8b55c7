//! Connections to Ganesha that are cut while the server lives: its reply cache makes every change exact.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nfs_client::{Client, Config, ConnectError, Connected, Connecting, Connector, SourcePort, Target, TcpConnector};
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// A cable that can be cut. What the server answers in the moment before the cut is lost.
#[derive(Clone)]
struct Cable {
    cuts: watch::Sender<u64>,
    deaf: Arc<AtomicBool>,
    unplugged: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
}

impl Cable {
    fn new() -> Self {
        Self {
            cuts: watch::Sender::new(0),
            deaf: Arc::default(),
            unplugged: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// Requests still pass for a moment, replies do not, then the connection is gone.
    async fn cut(&self) {
        self.deaf.store(true, Ordering::SeqCst);
        sleep(Duration::from_millis(10)).await;
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.deaf.store(false, Ordering::SeqCst);
    }
}

impl Connector for Cable {
    fn connect<'a>(&'a self, target: &'a Target) -> Connecting<'a> {
        Box::pin(async move {
            if self.unplugged.load(Ordering::SeqCst) {
                return Err(ConnectError {
                    address: target.host.clone(),
                    detail: "unplugged".into(),
                    source: Some(io::ErrorKind::NetworkUnreachable.into()),
                });
            }
            let server = TcpConnector.connect(target).await?;
            self.connections.fetch_add(1, Ordering::SeqCst);
            let (near, far) = duplex(64 * 1024);
            let (mut from_client, mut to_client) = tokio::io::split(far);
            let (mut from_server, mut to_server) = tokio::io::split(server.stream);
            let (mut cuts, deaf) = (self.cuts.subscribe(), self.deaf.clone());
            tokio::spawn(async move {
                let requests = tokio::io::copy(&mut from_client, &mut to_server);
                let replies = async {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                        // A reply that was heard in part is as good as lost.
                        if !deaf.load(Ordering::SeqCst) && to_client.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    _ = requests => {}
                    () = replies => {}
                    _ = cuts.changed() => {}
                }
            });
            Ok(Connected { stream: Box::new(near), source_port: server.source_port })
        })
    }
}

fn client(ganesha: &Ganesha, cable: &Cable) -> Client {
    let mut config = Config::new("127.0.0.1", ganesha.port());
    config.source_port = SourcePort::Any;
    Client::with_connector(config, cable.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_on_a_connection_that_is_cut_again_and_again_are_each_executed_once() {
    let ganesha = Ganesha::start(GaneshaOptions::default()).unwrap();
    let cable = Cable::new();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(ganesha.export(), open_to_all).unwrap();
    let client = client(&ganesha, &cable);
    let export = client.open_dir(&["export"]).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        // Every second one speaks for another user: a repetition has to as well.
        let client = if worker % 2 == 0 { client.clone() } else { client.on_behalf_of(1000 + worker, 1000) };
        let (export, stop) = (export.clone(), stop.clone());
        workers.spawn(async move {
            let mut made = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let name = format!("w{worker}-{}", made.len());
                // The session lives, so there is no unknown outcome, and no EXIST from a second execution.
                client.create_symlink(&export, &name, "x").await.unwrap_or_else(|error| panic!("{name}: {error}"));
                made.push(name);
            }
            made
        });
    }
    for _ in 0..25 {
        sleep(Duration::from_millis(60)).await;
        cable.cut().await;
    }
    stop.store(true, Ordering::Relaxed);
    let made: BTreeSet<String> = workers.join_all().await.into_iter().flatten().collect();
    let listed = client.read_dir(&export).await.unwrap();
    let listed: BTreeSet<String> = listed.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect();
    assert_eq!(listed, made);
    assert!(cable.connections.load(Ordering::SeqCst) >= 20, "the connection was cut while it was used");
    println!("{} links over {} connections", made.len(), cable.connections.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_lease_expired_during_an_outage_gets_a_new_session() {
    let ganesha = Ganesha::start(GaneshaOptions { lease_seconds: 2, ..GaneshaOptions::default() }).unwrap();
    let cable = Cable::new();
    let client = client(&ganesha, &cable);
    let export = client.open_dir(&["export"]).await.unwrap();
    cable.unplugged.store(true, Ordering::SeqCst);
    cable.cut().await;
    sleep(Duration::from_secs(8)).await;
    cable.unplugged.store(false, Ordering::SeqCst);
    client.create_symlink(&export, "record", "x").await.unwrap();
    assert_eq!(client.read_link(&export, "record").await.unwrap(), b"x");
}
