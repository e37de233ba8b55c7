//! NFS-Ganesha killed with -9 again and again while volumes are made: each exists exactly once, and the controller is
//! back at once.

#![allow(clippy::unwrap_used, reason = "what the tests share fails like the tests themselves")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use controller::operations::{Counts, CreateVolume, Operations, Volumes};
use controller::servers::{Servers, Settings};
use csi_runtime::metrics::Metrics;
use nfs_client::SourcePort;
use nfs_testkit::ganesha::{Ganesha, GaneshaOptions};
use tokio::sync::Mutex;
use tonic::Code;
use volume::capacity::Range;
use volume::{AccessMode, Capability};

/// How often the server is killed.
const KILLS: usize = 12;
/// How many volumes are in the making at any time.
const WORKERS: usize = 8;
/// Within this time of the kill a volume is made again, in 99 of 100 cases: nobody who waits for a claim is to notice
/// more of an outage than the outage.
const RECOVERY: Duration = Duration::from_secs(5);

fn request(server: &str, name: &str) -> CreateVolume {
    let parameters = [("server", server), ("share", "/export"), ("subDir", "team/${pv.metadata.name}")];
    let parameters = parameters.into_iter().chain([("csi.storage.k8s.io/pv/name", name)]);
    CreateVolume {
        name: name.to_owned(),
        capacity: Range { required: 1, limit: 0 },
        capabilities: vec![Capability::new(AccessMode::MultiNodeMultiWriter, String::new(), Vec::new()).unwrap()],
        parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    }
}

/// Makes volumes until told to stop; each is asked for until it is there, as the provisioner does it. Returns their
/// names and when each was there.
async fn work(operations: Operations, server: String, worker: usize, stop: Arc<AtomicBool>) -> Vec<(String, Instant)> {
    let mut made = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("pvc-{worker}-{}", made.len());
        loop {
            match operations.create(request(&server, &name)).await {
                Ok(_) => break,
                Err(error) => {
                    let code = error.code();
                    let retried = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted].contains(&code);
                    assert!(retried, "an outage must never be final: {}", error.message());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        made.push((name, Instant::now()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_made_while_the_server_is_killed_exist_exactly_once() {
    let ganesha = Ganesha::start(GaneshaOptions::default()).unwrap();
    let (server, export) = (format!("127.0.0.1:{}", ganesha.port()), ganesha.export());
    let servers = Servers::new(Settings::new("test", SourcePort::PreferReserved));
    let operations = Operations::new("csi.berth.dev", servers, Counts::new(&Metrics::new()));
    operations.create(request(&server, "first")).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(work(operations.clone(), server.clone(), worker, Arc::clone(&stop))))
        .collect();
    let ganesha = Arc::new(Mutex::new(ganesha));
    // When it was killed, and when it was back.
    let mut outages = Vec::new();
    for kill in 0..KILLS {
        // Not in step with anything.
        tokio::time::sleep(Duration::from_millis(300 + 37 * u64::try_from(kill).unwrap())).await;
        let mut ganesha = Arc::clone(&ganesha).lock_owned().await;
        let killed = Instant::now();
        tokio::task::spawn_blocking(move || ganesha.crash().unwrap()).await.unwrap();
        outages.push((killed, Instant::now()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);

    let (mut names, mut recoveries) = (BTreeSet::from(["first".to_owned()]), Vec::new());
    for worker in workers {
        let made = worker.await.unwrap();
        recoveries.extend(outages.iter().filter_map(|(killed, back)| {
            let next = made.iter().map(|(_, when)| when).find(|when| *when >= back)?;
            Some(next.duration_since(*killed))
        }));
        names.extend(made.into_iter().map(|(name, _)| name));
    }
    recoveries.sort();
    let [median, p99] = [50, 99].map(|percent| recoveries[(recoveries.len() * percent).div_ceil(100) - 1]);
    println!(
        "{} volumes over {KILLS} kills; from a kill to the next volume: median {median:?}, p99 {p99:?}",
        names.len()
    );

    let list = |path: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(export.join(path)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(list("team"), names, "each volume exactly once");
    assert_eq!(list(".berth/records"), names);
    assert_eq!(list(".berth/places").len(), names.len());
    for name in &names {
        let mode = std::fs::metadata(export.join("team").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o777, "{name} is complete");
    }
    assert!(p99 < RECOVERY, "p99 {p99:?}");
}
