//! What a flow needs of a cluster, and the handles it works with.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use controller::kubernetes::{Clients, Config, Error, run_with};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::recording::Recording;

/// Long enough for a machine that is busy with other things; a flow that works never waits that long.
const PATIENCE: Duration = Duration::from_mins(1);

/// An API server with a volume controller.
pub(crate) trait Cluster: Send + Sync {
    fn client(&self) -> Client;
    /// Makes a namespace of the flow's own, whose name begins with `name`, and returns its name.
    async fn namespace(&self, name: &str) -> String;
    /// Refuses to create volumes of this driver until [`Cluster::allow_saves`].
    async fn refuse_saves(&self, driver: &str);
    async fn allow_saves(&self, driver: &str);
}

/// One flow: a driver name, a namespace and recording volumes of its own.
pub(crate) struct Flow<'c, C> {
    pub(crate) cluster: &'c C,
    pub(crate) client: Client,
    /// Its namespace, and the first word of everything else that is its own.
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) volumes: Arc<Recording>,
}

/// A provisioner that runs.
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Asks for a shutdown and waits for it.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        timeout(PATIENCE, self.task).await.expect("the provisioner ends").expect("no panic")
    }
}

impl<'c, C: Cluster> Flow<'c, C> {
    pub(crate) async fn new(cluster: &'c C, name: &'static str) -> Self {
        let name = cluster.namespace(name).await;
        let driver = format!("{name}.csi.example");
        Self { cluster, client: cluster.client(), name, driver, volumes: Arc::default() }
    }

    /// Settings with short retries. The lease is renewed often and lives long: a busy machine loses none.
    pub(crate) fn config(&self, identity: &str) -> Config {
        Config {
            retry_interval_start: Duration::from_millis(50),
            retry_interval_max: Duration::from_millis(400),
            lease_retry: Duration::from_millis(200),
            drain: Duration::from_secs(5),
            ..Config::new(&self.driver, &self.name, identity)
        }
    }

    pub(crate) fn run(&self, config: Config) -> Running {
        self.run_with(self.client.clone().into(), config)
    }

    /// The same, with clients of the test's.
    pub(crate) fn run_with(&self, clients: Clients, config: Config) -> Running {
        let shutdown = CancellationToken::new();
        let run = run_with(clients, Arc::clone(&self.volumes), config, shutdown.clone());
        Running { shutdown, task: tokio::spawn(run) }
    }

    /// Name of the flow's class.
    pub(crate) fn class(&self) -> String {
        format!("class-{}", self.name)
    }

    pub(crate) async fn make_class(&self, extra: Value) {
        let parameters = json!({"server": "nfs.example", "share": "/export"});
        let mut class = json!({
            "metadata": {"name": self.class()}, "provisioner": self.driver, "parameters": parameters,
        });
        class.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.classes().create(&PostParams::default(), &read::<StorageClass>(class)).await.expect("a class");
    }

    /// Makes a claim of the flow's class; returns its UID.
    pub(crate) async fn make_claim(&self, name: &str) -> String {
        self.make_claim_with(name, json!({})).await
    }

    /// The same, with some fields of its spec set.
    pub(crate) async fn make_claim_with(&self, name: &str, extra: Value) -> String {
        let mut spec = json!({
            "accessModes": ["ReadWriteMany"], "storageClassName": self.class(), "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "1Gi"}},
        });
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let claim = json!({"metadata": {"name": name}, "spec": spec});
        let made = self.claims().create(&PostParams::default(), &read::<PersistentVolumeClaim>(claim)).await;
        made.expect("a claim").metadata.uid.expect("a UID")
    }

    pub(crate) async fn delete_claim(&self, name: &str) {
        self.claims().delete(name, &DeleteParams::default()).await.expect("a claim to delete");
    }

    pub(crate) async fn patch_claim(&self, name: &str, patch: Value) {
        self.claims().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a claim to patch");
    }

    pub(crate) async fn patch_volume(&self, name: &str, patch: Value) {
        self.all_volumes().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a volume to patch");
    }

    pub(crate) fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub(crate) fn classes(&self) -> Api<StorageClass> {
        Api::all(self.client.clone())
    }

    pub(crate) fn all_volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    pub(crate) fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The volumes of this flow's driver.
    pub(crate) async fn saved(&self) -> Vec<PersistentVolume> {
        let all = self.all_volumes().list(&ListParams::default()).await.expect("volumes").items;
        let driver = |volume: &PersistentVolume| Some(volume.spec.as_ref()?.csi.as_ref()?.driver.clone());
        all.into_iter().filter(|volume| driver(volume).as_deref() == Some(&self.driver)).collect()
    }

    pub(crate) async fn wait_bound(&self, name: &str) -> PersistentVolume {
        self.until(&format!("claim {name} is bound"), async || {
            let claim = self.claims().get(name).await.ok()?;
            let phase = claim.status?.phase?;
            let volume = self.all_volumes().get_opt(&claim.spec?.volume_name?).await.expect("volumes")?;
            let bound = volume.status.as_ref()?.phase.as_deref() == Some("Bound");
            (phase == "Bound" && bound).then_some(volume)
        })
        .await
    }

    /// Provisions another claim, by a class of its own, from beginning to end: what the provisioner was to do about
    /// earlier news, it has done by then.
    pub(crate) async fn barrier(&self) {
        let name = format!("barrier-{}", self.name);
        let class = json!({"metadata": {"name": name}, "provisioner": self.driver});
        self.classes().create(&PostParams::default(), &read::<StorageClass>(class)).await.expect("a class");
        self.make_claim_with("barrier", json!({"storageClassName": name})).await;
        self.wait_bound("barrier").await;
    }

    pub(crate) async fn wait_no_volumes(&self) {
        self.until("no volume object is left", async || self.saved().await.is_empty().then_some(())).await;
    }

    /// Reasons and messages of our events on an object, with their counts.
    pub(crate) async fn events(&self, namespace: &str, object_uid: &str) -> BTreeMap<(String, String), i32> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let all = api.list(&ListParams::default()).await.expect("events").items;
        // The volume controller writes events too.
        let ours = all.into_iter().filter(|event| {
            let component = event.source.as_ref().and_then(|source| source.component.clone()).unwrap_or_default();
            event.involved_object.uid.as_deref() == Some(object_uid) && component.starts_with(&self.driver)
        });
        ours.map(|event| {
            ((event.reason.unwrap_or_default(), event.message.unwrap_or_default()), event.count.unwrap_or(0))
        })
        .collect()
    }

    pub(crate) async fn wait_event(&self, namespace: &str, object_uid: &str, reason: &str) -> String {
        self.until(&format!("event {reason}"), async || {
            let events = self.events(namespace, object_uid).await;
            events.into_keys().find(|(found, _)| found == reason).map(|(_, message)| message)
        })
        .await
    }

    /// Who holds the flow's lease.
    pub(crate) async fn holder(&self) -> String {
        let lease = self.leases().get(&self.config("x").lease_name()).await.expect("a lease");
        lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{}: waited in vain until {what}; created {:?}, deleted {:?}",
                self.name,
                self.volumes.creates(),
                self.volumes.deletes(),
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl<C> Drop for Flow<'_, C> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.volumes.require_played();
        }
    }
}

fn read<T: DeserializeOwned + Debug>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of this kind")
}

/// Finalizers of a volume.
pub(crate) fn finalizers(volume: &PersistentVolume) -> Vec<String> {
    volume.metadata.finalizers.clone().unwrap_or_default()
}
