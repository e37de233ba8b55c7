//! What pods of several users leave on a share whose server takes the controller for nobody.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use labkit::base::LabError;
use serde_json::json;

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
};
use crate::cluster::{api::name_of, nfs};

/// Volumes on the share.
const VOLUMES: usize = 20;
/// Users, each with a pod and private directories on a volume of its own.
const USERS: [u32; 4] = [1001, 1002, 1003, 1004];
/// The trash is empty so long after the last volume is gone.
const EMPTIED: Duration = Duration::from_mins(1);

/// What each of them makes: a private directory with a directory in it, and a tree that its owner has closed to himself.
const SCRIPT: &str = "umask 077 && mkdir -p /data/db/base /data/cache/module && for n in 1 2 3 4 5 6 7 8; do \
                      echo here > /data/db/base/$n && echo here > /data/cache/module/$n || exit 1; done && \
                      chmod 555 /data/cache/module /data/cache && sleep 3600";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "private",
    about: "volumes with private directories of several users are removed on a share where root is nobody",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let (cluster, server) = (context.cluster(), context.lab()?.machine(nfs::MACHINE)?);
    let share = format!("{}/{}", nfs::SQUASHED_SHARE, context.namespace);
    server.sh(&format!("install -d -m 777 {share}"))?;
    let parameters = json!({ "server": context.driver.backend.server, "share": share });
    let class = context.class("private", &parameters)?;
    let names: Vec<String> = (0..VOLUMES).map(|number| format!("claim-{number:02}")).collect();
    let claims: Vec<_> = names.iter().map(|name| claim(&context.namespace, name, &class, "1Gi")).collect();
    cluster.create_all(&claims)?;
    context.all_bound(VOLUMES)?;

    let pods: Vec<String> = USERS.iter().map(|user| format!("user-{user}")).collect();
    for ((pod, user), claim) in pods.iter().zip(USERS).zip(&names) {
        cluster.create(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": pod, "namespace": context.namespace },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": { "runAsUser": user, "runAsGroup": user },
                "containers": [{
                    "name": "shell", "image": context.driver.shell_image, "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", SCRIPT],
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    "readinessProbe": {
                        "exec": { "command": ["sh", "-c", "test -d /data/cache && test ! -w /data/cache"] },
                        // A probe that times out is started again before it has ended, and so is the next: emulated nodes
                        // that are busy do nothing else then.
                        "periodSeconds": 3, "timeoutSeconds": 10,
                    },
                }],
                "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }],
            },
        }))?;
    }
    for pod in &pods {
        context.pod_ready(pod)?;
    }
    let made =
        server.sh(&format!("find {share} -mindepth 2 -type d -uid +1000 -uid -1005 -printf '%U %m %f\\n' | sort"))?;
    let of_each = |user: &u32| format!("{user} 555 cache\n{user} 555 module\n{user} 700 base\n{user} 700 db\n");
    let wanted: String = USERS.iter().map(of_each).collect();
    context.check(made == wanted, || format!("the pods were to make\n{wanted}and on the server there is\n{made}"))?;

    cluster.begin_delete_all::<Pod>(&context.namespace, "")?;
    cluster.until::<Pod, _>("the end of the pods", &context.namespace, "", PATIENCE, |pods| {
        if pods.is_empty() { Ok(()) } else { Err(format!("{} left", pods.len())) }
    })?;
    let claims = cluster.list::<PersistentVolumeClaim>(&context.namespace, "")?;
    let volumes: Vec<&str> = claims.iter().filter_map(|claim| claim["spec"]["volumeName"].as_str()).collect();
    context.check(volumes.len() == VOLUMES, || format!("volumes of {:?}", claims.iter().map(name_of)))?;
    cluster.begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    cluster.gone::<PersistentVolume>("", &volumes)?;
    let gone = Instant::now();
    // Of the volumes nothing is left but the driver's own folders.
    let empty = format!(
        "for n in $(seq {}); do test -z \"$(ls -A {share}/.berth/trash)\" && exit 0; sleep 0.2; done; \
         find {share}/.berth/trash -printf '%U %m %p\\n' | head -n 20; exit 1",
        EMPTIED.as_secs() * 5
    );
    server.sh_within(&empty, 2 * EMPTIED)?;
    let took = gone.elapsed().as_secs_f64();
    context.timeline.step(&format!("private: trash empty {took:.1} s after the last of {VOLUMES} volumes"));
    let left = server.sh(&format!("ls -A {share}"))?;
    context.check(left == ".berth\n", || format!("left on the share: {left:?}"))
}
