//! The provisioner against a real API server: the same flows as against the fake one.
//!
//! `BERTH_TEST_KUBECONFIG` names the kubeconfig of an administrator of a throwaway API server (1.30 or newer) with a
//! kube-controller-manager; no node is needed. `make test` starts one. Each run works in namespaces, with classes and
//! with a driver name of its own, and leaves them behind.

#![allow(clippy::unwrap_used, reason = "the parts shared by the tests fail like the tests themselves")]

#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/flows/mod.rs"]
mod flows;
#[path = "kubernetes/recording.rs"]
mod recording;
#[path = "kubernetes/refusal.rs"]
mod refusal;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::cluster::Cluster;

const VARIABLE: &str = "BERTH_TEST_KUBECONFIG";
const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

struct ApiServer {
    client: Client,
    /// Differs between runs, so that none meets what another left behind.
    run: String,
}

async fn start() -> ApiServer {
    let path = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!(
            "{VARIABLE} is not set: it must name the kubeconfig of a throwaway API server with a \
             kube-controller-manager; `make test` starts one"
        )
    });
    let kubeconfig = Kubeconfig::read_from(Path::new(&path)).expect("a readable kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("a usable kubeconfig")).expect("a client");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    ApiServer { client, run: format!("{:x}", since.as_millis()) }
}

impl ApiServer {
    /// `ValidatingAdmissionPolicy`, or what begins like it, in the version that the server has: v1 since Kubernetes 1.30.
    async fn policies(&self, kind: &str) -> Api<DynamicObject> {
        let group = "admissionregistration.k8s.io";
        let stable = self.client.list_api_group_resources(&format!("{group}/v1")).await.expect("resources");
        let is_stable = stable.resources.iter().any(|resource| resource.kind == kind);
        let kind = GroupVersionKind::gvk(group, if is_stable { "v1" } else { "v1beta1" }, kind);
        Api::all_with(self.client(), &ApiResource::from_gvk(&kind))
    }
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of this kind")
}

impl Cluster for ApiServer {
    fn client(&self) -> Client {
        self.client.clone()
    }

    async fn namespace(&self, name: &str) -> String {
        let name = format!("{name}-{}", self.run);
        let namespace: Namespace = read(json!({"metadata": {"name": name}}));
        let api: Api<Namespace> = Api::all(self.client());
        api.create(&PostParams::default(), &namespace).await.expect("a namespace");
        name
    }

    async fn refuse_saves(&self, driver: &str) {
        let rule = json!({
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["persistentvolumes"],
        });
        let expression = format!("!has(object.spec.csi) || object.spec.csi.driver != '{driver}'");
        let policy: DynamicObject = read(json!({
            "metadata": {"name": driver},
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": expression, "message": "refused by the test"}],
            },
        }));
        let binding: DynamicObject = read(json!({
            "metadata": {"name": driver}, "spec": {"policyName": driver, "validationActions": ["Deny"]},
        }));
        let policies = self.policies(POLICY).await;
        policies.create(&PostParams::default(), &policy).await.expect("a policy");
        let bindings = self.policies(BINDING).await;
        bindings.create(&PostParams::default(), &binding).await.expect("a binding");
        // The server takes a while to notice.
        let volume: PersistentVolume = read(json!({
            "metadata": {"name": driver},
            "spec": {
                "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"},
                "csi": {"driver": driver, "volumeHandle": "x"},
            },
        }));
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let volumes: Api<PersistentVolume> = Api::all(self.client());
        while volumes.create(&dry, &volume).await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn allow_saves(&self, driver: &str) {
        let bindings = self.policies(BINDING).await;
        bindings.delete(driver, &DeleteParams::default()).await.expect("a binding");
    }
}

flows::every_flow!(crate::start);
