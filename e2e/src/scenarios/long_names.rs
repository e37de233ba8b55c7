//! Names as long as Kubernetes allows.

use labkit::base::LabError;
use serde_json::json;

use super::{Context, Scenario, events::never_told, share::share_root};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "long-names",
    about: "a claim with a name of 200 characters, which its directory bears too, is bound and mounted",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let name = "long-".repeat(40).trim_end_matches('-').to_owned() + "x";
    context.check(name.len() == 200, || format!("the name has {} characters", name.len()))?;
    let backend = &context.driver.backend;
    let parameters = json!({
        "server": backend.server, "share": backend.share, "subDir": "${pvc.metadata.name}-${pvc.metadata.namespace}",
    });
    let class = context.class("named", &parameters)?;
    context.claim_of(&name, &class)?;
    let volume = context.bound(&name)?;
    // A custom place: nothing went wrong on the way, which would have been repeated.
    never_told(context, &name, "ProvisioningFailed")?;
    let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap_or_default();
    context
        .check((1..=128).contains(&handle.len()), || format!("the volume's id has {} bytes: {handle}", handle.len()))?;
    let directory = format!("{name}-{}", context.namespace);
    let names = share_root(context)?;
    context.check(names.contains(&directory), || format!("the share holds {names:?}"))?;
    context.pod("user", &name, "", "echo here > /data/file && sleep 3600")?;
    context.pod_ready("user")?;
    let found = context.cluster().kubectl().exec_text(&context.namespace, "user", &["cat", "/data/file"])?;
    context.check(found.trim() == "here", || format!("the file holds {found:?}"))
}
