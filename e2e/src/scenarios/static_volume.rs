//! A directory that exists already, mounted by the static volume of the examples.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use labkit::base::LabError;
use serde_json::{Value, json};

use super::{Context, Scenario, demo::example, share::in_share};
use crate::cluster::{api::name_of, nfs::Backend};

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "static-volume",
    about: "the example of a static volume serves a directory that exists, and leaves it when it goes",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let Backend { server, share } = &context.driver.backend;
    let directory = format!("{}-archive", context.namespace);
    in_share(context, &format!("mkdir {directory} && echo before >{directory}/file"))?;
    let volume = directory.clone();
    let mut claim = String::new();
    for mut object in example(context, "static-volume.yaml")? {
        if object["kind"] == "PersistentVolume" {
            fill_in(&mut object, &volume, server, share, &directory)?;
            object["metadata"]["labels"] = context.labels();
        } else {
            object["spec"]["volumeName"] = json!(volume);
            name_of(&object).clone_into(&mut claim);
        }
        context.cluster().create(&object)?;
    }
    context.pod("reader", &claim, "", "cat /data/file && echo after >>/data/file && sleep 3600")?;
    context.pod_ready("reader")?;
    let words = ["cat", "/data/file"];
    let seen = context.cluster().kubectl().exec_text(&context.namespace, "reader", &words)?;
    context.check(seen == "before\nafter\n", || format!("the pod reads {seen:?}"))?;
    context.cluster().delete::<Pod>(&context.namespace, "reader")?;
    context.cluster().delete::<PersistentVolumeClaim>(&context.namespace, &claim)?;
    context.cluster().delete::<PersistentVolume>("", &volume)?;
    let left = in_share(context, &format!("cat {directory}/file && rm -r {directory}"))?;
    context.check(left == "before\nafter\n", || format!("after the volume was deleted its directory holds {left:?}"))
}

/// Puts server, share and directory where the example says that they go; it must say so still.
fn fill_in(volume: &mut Value, name: &str, server: &str, share: &str, directory: &str) -> Result<(), LabError> {
    let csi = &mut volume["spec"]["csi"];
    csi["volumeHandle"] = json!(name);
    for (key, value) in [("server", server), ("share", share), ("subDir", directory)] {
        if csi["volumeAttributes"].get(key).is_none() {
            return Err(LabError::Unmet(format!("the example of a static volume does not name {key}")));
        }
        csi["volumeAttributes"][key] = json!(value);
    }
    volume["metadata"]["name"] = json!(name);
    Ok(())
}
