//! A process that has no processor left for its own tasks.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use controller::kubernetes::{Clients, Config};
use serde_json::json;

use super::cluster::Flow;
use super::fake::FakeApi;

/// Threads of the runtime that the work runs on.
const THREADS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_occupies_every_thread_does_not_cost_the_lease() {
    let (api, address) = FakeApi::start_on_tcp();
    let flow = Flow::new(&api, "busy").await;
    let config = Config {
        lease_duration: Duration::from_secs(6),
        renew_deadline: Duration::from_secs(4),
        lease_retry: Duration::from_millis(500),
        ..flow.config("one")
    };
    let clients = Clients::new(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    let running = flow.run_with(clients, config.clone());
    flow.make_class(json!({})).await;
    flow.make_claim("before").await;
    flow.wait_bound("before").await;

    let busy = config.renew_deadline + Duration::from_secs(1);
    let all = Arc::new(Barrier::new(THREADS + 1));
    for _ in 0..THREADS {
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            all.wait();
            thread::sleep(busy);
        });
    }
    all.wait();
    thread::sleep(busy);

    flow.make_claim("after").await;
    flow.wait_bound("after").await;
    let lease = flow.leases().get(&config.lease_name()).await.expect("a lease").spec.expect("a spec");
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_transitions), (Some("one"), Some(0)));
    running.stop().await.expect("a clean end");
    assert_eq!(flow.holder().await, "", "the lease is given back");
}
