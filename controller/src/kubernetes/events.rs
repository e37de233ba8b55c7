//! Events on claims and volumes: what a person sees in `kubectl describe`.
//!
//! Events are told to one task through a bounded channel, so that no work ever waits for them; when the channel is full
//! or the API server refuses, an event is lost and a line is logged. A repetition raises the count of the event that is
//! there already.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::api::{explain, is_code};
use super::objects::{Claim, Volume};

/// How many events may wait for the API server.
const WAITING: usize = 1024;
/// How many events are remembered for counting their repetitions.
const REMEMBERED: usize = 256;

/// Why something happened, in the words that upstream uses and people search for.
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
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::ProvisioningSucceeded => "ProvisioningSucceeded",
            Self::ProvisioningFailed => "ProvisioningFailed",
            Self::ProvisioningCleanupFailed => "ProvisioningCleanupFailed",
            Self::VolumeFailedDelete => "VolumeFailedDelete",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Provisioning | Self::ProvisioningSucceeded => "Normal",
            Self::ProvisioningFailed | Self::ProvisioningCleanupFailed | Self::VolumeFailedDelete => "Warning",
        }
    }
}

/// Something that happened to an object.
#[derive(Debug)]
struct Note {
    about: ObjectReference,
    reason: Reason,
    message: String,
}

/// Where events are told. Clones tell the same task.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    notes: mpsc::Sender<Note>,
}

impl Recorder {
    /// The recorder, and the task that writes; it ends when every recorder is gone and all is written.
    pub(crate) fn new(client: kube::Client, component: String) -> (Self, impl Future<Output = ()> + Send) {
        let (notes, waiting) = mpsc::channel(WAITING);
        (Self { notes }, write(Writer::new(client, component), waiting))
    }

    pub(crate) fn claim(&self, claim: &Claim, reason: Reason, message: impl Into<String>) {
        self.tell(reference("PersistentVolumeClaim", &claim.metadata), reason, message.into());
    }

    pub(crate) fn volume(&self, volume: &Volume, reason: Reason, message: impl Into<String>) {
        self.tell(reference("PersistentVolume", &volume.metadata), reason, message.into());
    }

    fn tell(&self, about: ObjectReference, reason: Reason, message: String) {
        if let Err(error) = self.notes.try_send(Note { about, reason, message }) {
            debug!(%error, "an event is lost: too many wait for the API server");
        }
    }
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

async fn write(mut writer: Writer, mut waiting: mpsc::Receiver<Note>) {
    while let Some(note) = waiting.recv().await {
        let Err(error) = writer.note(&note).await else { continue };
        let about = format!("{}/{}", namespace(&note), note.about.name.as_deref().unwrap_or_default());
        // A claim that is attempted to the end although it and its namespace are gone.
        let unread = is_code(&error, 404);
        let (reason, error) = (note.reason.name(), explain(&error));
        if unread {
            debug!(about, reason, error, "an event is lost: nobody is left to read it");
        } else {
            warn!(about, reason, error, "an event is lost");
        }
    }
}

/// Namespace of the event: the object's, or `default` for one that has none.
fn namespace(note: &Note) -> &str {
    note.about.namespace.as_deref().unwrap_or("default")
}

/// What makes two notes the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sameness {
    uid: Option<String>,
    reason: Reason,
    message: String,
}

/// An event that was written.
#[derive(Debug)]
struct Written {
    name: String,
    count: i32,
}

struct Writer {
    client: kube::Client,
    component: String,
    written: HashMap<Sameness, Written>,
    /// Keys of `written`, oldest first.
    age: VecDeque<Sameness>,
}

impl Writer {
    fn new(client: kube::Client, component: String) -> Self {
        Self { client, component, written: HashMap::new(), age: VecDeque::new() }
    }

    async fn note(&mut self, note: &Note) -> Result<(), kube::Error> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace(note));
        let key = Sameness { uid: note.about.uid.clone(), reason: note.reason, message: note.message.clone() };
        let now = Timestamp::now();
        if let Some(written) = self.written.get_mut(&key) {
            let count = written.count.saturating_add(1);
            let patch = Patch::Merge(json!({"count": count, "lastTimestamp": Time(now)}));
            match api.patch(&written.name, &PatchParams::default(), &patch).await {
                Ok(_) => {
                    written.count = count;
                    return Ok(());
                }
                // Events live for an hour: begin a new one.
                Err(error) if is_code(&error, 404) => {}
                Err(error) => return Err(error),
            }
        }
        let event = event(note, &self.component, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.remember(key, Written { name, count: 1 });
        Ok(())
    }

    fn remember(&mut self, key: Sameness, written: Written) {
        if self.written.insert(key.clone(), written).is_some() {
            return;
        }
        self.age.push_back(key);
        if self.age.len() > REMEMBERED
            && let Some(oldest) = self.age.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}

/// Name of an event as client-go makes it, object and time, within the 253 characters that a name may have.
fn name(object: &str, now: Timestamp) -> String {
    let time = format!(".{:x}", now.as_nanosecond());
    let room = object.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| end + time.len() <= 253).last();
    // What is cut off may end in the middle of a label, which must end with a letter or digit.
    let object = object[..room.unwrap_or(0)].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{object}{time}")
}

fn event(note: &Note, component: &str, now: Timestamp) -> Event {
    let object = note.about.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(name(object, now)),
            namespace: Some(namespace(note).to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: note.about.clone(),
        reason: Some(note.reason.name().to_owned()),
        message: Some(note.message.clone()),
        type_: Some(note.reason.kind().to_owned()),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(reason: Reason, namespace: Option<&str>) -> Note {
        let about = ObjectReference {
            kind: Some("PersistentVolumeClaim".into()),
            name: Some("data".into()),
            namespace: namespace.map(str::to_owned),
            uid: Some("u".into()),
            ..ObjectReference::default()
        };
        Note { about, reason, message: "text".into() }
    }

    #[test]
    fn an_event_carries_upstreams_reason_and_type_and_our_text_as_it_is() {
        for (reason, name, kind) in [
            (Reason::Provisioning, "Provisioning", "Normal"),
            (Reason::ProvisioningSucceeded, "ProvisioningSucceeded", "Normal"),
            (Reason::ProvisioningFailed, "ProvisioningFailed", "Warning"),
            (Reason::ProvisioningCleanupFailed, "ProvisioningCleanupFailed", "Warning"),
            (Reason::VolumeFailedDelete, "VolumeFailedDelete", "Warning"),
        ] {
            let event = event(&note(reason, Some("shop")), "csi.berth.dev_host_id", Timestamp::UNIX_EPOCH);
            assert_eq!(event.reason.as_deref(), Some(name));
            assert_eq!(event.type_.as_deref(), Some(kind));
            assert_eq!(event.message.as_deref(), Some("text"));
            assert_eq!(event.metadata.namespace.as_deref(), Some("shop"));
            assert_eq!(event.source.unwrap().component.as_deref(), Some("csi.berth.dev_host_id"));
        }
    }

    #[test]
    fn the_name_of_an_event_fits_whatever_its_object_is_called() {
        let now = Timestamp::from_second(1_763_700_000).unwrap();
        assert_eq!(name("data", now), format!("data.{:x}", now.as_nanosecond()));
        for object in ["a".repeat(253), "a-".repeat(126), "a.".repeat(126)] {
            let made = name(&object, now);
            assert!(made.len() <= 253 && made.len() > 230, "{made}");
            assert!(made.starts_with('a') && !made.contains("..") && !made.contains("-."), "{made}");
        }
    }

    #[test]
    fn an_event_about_an_object_without_namespace_lives_in_default() {
        let event = event(&note(Reason::VolumeFailedDelete, None), "c", Timestamp::UNIX_EPOCH);
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    }
}
