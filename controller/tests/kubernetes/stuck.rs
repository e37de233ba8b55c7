//! A leader whose work stands still, although the process lives.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use controller::kubernetes::{Clients, Config, Error, Standing, run_with};
use csi_runtime::identity::Readiness;
use serde_json::json;
use tokio::runtime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cluster::Flow;
use super::fake::FakeApi;

/// Threads of the runtime that the leader works on.
const THREADS: usize = 2;

/// As when each thread waits for a lock that is never given back.
#[tokio::test]
async fn a_leader_whose_work_stands_still_loses_the_lease_and_is_not_healthy() {
    let (api, address) = FakeApi::start_on_tcp();
    let flow = Flow::new(&api, "stuck").await;
    flow.make_class(json!({})).await;
    let standing = Standing::default();
    let config = Config {
        lease_duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        stuck_after: Duration::from_secs(4),
        standing: standing.clone(),
        ..flow.config("one")
    };
    let clients = Clients::new(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    let leader = run_with(clients, Arc::clone(&flow.volumes), config.clone(), CancellationToken::new());
    let (stop, is_stopped) = mpsc::channel::<()>();
    let own = runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let leader = own.spawn(leader);
    flow.make_claim("before").await;
    flow.wait_bound("before").await;

    let all = Arc::new(Barrier::new(THREADS + 1));
    for _ in 0..THREADS {
        let (all, until) = (Arc::clone(&all), stop.clone());
        own.spawn(async move {
            all.wait();
            // Until nobody listens any more.
            while until.send(()).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
    }
    all.wait();
    let since = Instant::now();
    let other = flow.run(Config { identity: "two".to_owned(), standing: Standing::default(), ..config.clone() });
    sleep(config.lease_duration).await;
    assert_eq!(flow.holder().await, "one", "it may be busy");
    flow.until("the other leads", async || (flow.holder().await == "two").then_some(())).await;
    let limit = config.stuck_after + config.lease_duration + Duration::from_secs(3);
    assert!(since.elapsed() < limit, "{:?}", since.elapsed());
    let Readiness::Broken(reason) = standing.readiness() else { panic!("{:?}", standing.readiness()) };
    assert!(reason.contains("expired") && reason.contains("the process has not ended"), "{reason}");
    flow.make_claim("after").await;
    flow.wait_bound("after").await;

    drop(is_stopped);
    assert!(matches!(leader.await.expect("no panic"), Err(Error::LeaseLost(_))));
    own.shutdown_background();
    other.stop().await.expect("a clean end");
}
