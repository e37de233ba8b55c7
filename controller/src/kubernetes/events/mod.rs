//! Events on claims and volumes: what a person sees in `kubectl describe`.
//!
//! # Guarantees
//! - No work ever waits for an event. Those of one object are written in order, warnings before others, by one of a few
//!   writers; while the API server answers, a warning is written within seconds however many others wait.
//! - Memory is bounded. Where there is no room, the oldest that is no warning is lost.
//! - A repetition raises the count of the event that is there already. There are no more about one object than client-go's
//!   recorder would write.
//! - What is lost is counted in `berth_events_lost_total{type,cause}`.

mod pace;
mod waiting;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use csi_runtime::metrics::Metrics;
use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ObjectMeta;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::Notify;
use tracing::debug;

use self::waiting::{Told, Waiting};
use self::writer::Writer;
use super::api::objects::{Claim, Volume};

/// Events that are written at once, each about another object.
const WRITERS: usize = 8;

/// How many events may wait for one writer, and how many of them, and of their objects, it remembers.
const ROOM: usize = 512;

/// Why something happened, where upstream tells it in the words that upstream uses and people search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// A volume is being made, or is left to a populator.
    Provisioning,
    /// The volume object is saved.
    ProvisioningSucceeded,
    /// No volume was made, this time.
    ProvisioningFailed,
    /// A volume that cannot be used could not be removed either.
    ProvisioningCleanupFailed,
    /// The backing volume was not deleted, this time.
    VolumeFailedDelete,
    /// Pods get the volume read-only although it allows writing.
    MountedReadOnly,
    /// Something of deleted volumes cannot be removed.
    TrashStuck,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::ProvisioningSucceeded => "ProvisioningSucceeded",
            Self::ProvisioningFailed => "ProvisioningFailed",
            Self::ProvisioningCleanupFailed => "ProvisioningCleanupFailed",
            Self::VolumeFailedDelete => "VolumeFailedDelete",
            Self::MountedReadOnly => "MountedReadOnly",
            Self::TrashStuck => "TrashStuck",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Provisioning | Self::ProvisioningSucceeded => "Normal",
            Self::ProvisioningFailed
            | Self::ProvisioningCleanupFailed
            | Self::VolumeFailedDelete
            | Self::MountedReadOnly
            | Self::TrashStuck => "Warning",
        }
    }

    fn is_warning(self) -> bool {
        self.kind() == "Warning"
    }
}

/// Something that happened to an object.
#[derive(Debug, Clone)]
struct Note {
    about: ObjectReference,
    reason: Reason,
    message: String,
}

/// What makes two notes the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sameness {
    uid: Option<String>,
    reason: Reason,
    message: String,
}

impl Note {
    fn sameness(&self) -> Sameness {
        Sameness { uid: self.about.uid.clone(), reason: self.reason, message: self.message.clone() }
    }
}

/// Why an event is lost.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// Too many wait for the API server.
    NoRoom,
    /// There are too many about its object.
    TooMany,
    /// The API server refused it, or did not answer.
    Refused,
}

/// Counts what is lost, by type and cause.
#[derive(Debug, Clone, Default)]
struct Losses(Family<[(&'static str, &'static str); 2], Counter>);

impl Losses {
    fn count(&self, lost: Lost, told: &Told) {
        let cause = match lost {
            Lost::NoRoom => "no_room",
            Lost::TooMany => "too_many",
            Lost::Refused => "refused",
        };
        let labels = [("type", told.note.reason.kind()), ("cause", cause)];
        self.0.get_or_create(&labels).inc_by(u64::try_from(told.times).unwrap_or(0));
    }
}

/// What one writer has to write.
#[derive(Debug)]
struct Desk {
    waiting: Mutex<Waiting>,
    told: Notify,
}

impl Desk {
    fn add(&self, note: Note) -> Option<Told> {
        let lost = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).add(note);
        self.told.notify_one();
        lost
    }

    /// The next note; nothing when there is none and none will come.
    async fn next(&self, closed: &AtomicBool) -> Option<Told> {
        loop {
            // Read before the look at what waits, so that nothing told in between is overlooked.
            let last = closed.load(Ordering::Acquire);
            if let Some(told) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Some(told);
            }
            if last {
                return None;
            }
            self.told.notified().await;
        }
    }
}

/// What recorders and writers share.
#[derive(Debug)]
struct Office {
    desks: [Desk; WRITERS],
    closed: AtomicBool,
    losses: Losses,
}

/// Closes the office with the last recorder.
#[derive(Debug)]
struct Door(Arc<Office>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.desks.iter().for_each(|desk| desk.told.notify_one());
    }
}

/// Where events are told. Clones tell the same writers.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    door: Arc<Door>,
}

impl Recorder {
    /// The recorder, and the task that writes; it ends when every recorder is gone and all is written.
    pub(crate) fn new(
        client: kube::Client,
        component: String,
        metrics: &Metrics,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let losses = Losses::default();
        metrics.register(|registry| registry.register("events_lost", "Events that were not written", losses.0.clone()));
        let desk = |_| Desk { waiting: Mutex::new(Waiting::new(ROOM)), told: Notify::new() };
        let office = Arc::new(Office { desks: std::array::from_fn(desk), closed: AtomicBool::new(false), losses });
        let writing = {
            let office = Arc::clone(&office);
            async move {
                let write = async |desk: &Desk| {
                    let mut writer = Writer::new(client.clone(), component.clone(), ROOM, office.losses.clone());
                    while let Some(told) = desk.next(&office.closed).await {
                        writer.write(&told).await;
                    }
                };
                join_all(office.desks.iter().map(write)).await;
            }
        };
        (Self { door: Arc::new(Door(office)) }, writing)
    }

    pub(crate) fn claim(&self, claim: &Claim, reason: Reason, message: impl Into<String>) {
        self.tell(reference("PersistentVolumeClaim", &claim.metadata), reason, message.into());
    }

    pub(crate) fn volume(&self, volume: &Volume, reason: Reason, message: impl Into<String>) {
        self.tell(reference("PersistentVolume", &volume.metadata), reason, message.into());
    }

    /// About the volume with this name and UID.
    pub(crate) fn volume_named(&self, name: &str, uid: &str, reason: Reason, message: impl Into<String>) {
        self.tell(reference("PersistentVolume", &named(name, uid)), reason, message.into());
    }

    /// About the class with this name and UID.
    pub(crate) fn class_named(&self, name: &str, uid: &str, reason: Reason, message: impl Into<String>) {
        let about = ObjectReference {
            api_version: Some("storage.k8s.io/v1".to_owned()),
            ..reference("StorageClass", &named(name, uid))
        };
        self.tell(about, reason, message.into());
    }

    fn tell(&self, about: ObjectReference, reason: Reason, message: String) {
        let office = &self.door.0;
        let mut hasher = DefaultHasher::new();
        about.uid.hash(&mut hasher);
        let desk = usize::try_from(hasher.finish() % WRITERS as u64).unwrap_or(0);
        if let Some(lost) = office.desks[desk].add(Note { about, reason, message }) {
            debug!(reason = lost.note.reason.name(), "an event is lost: too many wait for the API server");
            office.losses.count(Lost::NoRoom, &lost);
        }
    }
}

/// Namespace of the event: the object's, or `default` for one that has none.
fn namespace(note: &Note) -> &str {
    note.about.namespace.as_deref().unwrap_or("default")
}

fn named(name: &str, uid: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), uid: Some(uid.to_owned()), ..ObjectMeta::default() }
}

fn reference(kind: &str, metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// An API server that takes a tenth of a second for each event, and what it was sent: when, and what.
    #[derive(Debug, Clone, Default)]
    struct Slow(Arc<Mutex<Vec<(Instant, Method, Value)>>>);

    impl Slow {
        fn client(&self) -> kube::Client {
            let sent = Arc::clone(&self.0);
            let service = tower::service_fn(move |request: Request<Body>| {
                let sent = Arc::clone(&sent);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap();
                    sleep(Duration::from_millis(100)).await;
                    sent.lock().unwrap().push((Instant::now(), parts.method, body));
                    let answer = json!({"metadata": {"name": "x"}, "involvedObject": {}}).to_string();
                    Ok::<_, kube::Error>(Response::new(Full::new(Bytes::from(answer))))
                }
            });
            kube::Client::new(service, "default")
        }

        fn of_type(&self, kind: &str) -> Vec<Instant> {
            let sent = self.0.lock().unwrap();
            sent.iter().filter(|(_, _, event)| event["type"] == kind).map(|(when, ..)| *when).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_does_not_wait_for_thousands_of_others_and_no_warning_is_lost_for_them() {
        let (slow, metrics) = (Slow::default(), Metrics::new());
        let (recorder, writing) = Recorder::new(slow.client(), "c".to_owned(), &metrics);
        let writing = tokio::spawn(writing);
        let tell = |number: usize, reason| {
            let Note { about, reason, message } = note(&number.to_string(), reason, "text");
            recorder.tell(about, reason, message);
        };
        (0..10_000).for_each(|number| tell(number, Reason::Provisioning));
        let since = Instant::now();
        (0..40).for_each(|number| tell(number, Reason::ProvisioningFailed));
        drop(recorder);
        writing.await.unwrap();
        let warnings = slow.of_type("Warning");
        let late = *warnings.iter().max().unwrap() - since;
        assert!(
            warnings.len() == 40 && late < Duration::from_secs(3),
            "{} of 40, the last after {late:?}",
            warnings.len()
        );
        let others = slow.of_type("Normal").len();
        assert!(others >= ROOM, "{others}");
        let text = metrics.encode().unwrap();
        let line = format!("berth_events_lost_total{{type=\"Normal\",cause=\"no_room\"}} {}", 10_000 - others);
        assert!(text.contains(&line) && !text.contains("type=\"Warning\""), "{line}\n{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn repetitions_raise_the_count_and_what_was_withheld_is_counted_with_the_next() {
        let (slow, metrics) = (Slow::default(), Metrics::new());
        let (recorder, writing) = Recorder::new(slow.client(), "c".to_owned(), &metrics);
        tokio::spawn(writing);
        let tell = || {
            let Note { about, reason, message } = note("u", Reason::ProvisioningFailed, "text");
            recorder.tell(about, reason, message);
        };
        let counts = |slow: &Slow| -> Vec<Value> {
            slow.0.lock().unwrap().drain(..).map(|(_, _, event)| event["count"].clone()).collect()
        };
        // Each is told when the one before it is written.
        for _ in 0..30 {
            tell();
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(counts(&slow), (1..=25).map(Value::from).collect::<Vec<_>>());
        sleep(Duration::from_mins(5)).await;
        tell();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(counts(&slow), [json!(31)]);
        // Told again before a writer came to it.
        sleep(Duration::from_mins(5)).await;
        (0..3).for_each(|_| tell());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(counts(&slow), [json!(34)]);
        assert!(!metrics.encode().unwrap().contains("berth_events_lost_total{"));
    }

    /// A note about a claim in the namespace `shop`.
    pub(super) fn note(uid: &str, reason: Reason, message: &str) -> Note {
        let about = ObjectReference {
            kind: Some("PersistentVolumeClaim".into()),
            name: Some("data".into()),
            namespace: Some("shop".into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        };
        Note { about, reason, message: message.into() }
    }
}
