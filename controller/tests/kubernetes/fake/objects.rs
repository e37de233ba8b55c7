//! The objects of the fake server and their history.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::text;

/// Why a request is refused: the HTTP status and the reason of a Kubernetes status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

pub(super) const NOT_FOUND: Refusal = Refusal(404, "NotFound");
pub(super) const EXISTS: Refusal = Refusal(409, "AlreadyExists");
pub(super) const CONFLICT: Refusal = Refusal(409, "Conflict");
pub(super) const INVALID: Refusal = Refusal(422, "Invalid");

/// One object's place: resource, namespace (empty for none), name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change, as watches tell it.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) plural: String,
    pub(super) kind: &'static str,
    pub(super) object: Value,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    version: u64,
    all: BTreeMap<Place, Value>,
    history: Vec<Change>,
    /// Changes up to this version are forgotten.
    compacted: u64,
}

impl Objects {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn compact(&mut self) {
        // As with etcd, the version moves on: a watch from the last one that anybody knows is too old.
        self.version += 1;
        self.compacted = self.version;
        self.history.clear();
    }

    /// Changes of `plural` after `version`; nothing when they are forgotten.
    pub(super) fn since(&self, plural: &str, version: u64) -> Option<Vec<Change>> {
        (version >= self.compacted)
            .then(|| self.history.iter().filter(|c| c.plural == plural && c.version > version).cloned().collect())
    }

    pub(super) fn of(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let wanted = |place: &Place| place.plural == plural && (namespace.is_empty() || place.namespace == namespace);
        self.all.iter().filter(|(place, _)| wanted(place)).map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn get(&self, place: &Place) -> Result<&Value, Refusal> {
        self.all.get(place).ok_or(NOT_FOUND)
    }

    pub(super) fn create(&mut self, place: &Place, mut object: Value) -> Result<Value, Refusal> {
        if self.all.contains_key(place) {
            return Err(EXISTS);
        }
        let uid = format!("00000000-0000-4000-8000-{:012}", self.version + 1);
        let metadata = object["metadata"].as_object_mut().ok_or(INVALID)?;
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), json!("2026-11-21T00:00:00Z"));
        if !place.namespace.is_empty() {
            metadata.insert("namespace".into(), json!(place.namespace));
        }
        if place.plural == "persistentvolumes" {
            // As the admission plugin StorageObjectInUseProtection does.
            push(metadata, "finalizers", "kubernetes.io/pv-protection");
        }
        Ok(self.put(place, object, "ADDED"))
    }

    /// Replaces an object; its `resourceVersion`, when given, must be the present one.
    pub(super) fn replace(&mut self, place: &Place, object: Value) -> Result<Value, Refusal> {
        let present = self.get(place)?.clone();
        let given = text(&object, "/metadata/resourceVersion");
        if !given.is_empty() && given != text(&present, "/metadata/resourceVersion") {
            return Err(CONFLICT);
        }
        self.settle(place, &present, object)
    }

    /// Applies `patch` to the object as it is.
    pub(super) fn patch(&mut self, place: &Place, patch: &Value, strategic: bool) -> Result<Value, Refusal> {
        let present = self.get(place)?.clone();
        let mut object = present.clone();
        let mut patch = patch.clone();
        if strategic {
            merge_finalizers(&mut object, &mut patch);
        }
        merge(&mut object, &patch);
        self.replace(place, object)
    }

    pub(super) fn delete(&mut self, place: &Place, uid: &str) -> Result<Value, Refusal> {
        let mut object = self.get(place)?.clone();
        if !uid.is_empty() && uid != text(&object, "/metadata/uid") {
            return Err(CONFLICT);
        }
        if finalizers(&object).is_empty() {
            return Ok(self.drop(place));
        }
        if text(&object, "/metadata/deletionTimestamp").is_empty() {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
            return Ok(self.put(place, object, "MODIFIED"));
        }
        Ok(object)
    }

    /// Checks and keeps the new state of an object that exists; the last finalizer of a deleted object removes it.
    fn settle(&mut self, place: &Place, present: &Value, object: Value) -> Result<Value, Refusal> {
        let deleting = !text(present, "/metadata/deletionTimestamp").is_empty();
        let added = finalizers(&object).iter().any(|one| !finalizers(present).contains(one));
        if text(&object, "/metadata/uid") != text(present, "/metadata/uid") || (deleting && added) {
            return Err(INVALID);
        }
        if object == *present {
            return Ok(object);
        }
        if deleting && finalizers(&object).is_empty() {
            self.all.insert(place.clone(), object);
            return Ok(self.drop(place));
        }
        Ok(self.put(place, object, "MODIFIED"))
    }

    fn put(&mut self, place: &Place, mut object: Value, kind: &'static str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.all.insert(place.clone(), object.clone());
        self.note(place, kind, &object);
        object
    }

    fn drop(&mut self, place: &Place) -> Value {
        self.version += 1;
        let mut object = self.all.remove(place).unwrap_or_default();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note(place, "DELETED", &object);
        object
    }

    fn note(&mut self, place: &Place, kind: &'static str, object: &Value) {
        let plural = place.plural.clone();
        self.history.push(Change { version: self.version, plural, kind, object: object.clone() });
    }
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let all = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    all.map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

pub(super) fn push(map: &mut Map<String, Value>, key: &str, item: &str) {
    let list = map.entry(key).or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut()
        && !list.contains(&json!(item))
    {
        list.push(json!(item));
    }
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// The part of a strategic merge that the provisioner uses: `finalizers` is a set.
fn merge_finalizers(object: &mut Value, patch: &mut Value) {
    let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let items =
        |value: Option<Value>| -> Vec<Value> { value.and_then(|value| value.as_array().cloned()).unwrap_or_default() };
    let added = items(metadata.remove("finalizers"));
    let removed = items(metadata.remove("$deleteFromPrimitiveList/finalizers"));
    let own = object["metadata"].as_object_mut().unwrap();
    for item in added {
        push(own, "finalizers", item.as_str().unwrap());
    }
    if let Some(list) = own.get_mut("finalizers").and_then(Value::as_array_mut) {
        list.retain(|item| !removed.contains(item));
    }
}
