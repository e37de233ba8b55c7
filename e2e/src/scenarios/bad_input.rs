//! A mistake in a class is told in an event on the claim: which server, which path, what is wrong, what to do.

use labkit::base::{LabError, chain};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    events::{told, words},
};
use crate::cluster::{network, nfs};

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
    if let Some(lab) = context.lab {
        lab.machine(nfs::MACHINE)?.sh(&fill(nfs::SMALL_SHARE))?;
    }
    for mistake in &mistakes {
        make(context, mistake)?;
    }
    for mistake in &mistakes {
        if let Err(error) = told(context, mistake.name, "ProvisioningFailed", &mistake.told) {
            misses.push(format!("{}: {}", mistake.name, chain(&error)));
        }
    }
    if let Some(lab) = context.lab {
        lab.machine(nfs::MACHINE)?.sh(&format!("rm {}/filler-*", nfs::SMALL_SHARE))?;
        // With room again, the claim that waits is served: nothing has to be repeated by hand.
        context.bound("full-disk")?;
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
            name: "too-long",
            parameters: with("subDir", &"${pvc.metadata.namespace}-".repeat(12)),
            told: words(&["subDir", "255"]),
        },
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
            name: "full-disk",
            parameters: with("share", nfs::SMALL_SHARE),
            told: words(&[&server, nfs::SMALL_SHARE, "no space left", "free space on the server"]),
        });
        all.push(Mistake {
            name: "squashed-root",
            parameters: with("share", nfs::SQUASHED_SHARE),
            told: words(&[&server, nfs::SQUASHED_SHARE, "no_root_squash"]),
        });
        // The kernel's server hides an export from those whom it is not for.
        all.push(Mistake {
            name: "not-exported-here",
            parameters: with("share", nfs::RESTRICTED_SHARE),
            told: words(&[
                &server,
                nfs::RESTRICTED_SHARE,
                "does not exist",
                "export it, or correct \"share\" in the StorageClass",
            ]),
        });
    }
    all
}

/// A script that takes every block of a file system; more than once, for what is written late frees what was reserved for it.
fn fill(share: &str) -> String {
    format!("for n in 1 2 3; do ! dd if=/dev/zero of={share}/filler-$n bs=1k 2>/dev/null; sync; done")
}

fn make(context: &Context<'_>, mistake: &Mistake) -> Result<(), LabError> {
    let class = context.class(mistake.name, &mistake.parameters)?;
    context.claim_of(mistake.name, &class)
}
