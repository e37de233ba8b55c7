//! Faults of the API server, which only the fake one can have on demand.

use std::time::Duration;

use controller::kubernetes::{Config, Error};
use http::Method;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster::Flow;
use super::fake::{Call, FakeApi, Fate, Fault};
use super::recording::Act;

/// Claims, classes and volumes.
const WATCHES: usize = 3;

fn refuse(api: &FakeApi, method: Method, plural: &'static str, code: u16, times: impl Into<Option<usize>>) {
    api.refuse(Fault { call: Call::Of(method), plural, fate: Fate::Refused(code), times: times.into() });
}

async fn list_events(api: &FakeApi) {
    api.client().send(http::Request::get("/api/v1/events").body(kube::client::Body::empty()).unwrap()).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "no request has met these refusals")]
async fn a_refusal_that_hits_nothing_fails_its_test() {
    let api = FakeApi::start();
    refuse(&api, Method::PATCH, "leases", 500, None);
    list_events(&api).await;
}

#[tokio::test]
#[should_panic(expected = "no request has met these refusals")]
async fn a_refusal_that_hits_less_often_than_it_is_to_fails_its_test() {
    let api = FakeApi::start();
    refuse(&api, Method::GET, "events", 500, 2);
    list_events(&api).await;
}

/// Waits until all watches are under way; how many have ended and have been told 410 by then.
async fn under_way(api: &FakeApi, flow: &Flow<'_, FakeApi>) -> (usize, usize) {
    flow.until("all watches are under way", async || (api.watches() == WATCHES).then_some(())).await;
    (api.watches_ended(), api.watches_expired())
}

/// Closes the watches. If the history is forgotten as well, they begin anew and are told that what they knew is too old:
/// everything is listed again.
async fn cut(api: &FakeApi, flow: &Flow<'_, FakeApi>, (ended, expired): (usize, usize), forgotten: bool) {
    if forgotten {
        api.compact();
    }
    api.cut_watches();
    flow.until("all of them are closed", async || (api.watches_ended() == ended + WATCHES).then_some(())).await;
    let told = if forgotten { expired + WATCHES } else { expired };
    flow.until("all of them are told", async || (api.watches_expired() == told).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_watch_and_a_forgotten_history_lose_nothing() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "watches").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    for round in 0..5 {
        let name = format!("data-{round}");
        let before = under_way(&api, &flow).await;
        flow.make_claim(&name).await;
        cut(&api, &flow, before, round % 2 == 0).await;
        flow.wait_bound(&name).await;
    }
    assert_eq!(flow.volumes.creates().len(), 5);
    for round in 0..5 {
        let before = under_way(&api, &flow).await;
        flow.delete_claim(&format!("data-{round}")).await;
        cut(&api, &flow, before, true).await;
    }
    flow.wait_no_volumes().await;
    assert_eq!((flow.volumes.deletes().len(), flow.volumes.count()), (5, 0));
    running.stop().await.expect("a clean end");
}

#[tokio::test]
async fn lists_that_are_refused_are_tried_until_they_are_not() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "lists").await;
    refuse(&api, Method::GET, "storageclasses", 403, 1);
    refuse(&api, Method::GET, "persistentvolumes", 500, 1);
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let running = flow.run(flow.config("one"));
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates().len(), 1);
    running.stop().await.expect("a clean end");
}

/// As when the rights for it are missing.
#[tokio::test]
async fn what_may_not_be_listed_keeps_only_those_waiting_who_need_it() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "rights").await;
    for plural in ["nodes", "csinodes"] {
        refuse(&api, Method::GET, plural, 403, None);
    }
    let running = flow.run(Config { remove_startup_taint: true, ..flow.config("one") });
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    flow.delete_claim("data").await;
    flow.wait_no_volumes().await;
    running.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_backing_volume_is_deleted_once_though_its_object_resists() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "resists").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    refuse(&api, Method::DELETE, "persistentvolumes", 500, 2);
    refuse(&api, Method::DELETE, "persistentvolumes", 409, 1);
    refuse(&api, Method::PATCH, "persistentvolumes", 409, 2);
    flow.delete_claim("data").await;
    flow.wait_no_volumes().await;
    assert_eq!(flow.volumes.deletes().len(), 1);
    running.stop().await.expect("a clean end");
}

/// An API server without the feature gate `CrossNamespaceVolumeDataSource` drops such a source, so only the fake one shows it.
#[tokio::test]
async fn a_claim_for_content_of_another_namespace_gets_no_empty_volume() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "source").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let source = json!({"kind": "PersistentVolumeClaim", "name": "other", "namespace": "elsewhere"});
    let uid = flow.make_claim_with("data", json!({"dataSourceRef": source})).await;
    let message = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
    assert!(message.contains("PersistentVolumeClaim \"elsewhere/other\""), "{message}");
    flow.barrier().await;
    assert_eq!(flow.volumes.creates_of(&uid), 0);
    running.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_volume_object_that_goes_before_it_is_bound_is_made_again() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "unbound").await;
    api.set_binding(false);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    let saved = async || flow.saved().await.pop().map(|volume| volume.metadata.name.unwrap());
    let name = flow.until("the volume is saved", saved).await;
    flow.all_volumes().delete(&name, &DeleteParams::default()).await.expect("a volume");
    flow.patch_volume(&name, json!({"metadata": {"finalizers": null}})).await;
    flow.until("it is asked for again", async || (flow.volumes.creates_of(&uid) == 2).then_some(())).await;
    api.set_binding(true);
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates_of(&uid), 2);
    running.stop().await.expect("a clean end");
}

#[tokio::test]
async fn events_that_are_refused_hold_nothing_up() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "events").await;
    refuse(&api, Method::POST, "events", 403, None);
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    running.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_ends_the_work_before_it_can_expire() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "renewal").await;
    let (_never, gate) = watch::channel(false);
    flow.volumes.script([Act::Wait(gate)]);
    let config =
        Config { lease_duration: Duration::from_secs(4), renew_deadline: Duration::from_secs(2), ..flow.config("one") };
    let running = flow.run(config.clone());
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.until("the call runs", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
    let since = Instant::now();
    refuse(&api, Method::PUT, "leases", 500, None);
    assert!(matches!(running.ended().await, Err(Error::LeaseLost(_))));
    assert!(since.elapsed() < config.lease_duration, "it took {:?}", since.elapsed());
    assert_eq!(flow.holder().await, "one", "a lost lease is not given back: it may be somebody else's by now");
    assert_eq!(flow.volumes.doubled(), Vec::<String>::new());
}

#[tokio::test]
async fn one_refused_renewal_loses_nothing() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "hiccup").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("before").await;
    flow.wait_bound("before").await;
    refuse(&api, Method::PUT, "leases", 500, 2);
    refuse(&api, Method::PUT, "leases", 409, 2);
    flow.until("all refusals are met", async || (!api.has_refusals()).then_some(())).await;
    flow.make_claim("after").await;
    flow.wait_bound("after").await;
    running.stop().await.expect("a clean end");
    assert_eq!(flow.holder().await, "");
}

#[tokio::test]
async fn work_under_way_ends_within_its_time_at_a_shutdown() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "drain").await;
    let (open, gate) = watch::channel(false);
    let (_never, stuck) = watch::channel(false);
    flow.volumes.script([Act::Wait(gate), Act::Wait(stuck)]);
    let drain = Duration::from_secs(20);
    let running = flow.run(Config { drain, ..flow.config("one") });
    flow.make_class(json!({})).await;
    flow.make_claim("quick").await;
    flow.until("the first call", async || (flow.volumes.creates().len() == 1).then_some(())).await;
    flow.make_claim("stuck").await;
    flow.until("the second call", async || (flow.volumes.creates().len() == 2).then_some(())).await;
    tokio::time::pause();
    let since = Instant::now();
    let stopping = tokio::spawn(running.stop());
    open.send(true).unwrap();
    stopping.await.expect("no panic").expect("a clean end");
    let took = since.elapsed();
    assert!(took >= drain && took < drain + Duration::from_secs(1), "{took:?}");
    flow.wait_bound("quick").await;
    assert_eq!(flow.saved().await.len(), 1);
    assert_eq!(flow.holder().await, "", "the lease is given back");
}

#[tokio::test]
async fn a_shutdown_with_nothing_under_way_takes_none_of_that_time() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "idle").await;
    let config = flow.config("one");
    let drain = config.drain;
    let running = flow.run(config);
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    tokio::time::pause();
    let since = Instant::now();
    running.stop().await.expect("a clean end");
    let took = since.elapsed();
    assert!(took < drain / 4, "{took:?}");
}
