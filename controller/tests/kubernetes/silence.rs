//! An API server that takes calls and does not answer them. Time is virtual.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::cluster::{Flow, finalizers};
use super::fake::{Call, FakeApi, Fate, Fault};

const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// How long a call may take, and a page of a list.
const CALL: Duration = Duration::from_secs(15);
const LIST: Duration = Duration::from_secs(25);

/// What comes between a failure and the repetition, and what polling for the result adds.
const AGAIN: Duration = Duration::from_secs(2);

fn meet(api: &FakeApi, call: Call, plural: &'static str, fate: Fate) {
    api.refuse(Fault { call, plural, fate, times: Some(1) });
}

#[tokio::test(start_paused = true)]
async fn a_save_that_is_not_answered_is_told_and_repeated() {
    for fate in [Fate::Silence, Fate::Stall] {
        let api = FakeApi::start();
        let flow = Flow::new(&api, "save").await;
        let running = flow.run(flow.config("one"));
        flow.make_class(json!({})).await;
        meet(&api, Call::Of(Method::POST), "persistentvolumes", fate);
        let since = Instant::now();
        let uid = flow.make_claim("data").await;
        flow.wait_bound("data").await;
        assert!(since.elapsed() >= CALL && since.elapsed() < CALL + AGAIN, "{fate:?}: {:?}", since.elapsed());
        assert_eq!(flow.volumes.creates().len(), 1);
        let told = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
        let call = "did not answer POST /api/v1/persistentvolumes within 15 s";
        assert!(told.starts_with(&format!("error saving volume pvc-{uid}: the API server ")), "{told}");
        assert!(told.ends_with(call), "{told}");
        running.stop().await.expect("a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_deletion_may_hang_once() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "deletion").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let calls = [Method::GET, Method::DELETE, Method::PATCH];
    flow.make_claim("data").await;
    let held = async || finalizers(&flow.wait_bound("data").await).contains(&FINALIZER.to_owned()).then_some(());
    flow.until("the volume is held", held).await;
    for call in &calls {
        meet(&api, Call::Of(call.clone()), "persistentvolumes", Fate::Silence);
    }
    let since = Instant::now();
    flow.delete_claim("data").await;
    // What the test itself asks would meet the faults that are meant for the provisioner.
    flow.until("every call has hung", async || (!api.has_refusals()).then_some(())).await;
    flow.wait_no_volumes().await;
    let hung = CALL * u32::try_from(calls.len()).unwrap();
    assert!(since.elapsed() >= hung && since.elapsed() < hung + 2 * AGAIN, "{:?}", since.elapsed());
    assert_eq!(flow.volumes.deletes().len(), 1);
    running.stop().await.expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn lists_and_watches_that_are_not_answered_begin_anew() {
    for (call, limit) in [(Call::Of(Method::GET), LIST), (Call::Watch, CALL)] {
        let api = FakeApi::start();
        let flow = Flow::new(&api, "begin").await;
        for plural in ["persistentvolumeclaims", "storageclasses", "persistentvolumes"] {
            meet(&api, call.clone(), plural, Fate::Silence);
        }
        let since = Instant::now();
        let running = flow.run(flow.config("one"));
        flow.until("every call hangs", async || (!api.has_refusals()).then_some(())).await;
        flow.make_class(json!({})).await;
        flow.make_claim("data").await;
        flow.wait_bound("data").await;
        assert!(since.elapsed() >= limit && since.elapsed() < limit + AGAIN, "{call:?}: {:?}", since.elapsed());
        running.stop().await.expect("a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_begun_anew_within_minutes() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "stalled").await;
    flow.make_class(json!({})).await;
    meet(&api, Call::Watch, "persistentvolumeclaims", Fate::Stall);
    let running = flow.run(flow.config("one"));
    flow.until("the watch has stalled", async || (!api.has_refusals()).then_some(())).await;
    flow.make_claim("data").await;
    // As long as the server may keep a watch open, and five seconds more before it is given up.
    sleep(Duration::from_secs(153)).await;
    assert!(flow.volumes.creates().is_empty(), "nobody can know of the claim");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(flow.volumes.creates().len(), 1);
    flow.wait_bound("data").await;
    running.stop().await.expect("a clean end");
}
