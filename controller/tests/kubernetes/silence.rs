//! An API server that takes calls and does not answer them. Time is virtual.

use std::time::Duration;

use controller::kubernetes::{Config, Error, Standing};
use csi_runtime::identity::Readiness;
use http::Method;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::cluster::{Flow, finalizers};
use super::fake::{Call, FakeApi, Fate, Fault};
use super::recording::Act;

const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// How long a call may take, one that writes, and a page of a list.
const CALL: Duration = Duration::from_secs(15);
const WRITE: Duration = Duration::from_secs(25);
const LIST: Duration = Duration::from_secs(25);

/// What may pass until a leader that has had no answer for 30 s knows it: one more call that is not answered.
const VERDICT: Duration = Duration::from_secs(45);

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
        assert!(since.elapsed() >= WRITE && since.elapsed() < WRITE + AGAIN, "{fate:?}: {:?}", since.elapsed());
        assert_eq!(flow.volumes.creates().len(), 1);
        let told = flow.wait_event(&flow.name, &uid, "ProvisioningFailed").await;
        let call = "did not answer POST /api/v1/persistentvolumes within 25 s";
        assert!(told.starts_with(&format!("error saving volume pvc-{uid}: the API server ")), "{told}");
        assert!(told.ends_with(call), "{told}");
        running.stop().await.expect("a clean end");
    }
}

/// Each gets ten seconds, and is then left out.
#[tokio::test(start_paused = true)]
async fn two_dead_webhooks_in_series_delay_a_save_and_do_not_prevent_it() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "webhooks").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let webhooks = Duration::from_secs(20);
    let call = Call::Of(Method::POST);
    api.refuse(Fault { call, plural: "persistentvolumes", fate: Fate::Slow(webhooks), times: None });
    let since = Instant::now();
    let uid = flow.make_claim("data").await;
    flow.wait_bound("data").await;
    assert!(since.elapsed() >= webhooks && since.elapsed() < webhooks + AGAIN, "{:?}", since.elapsed());
    let told = flow.events(&flow.name, &uid).await;
    assert!(told.keys().all(|(reason, _)| reason != "ProvisioningFailed"), "{told:?}");
    running.stop().await.expect("a clean end");
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
    let hung = CALL + 2 * WRITE;
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

#[tokio::test(start_paused = true)]
async fn a_leader_with_work_that_is_not_answered_gives_the_lease_up() {
    for jobs in [0, 1] {
        let api = FakeApi::start();
        let flow = Flow::new(&api, "hopeless").await;
        let (open, gate) = watch::channel(false);
        flow.volumes.script([Act::Wait(gate)]);
        let running = flow.run(flow.config("one"));
        flow.make_class(json!({})).await;
        let uid = flow.make_claim("data").await;
        flow.until("the call runs", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
        // The last call before the silence.
        flow.wait_event(&flow.name, &uid, "Provisioning").await;
        api.set_deaf(true);
        flow.volumes.detach(jobs);
        // However long it takes: the server was asked for nothing yet.
        sleep(Duration::from_mins(2)).await;
        let since = Instant::now();
        open.send(true).unwrap();
        let Err(Error::GivenUp { silence, reason, .. }) = running.ended().await else { panic!("it goes on") };
        let took = since.elapsed();
        let grace = if jobs > 0 { Duration::from_secs(5) } else { Duration::ZERO };
        assert!(took >= Duration::from_secs(30) + grace && took < VERDICT + grace, "{took:?}");
        assert!(silence >= Duration::from_secs(30) && reason.contains(" did not answer "), "{silence:?} {reason}");
        let holder = if jobs > 0 { "one" } else { "" };
        assert_eq!(flow.holder().await, holder, "it is given back unless a job goes on");
        api.set_deaf(false);
        flow.volumes.detach(0);
        let successor = flow.run(flow.config("two"));
        flow.wait_bound("data").await;
        let name = format!("pvc-{uid}");
        assert_eq!((flow.volumes.creates(), flow.volumes.doubled()), (vec![name.clone(), name], Vec::new()));
        successor.stop().await.expect("a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_even_list_gives_the_lease_up() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "blind").await;
    api.set_deaf(true);
    let since = Instant::now();
    let running = flow.run(flow.config("one"));
    assert!(matches!(running.ended().await, Err(Error::GivenUp { .. })));
    // None of the lists may take 30 s by itself.
    assert!(since.elapsed() < VERDICT, "{:?}", since.elapsed());
    assert_eq!(flow.holder().await, "");
}

#[tokio::test(start_paused = true)]
async fn an_idle_leader_keeps_the_lease_whatever_is_not_answered() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "idle").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    sleep(Duration::from_secs(5)).await;
    api.set_deaf(true);
    // Watches end after two and a half of these minutes, and fail for the rest of them.
    sleep(Duration::from_mins(6)).await;
    assert_eq!(flow.holder().await, "one");
    api.set_deaf(false);
    // The pause between two watches has grown meanwhile, to half a minute at most.
    sleep(Duration::from_mins(1)).await;
    flow.make_claim("late").await;
    flow.wait_bound("late").await;
    running.stop().await.expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn a_leader_some_of_whose_calls_are_answered_keeps_the_lease() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "some").await;
    let running = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    api.refuse(Fault { call: Call::Of(Method::POST), plural: "persistentvolumes", fate: Fate::Silence, times: None });
    flow.make_claim("data").await;
    // Its events are written.
    sleep(Duration::from_mins(5)).await;
    assert_eq!(flow.holder().await, "one");
    api.refuse_nothing();
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates().len(), 1);
    running.stop().await.expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_see_the_lease_is_not_ready_until_it_can() {
    let api = FakeApi::start();
    let flow = Flow::new(&api, "standby").await;
    let standing = Standing::default();
    let config = Config { standing: standing.clone(), ..flow.config("two") };
    let lease = Lease {
        metadata: ObjectMeta { name: Some(config.lease_name()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some("one".to_owned()),
            lease_duration_seconds: Some(86400),
            ..LeaseSpec::default()
        }),
    };
    flow.leases().create(&PostParams::default(), &lease).await.expect("a lease");
    let running = flow.run(config);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(standing.readiness(), Readiness::Ready);
    for fate in [Fate::Silence, Fate::Refused(403), Fate::Refused(500)] {
        api.refuse(Fault { call: Call::Of(Method::GET), plural: "leases", fate, times: None });
        sleep(Duration::from_secs(59)).await;
        assert_eq!(standing.readiness(), Readiness::Ready, "{fate:?}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(standing.readiness(), Readiness::Starting, "{fate:?}");
        api.refuse_nothing();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(standing.readiness(), Readiness::Ready, "{fate:?}");
    }
    running.stop().await.expect("a clean end");
}
