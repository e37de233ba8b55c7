//! Writing events: a new one, or a higher count of one that is there.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::pace::Pace;
use super::waiting::Told;
use super::{Losses, Lost, Note, Sameness, namespace};
use crate::kubernetes::api::errors::{explain, is_code};
use crate::kubernetes::trouble::Trouble;

/// An event that was written.
#[derive(Debug)]
struct Written {
    name: String,
    count: i32,
    /// Repetitions that were not written, because there were too many.
    withheld: i32,
}

/// Writes the events of some of the objects, one after the other, so that they come in order.
pub(super) struct Writer {
    client: kube::Client,
    component: String,
    room: usize,
    written: HashMap<Sameness, Written>,
    /// Keys of `written`, oldest first.
    age: VecDeque<Sameness>,
    pace: Pace,
    losses: Losses,
    trouble: Trouble,
}

impl Writer {
    /// Remembers `room` events for counting their repetitions, and as many objects.
    pub(super) fn new(client: kube::Client, component: String, room: usize, losses: Losses) -> Self {
        Self {
            client,
            component,
            room,
            written: HashMap::new(),
            age: VecDeque::new(),
            pace: Pace::new(room),
            losses,
            trouble: Trouble::default(),
        }
    }

    /// Writes a note, if there are not too many about its object. What cannot be written is lost, and counted.
    pub(super) async fn write(&mut self, told: &Told) {
        let note = &told.note;
        let about = format!("{}/{}", namespace(note), note.about.name.as_deref().unwrap_or_default());
        if !self.pace.allows(note, Instant::now()) {
            if let Some(written) = self.written.get_mut(&note.sameness()) {
                written.withheld = written.withheld.saturating_add(told.times);
                return;
            }
            debug!(about, reason = note.reason.name(), "an event is lost: there are too many about its object");
            return self.losses.count(Lost::TooMany, told);
        }
        let Err(error) = self.try_write(told).await else {
            self.trouble.end(Instant::now());
            return;
        };
        self.losses.count(Lost::Refused, told);
        let (reason, error, unread) = (note.reason.name(), explain(&error), is_code(&error, 404));
        if unread {
            // A claim that is attempted to the end although it and its namespace are gone.
            debug!(about, reason, error, "an event is lost: nobody is left to read it");
        } else if let Some(lasted) = self.trouble.note(Instant::now()) {
            warn!(
                about,
                reason,
                error,
                seconds = lasted.as_secs(),
                "events cannot be written; they are counted as lost"
            );
        }
    }

    async fn try_write(&mut self, told: &Told) -> Result<(), kube::Error> {
        let note = &told.note;
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace(note));
        let key = note.sameness();
        let now = Timestamp::now();
        if let Some(written) = self.written.get_mut(&key) {
            let count = written.count.saturating_add(told.times).saturating_add(written.withheld);
            let patch = Patch::Merge(json!({"count": count, "lastTimestamp": Time(now)}));
            match api.patch(&written.name, &PatchParams::default(), &patch).await {
                Ok(_) => {
                    (written.count, written.withheld) = (count, 0);
                    return Ok(());
                }
                // Events live for an hour: begin a new one.
                Err(error) if is_code(&error, 404) => {}
                Err(error) => return Err(error),
            }
        }
        let event = event(told, &self.component, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.remember(key, Written { name, count: told.times, withheld: 0 });
        Ok(())
    }

    fn remember(&mut self, key: Sameness, written: Written) {
        if self.written.insert(key.clone(), written).is_some() {
            return;
        }
        self.age.push_back(key);
        if self.age.len() > self.room
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

fn event(told: &Told, component: &str, now: Timestamp) -> Event {
    let note: &Note = &told.note;
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
        count: Some(told.times),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::tests::note;
    use super::*;

    #[test]
    fn an_event_carries_upstreams_reason_and_type_and_our_text_as_it_is() {
        for (reason, name, kind) in [
            (Reason::Provisioning, "Provisioning", "Normal"),
            (Reason::ProvisioningSucceeded, "ProvisioningSucceeded", "Normal"),
            (Reason::ProvisioningFailed, "ProvisioningFailed", "Warning"),
            (Reason::ProvisioningCleanupFailed, "ProvisioningCleanupFailed", "Warning"),
            (Reason::VolumeFailedDelete, "VolumeFailedDelete", "Warning"),
        ] {
            let told = Told { note: note("u", reason, "text"), times: 3 };
            let event = event(&told, "csi.berth.dev_host_id", Timestamp::UNIX_EPOCH);
            assert_eq!(event.reason.as_deref(), Some(name));
            assert_eq!(event.type_.as_deref(), Some(kind));
            assert_eq!(event.message.as_deref(), Some("text"));
            assert_eq!(event.metadata.namespace.as_deref(), Some("shop"));
            assert_eq!(event.source.unwrap().component.as_deref(), Some("csi.berth.dev_host_id"));
            assert_eq!(event.count, Some(3));
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
        let mut note = note("u", Reason::VolumeFailedDelete, "text");
        note.about.namespace = None;
        let event = event(&Told { note, times: 1 }, "c", Timestamp::UNIX_EPOCH);
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    }
}
