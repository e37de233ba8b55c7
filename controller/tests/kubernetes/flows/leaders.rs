//! Who acts, and what becomes of work when that changes.

use std::time::Duration;

use controller::kubernetes::{Config, Error};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cluster::{Cluster, Flow};
use crate::recording::Act;

/// Writes `holder` into the flow's lease.
async fn write_lease<C: Cluster>(flow: &Flow<'_, C>, holder: &str, seconds: i32) {
    let name = flow.config("x").lease_name();
    let spec = json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds}});
    flow.leases().patch(&name, &PatchParams::default(), &Patch::Merge(spec)).await.expect("a lease");
}

pub(crate) async fn a_lost_lease_ends_the_process_and_the_next_leader_finishes<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "lost").await;
    let (_never, gate) = watch::channel(false);
    flow.volumes.script([Act::Wait(gate)]);
    let first = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    let uid = flow.make_claim("data").await;
    flow.until("the call runs", async || (!flow.volumes.creates().is_empty()).then_some(())).await;
    write_lease(&flow, "thief", 1).await;
    assert!(matches!(first.ended().await, Err(Error::LeaseLost(name)) if name == flow.config("x").lease_name()));
    assert!(flow.saved().await.is_empty(), "whoever lost the lease writes nothing");
    let second = flow.run(flow.config("two"));
    flow.wait_bound("data").await;
    assert_eq!(flow.volumes.creates(), [format!("pvc-{uid}"), format!("pvc-{uid}")]);
    assert_eq!((flow.volumes.doubled(), flow.volumes.count()), (Vec::new(), 1));
    second.stop().await.expect("a clean end");
}

pub(crate) async fn two_leaders_never_both_act<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "two").await;
    let one = flow.run(flow.config("one"));
    flow.make_class(json!({})).await;
    flow.make_claim("first").await;
    flow.wait_bound("first").await;
    let two = flow.run(flow.config("two"));
    for number in 0..20 {
        flow.make_claim(&format!("early-{number}")).await;
    }
    for number in 0..20 {
        flow.wait_bound(&format!("early-{number}")).await;
    }
    assert_eq!(flow.holder().await, "one");
    // The lease is given back, so the other need not wait for it to expire.
    one.stop().await.expect("a clean end");
    flow.until("the other leads", async || (flow.holder().await == "two").then_some(())).await;
    flow.make_claim("late").await;
    flow.wait_bound("late").await;
    assert_eq!((flow.volumes.creates().len(), flow.volumes.doubled()), (22, Vec::new()));
    two.stop().await.expect("a clean end");
    assert_eq!(flow.holder().await, "");
}

pub(crate) async fn a_lease_of_upstreams_provisioner_is_respected<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "upstream").await;
    let lease: Value = json!({
        "metadata": {"name": flow.config("x").lease_name()},
        // Renewed long ago by its clock, which says nothing.
        "spec": {
            "holderIdentity": "csi-provisioner-0", "leaseDurationSeconds": 3, "leaseTransitions": 4,
            "acquireTime": "2020-01-01T00:00:00.000000Z", "renewTime": "2020-01-01T00:00:00.000000Z",
        },
    });
    let lease = serde_json::from_value(lease).unwrap();
    flow.leases().create(&PostParams::default(), &lease).await.expect("a lease");
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    let running = flow.run(flow.config("one"));
    let acted = timeout(
        Duration::from_millis(1500),
        flow.until("a call", async || (!flow.volumes.creates().is_empty()).then_some(())),
    );
    assert!(acted.await.is_err(), "nothing is done while another holds the lease");
    flow.wait_bound("data").await;
    let lease = flow.leases().get(&flow.config("x").lease_name()).await.unwrap().spec.unwrap();
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_transitions), (Some("one"), Some(5)));
    running.stop().await.expect("a clean end");
}

pub(crate) async fn a_lease_is_not_given_back_while_a_job_goes_on<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "job").await;
    let running = flow.run(Config { drain: Duration::from_secs(1), ..flow.config("one") });
    flow.make_class(json!({})).await;
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    flow.volumes.detach(1);
    running.stop().await.expect("a clean end");
    assert_eq!(flow.holder().await, "one", "it expires when the process has long ended");
    flow.volumes.detach(0);
    let running = flow.run(flow.config("one"));
    flow.barrier().await;
    running.stop().await.expect("a clean end");
    assert_eq!(flow.holder().await, "");
}

pub(crate) async fn a_new_leader_takes_up_every_share_once<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "shares").await;
    flow.make_class(json!({"parameters": {"server": "nfs.example:2050", "share": "/other"}})).await;
    let running = flow.run(flow.config("one"));
    flow.make_claim("data").await;
    flow.wait_bound("data").await;
    running.stop().await.expect("a clean end");
    flow.volumes.forget_resumed();
    let running = flow.run(flow.config("two"));
    flow.barrier().await;
    // The class names one share, and the volume that was made (by the recording, in its own place) another.
    let mut resumed = flow.volumes.resumed();
    resumed.sort_unstable();
    assert_eq!(resumed, ["nfs.example:/export", "nfs.example:2050:/other"]);
    running.stop().await.expect("a clean end");
}
