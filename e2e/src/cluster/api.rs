//! A cluster as its API server shows it: objects as JSON, and waiting for what becomes of them.

use std::{
    fmt, future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{AsyncReadExt, StreamExt};
use kube::{
    Client, Config, Resource,
    api::{
        Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use labkit::base::{LabError, chain};
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

use super::Kubectl;

/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_mins(1);
/// How long a deletion may take, pods and their mounts included.
const DELETION: Duration = Duration::from_mins(3);
/// What was seen of an API server that did not answer.
const SILENCE: &str = "no answer of the API server";
/// Owner of what is applied.
const MANAGER: &str = "lab";

/// The API of one cluster, with calls that block and have an end. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    kubectl: Kubectl,
    client: Client,
    runtime: Arc<Runtime>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("kubectl", &self.kubectl).finish_non_exhaustive()
    }
}

/// A kind of objects, named by its type.
pub trait Kind: Resource<DynamicType = ()> {}

impl<K: Resource<DynamicType = ()>> Kind for K {}

impl Cluster {
    /// The cluster that `kubeconfig` names, as seen from the network namespace of the calling thread; `kubectl` is the
    /// program for what only people ask.
    pub fn new(kubectl: PathBuf, kubeconfig: PathBuf) -> Result<Self, LabError> {
        let failed = LabError::because(format!("kubeconfig {}", kubeconfig.display()));
        // Whichever thread waits, this one talks. It inherits the namespace in which it is started.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| LabError::Start { program: "a thread".to_owned(), source })?;
        let connect = || {
            let config = Kubeconfig::read_from(&kubeconfig)?;
            let config = runtime.block_on(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()))?;
            let _inside = runtime.enter();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Client::try_from(config)?)
        };
        let client = connect().map_err(failed)?;
        Ok(Self { kubectl: Kubectl::new(kubectl, kubeconfig), client, runtime: Arc::new(runtime) })
    }

    /// The kubeconfig this client uses.
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// The same cluster by the program that people use.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Creates an object; one that exists is an error.
    pub fn create(&self, object: &Value) -> Result<(), LabError> {
        let (api, object) = self.object(object)?;
        self.ask("create", &api, async |api| api.create(&PostParams::default(), &object).await).map(drop)
    }

    /// Creates objects one after the other.
    pub fn create_all<'a>(&self, objects: impl IntoIterator<Item = &'a Value>) -> Result<(), LabError> {
        objects.into_iter().try_for_each(|object| self.create(object))
    }

    /// Creates an object or brings it to what is said, by server-side apply.
    pub fn apply(&self, object: &Value) -> Result<(), LabError> {
        let (api, object) = self.object(object)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let params = PatchParams::apply(MANAGER).force();
        self.ask("apply", &api, async |api| api.patch(&name, &params, &Patch::Apply(&object)).await).map(drop)
    }

    /// One object or `None`. `namespace` is empty for objects of the cluster.
    pub fn get<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<Value>, LabError> {
        let found = self.ask("get", &self.api::<K>(namespace), async |api| api.get_opt(name).await)?;
        found.as_ref().map(json).transpose()
    }

    /// Objects of a kind that carry the labels of `selector` (empty: all).
    pub fn list<K: Kind>(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, LabError> {
        let params = ListParams::default().labels(selector);
        let found = self.ask("list", &self.api::<K>(namespace), async |api| api.list(&params).await)?;
        found.items.iter().map(json).collect()
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete<K: Kind>(&self, namespace: &str, name: &str) -> Result<(), LabError> {
        self.begin_delete::<K>(namespace, name, &DeleteParams::default())?;
        self.gone::<K>(namespace, &[name])
    }

    /// Begins to delete an object; `params` say how.
    pub fn begin_delete<K: Kind>(&self, namespace: &str, name: &str, params: &DeleteParams) -> Result<(), LabError> {
        self.ask("delete", &self.api::<K>(namespace), async |api| api.delete(name, params).await).map(drop)
    }

    /// Begins to delete the objects of a kind that carry the labels of `selector` (empty: all).
    pub fn begin_delete_all<K: Kind>(&self, namespace: &str, selector: &str) -> Result<(), LabError> {
        let (delete, list) = (DeleteParams::default(), ListParams::default().labels(selector));
        let api = self.api::<K>(namespace);
        self.ask("delete all", &api, async |api| api.delete_collection(&delete, &list).await).map(drop)
    }

    /// Waits until no object of a kind has one of these names.
    pub fn gone<K: Kind>(&self, namespace: &str, names: &[&str]) -> Result<(), LabError> {
        let what = format!("the end of {} {}", K::kind(&()), names.join(", "));
        self.until::<K, _>(&what, namespace, "", DELETION, |objects| {
            match objects.iter().find(|object| names.iter().any(|name| object["metadata"]["name"] == *name)) {
                Some(object) => Err(object["metadata"].to_string()),
                None => Ok(()),
            }
        })
    }

    /// Watches the objects of a kind that carry the labels of `selector` (empty: all) until `probe` answers `Ok`, at most
    /// for `deadline`. It is asked at the beginning and after each change. The last refusal becomes part of the error.
    pub fn until<K: Kind, T>(
        &self,
        what: &str,
        namespace: &str,
        selector: &str,
        deadline: Duration,
        mut probe: impl FnMut(&[Value]) -> Result<T, String>,
    ) -> Result<T, LabError> {
        let mut last = SILENCE.to_owned();
        let events = watcher(self.api::<K>(namespace), watcher::Config::default().labels(selector)).default_backoff();
        let watch = async {
            let (mut events, mut objects, mut complete) = (pin!(events), Vec::new(), false);
            loop {
                match events.next().await {
                    Some(Ok(event)) => complete = follow(&mut objects, event).map_or(complete, |now| now),
                    Some(Err(error)) => last = chain(&error),
                    None => future::pending().await,
                }
                if complete {
                    match probe(&objects) {
                        Ok(found) => return found,
                        Err(refusal) => last = refusal,
                    }
                }
            }
        };
        let found = self.runtime.block_on(async { timeout(deadline, watch).await.ok() });
        found.ok_or_else(|| LabError::Timeout { what: what.to_owned(), seconds: deadline.as_secs(), last })
    }

    /// Body of a GET on the API server.
    pub fn raw(&self, path: &str) -> Result<Vec<u8>, LabError> {
        let get = async {
            let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            let mut body = pin!(self.client.request_stream(request).await?);
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes).await.map_err(kube::Error::ReadEvents)?;
            Ok(bytes)
        };
        self.finish(path, get)
    }

    /// As [`Cluster::raw`], as text.
    pub fn text(&self, path: &str) -> Result<String, LabError> {
        self.raw(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the container of a pod printed.
    pub fn log(&self, namespace: &str, pod: &str) -> Result<String, LabError> {
        self.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"))
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<DynamicObject> {
        self.resource(namespace, &ApiResource::erase::<K>(&()))
    }

    fn resource(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        if namespace.is_empty() {
            return Api::all_with(self.client.clone(), resource);
        }
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// An object, and the API of its kind.
    fn object(&self, object: &Value) -> Result<(Api<DynamicObject>, DynamicObject), LabError> {
        let object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(LabError::reply("an object of the lab"))?;
        let kind = object.types.as_ref().map(GroupVersionKind::try_from);
        let kind = kind.and_then(Result::ok).ok_or_else(|| LabError::Unmet(format!("{object:?} has no kind")))?;
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        Ok((self.resource(&namespace, &ApiResource::from_gvk(&kind)), object))
    }

    fn ask<T>(
        &self,
        verb: &str,
        api: &Api<DynamicObject>,
        question: impl AsyncFnOnce(&Api<DynamicObject>) -> kube::Result<T>,
    ) -> Result<T, LabError> {
        self.finish(&format!("{verb} {}", api.resource_url()), question(api))
    }

    fn finish<T>(&self, what: &str, answer: impl Future<Output = kube::Result<T>>) -> Result<T, LabError> {
        let answer = self.runtime.block_on(async { timeout(ANSWER, answer).await });
        let late = |_| LabError::Timeout { what: what.to_owned(), seconds: ANSWER.as_secs(), last: SILENCE.to_owned() };
        answer.map_err(late)?.map_err(LabError::because(format!("API server: {what}")))
    }
}

/// Brings `objects` up to date with an event; tells when they begin and cease to be all there are.
fn follow(objects: &mut Vec<Value>, event: Event<DynamicObject>) -> Option<bool> {
    match event {
        Event::Init => {
            objects.clear();
            return Some(false);
        }
        Event::InitDone => return Some(true),
        Event::Apply(object) | Event::InitApply(object) => {
            objects.retain(|known| !is(known, &object));
            // What was decoded from JSON becomes JSON again.
            objects.extend(serde_json::to_value(&object));
        }
        Event::Delete(object) => objects.retain(|known| !is(known, &object)),
    }
    None
}

fn is(known: &Value, object: &DynamicObject) -> bool {
    known["metadata"]["uid"].as_str() == object.metadata.uid.as_deref()
}

fn json(object: &DynamicObject) -> Result<Value, LabError> {
    serde_json::to_value(object).map_err(LabError::reply("the API server"))
}

/// Name of an object; empty when it has none.
pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether a condition of an object is true.
pub fn is_true(object: &Value, condition: &str) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|found| found["type"] == condition && found["status"] == "True")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    /// A cluster whose API server is not there; its kubeconfig lies in `dir`.
    pub(crate) fn nowhere(dir: &Path) -> Cluster {
        let path = dir.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": { "server": "http://127.0.0.1:1" } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab" } }],
        });
        fs::write(&path, config.to_string()).unwrap();
        Cluster::new("/no/such/kubectl".into(), path).unwrap()
    }

    #[test]
    fn what_was_asked_of_whom_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = nowhere(dir.path()).get::<Pod>("space", "pod").unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with("API server: get /api/v1/namespaces/space/pods: "), "{text}");
        assert!(text.contains("refused"), "{text}");
        let missing = Cluster::new("kubectl".into(), dir.path().join("none")).unwrap_err();
        assert!(chain(&missing).contains("none"), "{missing}");
    }

    #[test]
    fn waiting_ends_and_tells_what_stood_in_its_way() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = nowhere(dir.path());
        let begun = std::time::Instant::now();
        let patience = Duration::from_millis(1100);
        let error = cluster.until::<Pod, ()>("a pod", "space", "", patience, |_| panic!("nothing is known"));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("a pod did not happen") && text.contains("refused"), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn objects_follow_their_events() {
        let object = |uid: &str, phase: &str| -> DynamicObject {
            serde_json::from_value(json!({ "metadata": { "uid": uid }, "status": { "phase": phase } })).unwrap()
        };
        let mut objects = Vec::new();
        let events = [
            (Event::Init, Some(false), vec![]),
            (Event::InitApply(object("a", "Pending")), None, vec!["Pending"]),
            (Event::InitDone, Some(true), vec!["Pending"]),
            (Event::Apply(object("b", "Lost")), None, vec!["Pending", "Lost"]),
            (Event::Apply(object("a", "Bound")), None, vec!["Lost", "Bound"]),
            (Event::Delete(object("b", "Lost")), None, vec!["Bound"]),
            (Event::Init, Some(false), vec![]),
        ];
        for (event, complete, phases) in events {
            assert_eq!(follow(&mut objects, event), complete);
            let known: Vec<&str> = objects.iter().filter_map(|object| object["status"]["phase"].as_str()).collect();
            assert_eq!(known, phases);
        }
    }
}
