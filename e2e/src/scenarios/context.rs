//! What a scenario works with: a namespace of its own on a cluster where the driver runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    base::LabError,
    cluster::{Kubectl, Lab},
    report::Timeline,
    target::Driver,
};

/// How long a claim may take to be bound, or a pod to run, before a scenario gives up. Generous: nodes may be emulated.
pub(super) const PATIENCE: Duration = Duration::from_mins(3);

/// Label of what lies in no namespace: the namespace of the scenario that made it.
const SCENARIO: &str = "scenario.berth.dev/namespace";

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
}

impl<'a> Context<'a> {
    /// Makes the namespace of scenario `name`.
    pub fn open(
        name: &str,
        driver: &'a Driver,
        lab: Option<&'a Lab>,
        timeline: &'a Timeline,
    ) -> Result<Self, LabError> {
        let millis = std::time::UNIX_EPOCH.elapsed().map(|since| since.as_millis()).unwrap_or_default();
        let namespace = format!("berth-{name}-{:x}", millis & 0xff_ffff);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        driver.kubectl.create(object.to_string())?;
        // Pods need the service account, which a controller makes a moment later.
        driver.kubectl.wait(&namespace, &["serviceaccount/default"], "create", PATIENCE)?;
        Ok(Self { driver, lab, namespace, timeline })
    }

    /// The cluster.
    pub fn kubectl(&self) -> &Kubectl {
        &self.driver.kubectl
    }

    /// The lab; only scenarios that said they need it may ask.
    pub fn lab(&self) -> Result<&'a Lab, LabError> {
        self.lab.ok_or_else(|| LabError::Precondition("this needs the lab's machines".to_owned()))
    }

    /// Deletes the namespace and waits until it and every volume that was made for it are gone.
    pub fn close(&self) -> Result<(), LabError> {
        let claims = self.kubectl().list("persistentvolumeclaims", &self.namespace, "")?;
        let volumes: Vec<String> = claims
            .iter()
            .filter_map(|claim| claim["spec"]["volumeName"].as_str())
            .map(|name| format!("pv/{name}"))
            .collect();
        let words = ["delete", "namespace", &self.namespace, "--timeout=180s"];
        self.kubectl().run(&words)?;
        self.delete_cluster_objects()?;
        if volumes.is_empty() {
            return Ok(());
        }
        let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
        self.kubectl().wait("", &volumes, "delete", PATIENCE)
    }

    /// Deletes the namespace without waiting; what it leaves was written to the dump.
    pub fn abandon(&self) {
        // Best effort after a failure that is already reported.
        let _ = self.kubectl().run(&["delete", "namespace", &self.namespace, "--wait=false"]);
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
        self.kubectl().create(object.to_string())?;
        Ok(class)
    }

    /// Makes a claim of a class.
    pub fn claim_of(&self, name: &str, class: &str) -> Result<(), LabError> {
        self.kubectl().create(claim(&self.namespace, name, class, "1Gi").to_string()).map(drop)
    }

    /// Labels that make an object of no namespace go with the scenario.
    pub(super) fn labels(&self) -> Value {
        json!({ SCENARIO: self.namespace })
    }

    fn delete_cluster_objects(&self) -> Result<(), LabError> {
        let selector = format!("{SCENARIO}={}", self.namespace);
        self.kubectl().run(&["delete", "storageclass,pv", "-l", &selector, "--wait=false"]).map(drop)
    }

    /// Waits until a claim is bound and returns its volume.
    pub fn bound(&self, claim: &str) -> Result<Value, LabError> {
        let target = format!("pvc/{claim}");
        self.kubectl().wait(&self.namespace, &[&target], "jsonpath={.status.phase}=Bound", PATIENCE)?;
        let claim = self.kubectl().get("pvc", claim, &self.namespace)?.unwrap_or_default();
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
        self.kubectl()
            .get("pv", volume, "")?
            .ok_or_else(|| LabError::Unmet(format!("the claim is bound to volume `{volume}`, which does not exist")))
    }

    /// Starts a pod that mounts `claim` at `/data` and runs a shell script; `node` is empty or where it must run.
    pub fn pod(&self, name: &str, claim: &str, node: &str, script: &str) -> Result<(), LabError> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": self.namespace },
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
        self.kubectl().create(pod.to_string()).map(drop)
    }

    /// Waits until a pod is ready.
    pub fn pod_ready(&self, name: &str) -> Result<(), LabError> {
        self.kubectl().wait(&self.namespace, &[&format!("pod/{name}")], "condition=Ready", PATIENCE)
    }

    /// Names of the nodes that take pods, in order.
    pub fn nodes(&self) -> Result<Vec<String>, LabError> {
        let nodes = self.kubectl().list("nodes", "", "")?;
        let mut names: Vec<String> =
            nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Fails with `what` unless `holds`.
    pub fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), LabError> {
        if holds { Ok(()) } else { Err(LabError::Unmet(what())) }
    }
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
