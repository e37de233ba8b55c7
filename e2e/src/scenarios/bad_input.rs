//! A mistake in a class is told in an event on the claim: which server, which path, what is wrong, what to do.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, Scenario, context::claim};
use crate::cluster::{LabError, chain, eventually, network, nfs};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "bad-input",
    about: "each mistake in a class becomes an event that names server, path, cause and remedy",
    needs_lab: false,
    run,
};

/// One mistake, and words that its event must hold.
struct Mistake {
    name: &'static str,
    parameters: Value,
    told: Vec<String>,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let mistakes = mistakes(context);
    let mut misses = Vec::new();
    for mistake in &mistakes {
        make(context, mistake)?;
    }
    for mistake in &mistakes {
        if let Err(error) = told(context, mistake) {
            misses.push(format!("{}: {}", mistake.name, chain(&error)));
        }
    }
    for mistake in &mistakes {
        context.kubectl().run(&["delete", "storageclass", &class(context, mistake)])?;
    }
    context.check(misses.is_empty(), || misses.join("\n"))
}

fn mistakes(context: &Context<'_>) -> Vec<Mistake> {
    let (server, share) = (context.driver.backend.server.clone(), context.driver.backend.share.clone());
    let with = |key: &str, value: &str| {
        let mut parameters = json!({ "server": server, "share": share });
        parameters[key] = json!(value);
        parameters
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut all = vec![
        Mistake {
            name: "unknown-parameter",
            parameters: with("sharee", "/x"),
            told: words(&["sharee", "did you mean \"share\""]),
        },
        Mistake {
            name: "bad-mode",
            parameters: with("mountPermissions", "rwx"),
            told: words(&["mountPermissions", "rwx"]),
        },
        Mistake { name: "escaping-subdir", parameters: with("subDir", "../other"), told: words(&["subDir", ".."]) },
        Mistake {
            name: "missing-share",
            parameters: with("share", "/no/such/share"),
            told: words(&[&server, "/no/such/share", "does not exist", "correct \"share\" in the StorageClass"]),
        },
        Mistake {
            name: "refusing-server",
            parameters: with("server", &format!("{server}:9")),
            told: words(&[&format!("{server}:9"), &share, "refused", "check that the server runs"]),
        },
    ];
    if context.lab.is_some() {
        let api = format!("{}:6443", network::HOST);
        all.push(Mistake {
            name: "not-nfs",
            parameters: with("server", &api),
            told: words(&[&api, &share, "is not an NFSv4.1 server", "check \"server\" in the StorageClass"]),
        });
        all.push(Mistake {
            name: "squashed-root",
            parameters: with("share", nfs::SQUASHED_SHARE),
            told: words(&[&server, nfs::SQUASHED_SHARE, "no_root_squash"]),
        });
    }
    all
}

fn class(context: &Context<'_>, mistake: &Mistake) -> String {
    format!("{}-{}", context.namespace, mistake.name)
}

fn make(context: &Context<'_>, mistake: &Mistake) -> Result<(), LabError> {
    let name = class(context, mistake);
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": context.driver.name, "parameters": mistake.parameters,
    });
    context.kubectl().create(object.to_string())?;
    context.kubectl().create(claim(&context.namespace, mistake.name, &name, "1Gi").to_string()).map(drop)
}

/// Waits for the event; fails with the message that came instead.
fn told(context: &Context<'_>, mistake: &Mistake) -> Result<(), LabError> {
    eventually("an event that tells the mistake", Duration::from_mins(1), Duration::from_secs(1), || {
        let events = context.kubectl().list("events", &context.namespace, "").map_err(|error| error.to_string())?;
        let of_claim = |event: &&Value| {
            let about = if event["involvedObject"].is_null() { &event["regarding"] } else { &event["involvedObject"] };
            about["name"] == mistake.name && event["reason"] == "ProvisioningFailed"
        };
        let messages: Vec<&str> =
            events.iter().filter(of_claim).filter_map(|event| event["message"].as_str()).collect();
        let complete = |message: &&&str| mistake.told.iter().all(|word| message.contains(word.as_str()));
        match messages.iter().find(complete) {
            Some(_) => Ok(()),
            None => Err(format!("{messages:?} lacks one of {:?}", mistake.told)),
        }
    })
}
