//! What a scenario works with: a namespace of its own on a cluster where the driver runs.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount},
    storage::v1::StorageClass,
};
use kube::api::DeleteParams;
use labkit::base::LabError;
use serde_json::{Value, json};

use crate::{
    cluster::{
        Cluster, Lab,
        api::{is_true, name_of},
    },
    report::{Line, Timeline, table},
    target::Driver,
};

/// How long a claim may take to be bound, or a pod to run, before a scenario gives up. Generous: nodes may be emulated.
pub(super) const PATIENCE: Duration = Duration::from_mins(3);

/// Label of what lies in no namespace: the namespace of the scenario that made it.
const SCENARIO: &str = "scenario.berth.dev/namespace";

/// How much of a scenario is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// What is enough to see each thing once: what the test ladder has time for.
    Short,
    /// All of it: `lab reliability`.
    Full,
}

/// One scenario's place on the cluster.
#[derive(Debug)]
pub struct Context<'a> {
    /// The driver under test.
    pub driver: &'a Driver,
    /// The lab's machines, when the cluster is the lab.
    pub lab: Option<&'a Lab>,
    /// Namespace of this scenario alone.
    pub namespace: String,
    /// Where steps are told.
    pub timeline: &'a Timeline,
    /// How much is to be done.
    pub size: Size,
    /// What was measured so far.
    pub(super) figures: Mutex<Vec<Line>>,
}

impl<'a> Context<'a> {
    /// Makes the namespace of scenario `name`.
    pub fn open(
        name: &str,
        driver: &'a Driver,
        lab: Option<&'a Lab>,
        timeline: &'a Timeline,
        size: Size,
    ) -> Result<Self, LabError> {
        let millis = std::time::UNIX_EPOCH.elapsed().map(|since| since.as_millis()).unwrap_or_default();
        let namespace = format!("berth-{name}-{:x}", millis & 0xff_ffff);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        driver.cluster.create(&object)?;
        let context = Self { driver, lab, namespace, timeline, size, figures: Mutex::default() };
        // Pods need the service account, which a controller makes a moment later.
        let account =
            driver.cluster.until::<ServiceAccount, _>("its account", &context.namespace, "", PATIENCE, |known| {
                if known.iter().any(|account| name_of(account) == "default") {
                    Ok(())
                } else {
                    Err(format!("{known:?}"))
                }
            });
        account.inspect_err(|_| context.abandon()).map(|()| context)
    }

    /// Of two sizes of something, that of this run.
    pub(super) fn sized<T>(&self, short: T, full: T) -> T {
        match self.size {
            Size::Short => short,
            Size::Full => full,
        }
    }

    /// Tells a figure, and keeps it for whoever asked for the scenario.
    pub(super) fn figure(&self, line: Line) {
        self.timeline.note(table(std::slice::from_ref(&line)).trim());
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// What was measured.
    pub(super) fn into_figures(self) -> Vec<Line> {
        self.figures.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.driver.cluster
    }

    /// The lab; only scenarios that said they need it may ask.
    pub fn lab(&self) -> Result<&'a Lab, LabError> {
        self.lab.ok_or_else(|| LabError::Precondition("this needs the lab's machines".to_owned()))
    }

    /// Deletes the namespace and waits until it and every volume that was made for it are gone.
    pub fn close(&self) -> Result<(), LabError> {
        let claims = self.cluster().list::<PersistentVolumeClaim>(&self.namespace, "")?;
        let volumes: Vec<&str> = claims.iter().filter_map(|claim| claim["spec"]["volumeName"].as_str()).collect();
        self.cluster().delete::<Namespace>("", &self.namespace)?;
        self.delete_cluster_objects()?;
        self.cluster().gone::<PersistentVolume>("", &volumes)
    }

    /// Deletes the namespace without waiting; what it leaves was written to the dump.
    pub fn abandon(&self) {
        // Best effort after a failure that is already reported.
        let _ = self.cluster().begin_delete::<Namespace>("", &self.namespace, &DeleteParams::default());
        let _ = self.delete_cluster_objects();
    }

    /// Makes a claim of the driver's class and returns its name.
    pub fn claim(&self, name: &str) -> Result<String, LabError> {
        self.claim_of(name, &self.driver.class)?;
        Ok(name.to_owned())
    }

    /// Name of the class that [`Context::class`] makes.
    pub fn class_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Makes a class with these parameters, which goes with the scenario's namespace, and returns its name.
    pub fn class(&self, name: &str, parameters: &Value) -> Result<String, LabError> {
        let class = self.class_name(name);
        let object = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": { "name": class, "labels": self.labels() },
            "provisioner": self.driver.name, "parameters": parameters,
        });
        self.cluster().create(&object)?;
        Ok(class)
    }

    /// Makes a claim of a class.
    pub fn claim_of(&self, name: &str, class: &str) -> Result<(), LabError> {
        self.cluster().create(&claim(&self.namespace, name, class, "1Gi"))
    }

    /// Labels that make an object of no namespace go with the scenario.
    pub(super) fn labels(&self) -> Value {
        json!({ SCENARIO: self.namespace })
    }

    fn delete_cluster_objects(&self) -> Result<(), LabError> {
        let selector = format!("{SCENARIO}={}", self.namespace);
        self.cluster().begin_delete_all::<StorageClass>("", &selector)?;
        self.cluster().begin_delete_all::<PersistentVolume>("", &selector)
    }

    /// Waits until a claim is bound and returns its volume.
    pub fn bound(&self, claim: &str) -> Result<Value, LabError> {
        let what = format!("a volume for claim {claim}");
        let volume =
            self.cluster().until::<PersistentVolumeClaim, _>(&what, &self.namespace, "", PATIENCE, |claims| {
                let claim = claims.iter().find(|found| name_of(found) == claim).unwrap_or(&Value::Null);
                match claim["spec"]["volumeName"].as_str() {
                    Some(volume) if claim["status"]["phase"] == "Bound" => Ok(volume.to_owned()),
                    _ => Err(claim["status"].to_string()),
                }
            })?;
        self.cluster()
            .get::<PersistentVolume>("", &volume)?
            .ok_or_else(|| LabError::Unmet(format!("the claim is bound to volume `{volume}`, which does not exist")))
    }

    /// Waits until every claim of the scenario is bound, and there are `count` of them.
    pub(super) fn all_bound(&self, count: usize) -> Result<(), LabError> {
        self.all_bound_within(count, PATIENCE)
    }

    /// The same with another deadline.
    pub(super) fn all_bound_within(&self, count: usize, patience: Duration) -> Result<(), LabError> {
        let what = format!("volumes for {count} claims");
        self.cluster().until::<PersistentVolumeClaim, _>(&what, &self.namespace, "", patience, |claims| {
            let bound = claims.iter().filter(|claim| claim["status"]["phase"] == "Bound").count();
            if bound == count && claims.len() == count { Ok(()) } else { Err(format!("{bound} of {}", claims.len())) }
        })
    }

    /// Starts a pod that mounts `claim` at `/data` and runs a shell script; `node` is empty or where it must run.
    pub fn pod(&self, name: &str, claim: &str, node: &str, script: &str) -> Result<(), LabError> {
        self.cluster().create(&self.pod_object(name, claim, node, script))
    }

    /// The object of such a pod.
    pub(super) fn pod_object(&self, name: &str, claim: &str, node: &str, script: &str) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": self.namespace, "labels": { "app": name } },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "shell", "image": self.driver.shell_image, "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", script],
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }],
                "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }],
            },
        });
        if !node.is_empty() {
            pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        }
        pod
    }

    /// Waits until a pod is ready.
    pub fn pod_ready(&self, name: &str) -> Result<(), LabError> {
        self.pod_ready_within(name, PATIENCE)
    }

    /// The same with another deadline.
    pub(super) fn pod_ready_within(&self, name: &str, patience: Duration) -> Result<(), LabError> {
        self.cluster().until::<Pod, _>(&format!("pod {name}"), &self.namespace, "", patience, |pods| {
            let pod = pods.iter().find(|pod| name_of(pod) == name).unwrap_or(&Value::Null);
            if is_true(pod, "Ready") { Ok(()) } else { Err(pod["status"].to_string()) }
        })
    }

    /// Waits until the Deployments with the labels of `selector` (empty: all) run what they say and nothing else.
    pub(super) fn rolled_out(&self, namespace: &str, selector: &str) -> Result<(), LabError> {
        self.cluster().until::<Deployment, _>("a finished rollout", namespace, selector, PATIENCE, |deployments| {
            match deployments.iter().find(|deployment| !is_rolled_out(deployment)) {
                Some(deployment) => Err(format!("{}: {}", name_of(deployment), deployment["status"])),
                None if deployments.is_empty() => Err("there is no Deployment".to_owned()),
                None => Ok(()),
            }
        })
    }

    /// Names of the nodes that take pods, in order.
    pub fn nodes(&self) -> Result<Vec<String>, LabError> {
        let nodes = self.cluster().list::<Node>("", "")?;
        let mut names: Vec<String> = nodes.iter().map(|node| name_of(node).to_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Fails with `what` unless `holds`.
    pub fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), LabError> {
        if holds { Ok(()) } else { Err(LabError::Unmet(what())) }
    }
}

/// What `kubectl rollout status` waits for.
fn is_rolled_out(deployment: &Value) -> bool {
    let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[count] == *wanted)
}

/// A claim as a person would write it.
pub(super) fn claim(namespace: &str, name: &str, class: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": class,
            "resources": { "requests": { "storage": size } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_ends_when_every_replica_is_new_and_available() {
        let deployment = |observed: u32, replicas: u32, updated: u32, available: u32| {
            json!({
                "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
                "status": { "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
                    "availableReplicas": available },
            })
        };
        assert!(is_rolled_out(&deployment(2, 2, 2, 2)));
        for [observed, replicas, updated, available] in [[1, 2, 2, 2], [2, 3, 2, 2], [2, 2, 1, 2], [2, 2, 2, 1]] {
            assert!(!is_rolled_out(&deployment(observed, replicas, updated, available)));
        }
        assert!(!is_rolled_out(&json!({ "metadata": { "generation": 1 }, "spec": { "replicas": 1 }, "status": {} })));
    }
}
