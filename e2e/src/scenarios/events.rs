//! What a person reads in `kubectl describe`.

use k8s_openapi::api::core::v1::Event;
use labkit::base::LabError;
use serde_json::Value;

use super::{Context, context::PATIENCE};

/// Waits for an event about the object `name` that holds all `words`; fails with the messages that came instead.
pub(super) fn told(context: &Context<'_>, name: &str, reason: &str, words: &[String]) -> Result<(), LabError> {
    told_in(context, &context.namespace, name, reason, words)
}

/// The same for an event in another namespace than the scenario's.
pub(super) fn told_in(
    context: &Context<'_>,
    namespace: &str,
    name: &str,
    reason: &str,
    words: &[String],
) -> Result<(), LabError> {
    let what = format!("a telling event on {name}");
    context.cluster().until::<Event, _>(&what, namespace, "", PATIENCE, |events| {
        let about = |event: &&Value| event["involvedObject"]["name"] == name && event["reason"] == reason;
        let messages: Vec<&str> = events.iter().filter(about).filter_map(|event| event["message"].as_str()).collect();
        let complete = |message: &&&str| words.iter().all(|word| message.contains(word.as_str()));
        match messages.iter().find(complete) {
            Some(_) => Ok(()),
            None => Err(format!("{messages:?} lacks one of {words:?}")),
        }
    })
}

/// Fails if there is an event about the object `name` for this reason.
pub(super) fn never_told(context: &Context<'_>, name: &str, reason: &str) -> Result<(), LabError> {
    let events = context.cluster().list::<Event>(&context.namespace, "")?;
    let found = events.iter().find(|event| event["involvedObject"]["name"] == name && event["reason"] == reason);
    context.check(found.is_none(), || format!("an event on {name} says {}", found.unwrap_or(&Value::Null)["message"]))
}

/// Words that an event must hold.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
