//! Nodes that join, and the taint that keeps pods from them until the node plugin has registered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use controller::kubernetes::Config;
use http::{Method, Request};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::CSINode;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Flow};

/// A taint that is none of ours.
const FOREIGN: &str = "example.com/keep";

fn nodes(client: Client) -> Api<Node> {
    Api::all(client)
}

/// A node and what its kubelet tells, by the names of the flow.
struct Joined<'f, C> {
    flow: &'f Flow<'f, C>,
    name: String,
    uid: String,
}

impl<'f, C: Cluster> Joined<'f, C> {
    /// It joins with the startup taint, and `driver` has registered on it.
    async fn new(flow: &'f Flow<'f, C>, name: &str, driver: &str) -> Self {
        let name = format!("{name}-{}", flow.name);
        let node = json!({"metadata": {"name": name}, "spec": {"taints": startup_taints(&flow.driver)}});
        let node = serde_json::from_value(node).unwrap();
        let made = nodes(flow.client.clone()).create(&PostParams::default(), &node).await.expect("a node");
        let joined = Self { flow, name, uid: made.metadata.uid.expect("a UID") };
        let csi_node = serde_json::from_value(joined.csi_node(driver)).unwrap();
        joined.csi_nodes().create(&PostParams::default(), &csi_node).await.expect("a CSINode");
        joined
    }

    fn csi_nodes(&self) -> Api<CSINode> {
        Api::all(self.flow.client.clone())
    }

    fn csi_node(&self, driver: &str) -> Value {
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": self.uid});
        json!({
            "metadata": {"name": self.name, "ownerReferences": [owner]},
            "spec": {"drivers": [{"name": driver, "nodeID": self.name, "topologyKeys": []}]},
        })
    }

    async fn register(&self, driver: &str) {
        let patch = Patch::Merge(self.csi_node(driver));
        self.csi_nodes().patch(&self.name, &PatchParams::default(), &patch).await.expect("a CSINode");
    }

    async fn taint(&self, taints: Value) {
        let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
        let api = nodes(self.flow.client.clone());
        api.patch(&self.name, &PatchParams::default(), &patch).await.expect("a node to patch");
    }

    /// Keys of its taints but for those that the cluster sets itself.
    async fn taints(&self) -> Vec<String> {
        let node = nodes(self.flow.client.clone()).get(&self.name).await.expect("a node");
        let all = node.spec.and_then(|spec| spec.taints).unwrap_or_default().into_iter().map(|taint| taint.key);
        all.filter(|key| !key.starts_with("node.kubernetes.io/")).collect()
    }

    async fn wait_free(&self) {
        let free = async || (!self.taints().await.contains(&key(&self.flow.driver))).then_some(());
        self.flow.until(&format!("{} is free", self.name), free).await;
    }

    /// Its CSINode goes with it, where somebody collects garbage.
    async fn leave(self) {
        nodes(self.flow.client.clone()).delete(&self.name, &DeleteParams::default()).await.expect("a node");
    }
}

fn key(driver: &str) -> String {
    format!("{driver}/agent-not-ready")
}

/// The startup taint with two effects, and one that is none of ours between them.
fn startup_taints(driver: &str) -> Value {
    json!([
        {"key": key(driver), "effect": "NoSchedule"},
        {"key": FOREIGN, "effect": "PreferNoSchedule", "value": "x"},
        {"key": key(driver), "effect": "NoExecute", "value": "y"},
    ])
}

fn config<C: Cluster>(flow: &Flow<'_, C>) -> Config {
    Config { remove_startup_taint: true, ..flow.config("one") }
}

pub(crate) async fn the_startup_taint_goes_when_the_plugin_has_registered<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "taint").await;
    let unready = Joined::new(&flow, "unready", "another.csi.example").await;
    let ready = Joined::new(&flow, "ready", &flow.driver).await;
    let running = flow.run(config(&flow));
    ready.wait_free().await;
    assert_eq!(ready.taints().await, [FOREIGN], "others stay");
    assert_eq!(unready.taints().await, [key(&flow.driver), FOREIGN.to_owned(), key(&flow.driver)], "it must wait");
    unready.register(&flow.driver).await;
    unready.wait_free().await;
    assert_eq!(unready.taints().await, [FOREIGN]);
    // It comes back, as the only one.
    ready.taint(json!([{"key": key(&flow.driver), "effect": "NoSchedule"}])).await;
    ready.wait_free().await;
    assert_eq!(ready.taints().await, Vec::<String>::new());
    running.stop().await.expect("a clean end");
    ready.leave().await;
    unready.leave().await;
}

/// Somebody else taints the node after it was read and before it is patched.
pub(crate) async fn a_taint_that_is_set_at_the_same_time_is_not_lost<C: Cluster>(cluster: &C) {
    let flow = Flow::new(cluster, "race").await;
    let node = Joined::new(&flow, "node", &flow.driver).await;
    let raced = Arc::new(AtomicBool::new(false));
    let (name, driver) = (node.name.clone(), flow.driver.clone());
    let (through, seen) = (flow.client.clone(), Arc::clone(&raced));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, name, driver, seen) = (through.clone(), name.clone(), driver.clone(), Arc::clone(&seen));
        async move {
            let is_patch =
                request.method() == Method::PATCH && request.uri().path().ends_with(&format!("/nodes/{name}"));
            if is_patch && !seen.swap(true, Ordering::Relaxed) {
                let mut taints = startup_taints(&driver);
                taints.as_array_mut().unwrap().push(json!({"key": "example.com/drain", "effect": "NoSchedule"}));
                let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
                nodes(client.clone()).patch(&name, &PatchParams::default(), &patch).await.expect("a node to patch");
            }
            client.send(request).await
        }
    });
    let running = flow.run_with(Client::new(service, "default").into(), config(&flow));
    node.wait_free().await;
    assert!(raced.load(Ordering::Relaxed));
    assert_eq!(node.taints().await, [FOREIGN, "example.com/drain"]);
    running.stop().await.expect("a clean end");
    node.leave().await;
}
