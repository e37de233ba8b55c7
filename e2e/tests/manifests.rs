//! What anyone who installs Berth may rely on, read from the files that are installed. That `manifests/install.yaml` is what
//! the chart gives is `lab manifests --check`'s to say; here is what it must hold.

use std::{collections::BTreeSet, fs, path::Path};

use clap::ValueEnum;
use volume::names;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a file, without comments that stand alone.
fn documents(path: &str) -> Vec<String> {
    let without_comments =
        |document: &str| document.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#')).collect();
    read(path).split("\n---\n").map(without_comments).collect()
}

/// The one document of a kind with a name.
fn object(path: &str, kind: &str, name: &str) -> String {
    let mut found = documents(path);
    found.retain(|document| {
        document.lines().any(|line| line == format!("kind: {kind}"))
            && document.lines().any(|line| line == format!("  name: {name}"))
    });
    assert_eq!(found.len(), 1, "{kind} {name} in {path}");
    found.remove(0)
}

fn deployment() -> String {
    object("manifests/install.yaml", "Deployment", "berth-controller")
}

fn daemon_set() -> String {
    object("manifests/install.yaml", "DaemonSet", "berth-node")
}

/// The values of a key that stands alone on its line, in order.
fn values<'a>(document: &'a str, key: &str) -> Vec<&'a str> {
    let prefix = format!("{key}: ");
    let value = |line: &'a str| line.trim_start().trim_start_matches("- ").strip_prefix(prefix.as_str());
    document.lines().filter_map(value).map(|value| value.trim_matches('"')).collect()
}

#[test]
fn every_verb_says_what_it_is_for() {
    let rules = read("charts/berth/templates/controller-rbac.yaml");
    let mut verbs = 0;
    let mut under_verbs = None;
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        match under_verbs {
            Some(above) if indent > above => {
                let (verb, reason) = line.split_once(" # ").unwrap_or_else(|| panic!("no reason beside {line:?}"));
                assert!(verb.trim_start().starts_with("- ") && reason.len() > 5, "{line:?}");
                verbs += 1;
            }
            _ => under_verbs = (line.trim() == "verbs:").then_some(indent),
        }
        assert!(!line.contains("verbs: ["), "one verb per line: {line:?}");
    }
    assert!(verbs >= 10, "found only {verbs} verbs");
}

#[test]
fn no_rule_covers_what_it_does_not_name() {
    for document in documents("manifests/install.yaml") {
        let rules = document.split_once("\nrules:\n").map_or("", |(_, rules)| rules);
        for forbidden in ["*", "secrets", "pods", "nodes", "escalate", "impersonate", "bind\n"] {
            assert!(!rules.contains(forbidden), "a rule names {forbidden:?}:\n{rules}");
        }
    }
}

#[test]
fn only_the_controller_is_bound_to_a_role() {
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        let bindings: Vec<_> = documents("manifests/install.yaml")
            .into_iter()
            .filter(|document| document.lines().any(|line| line == format!("kind: {kind}")))
            .collect();
        assert_eq!(bindings.len(), 1, "{kind}");
        assert!(bindings[0].contains("  - kind: ServiceAccount\n    name: berth-controller\n"), "{}", bindings[0]);
    }
    assert!(daemon_set().contains("\n      automountServiceAccountToken: false\n"));
}

#[test]
fn every_container_is_confined_and_watched() {
    let mut containers = 0;
    for path in ["manifests/install.yaml", "manifests/examples/deployment.yaml"] {
        for document in documents(path) {
            let Some((_, containers_on)) = document.split_once("\n      containers:\n") else { continue };
            assert_eq!(containers_on.matches("\n          image: ").count(), 1, "one container a pod, no sidecars");
            containers += 1;
            for wanted in ["securityContext:", "readOnlyRootFilesystem: true", "resources:", "readinessProbe:"] {
                assert!(containers_on.contains(wanted), "{path}: a container without {wanted}");
            }
            assert!(document.contains("\n          type: RuntimeDefault\n"), "{path}: a pod without a seccomp profile");
        }
    }
    assert_eq!(containers, 3);
}

#[test]
fn the_controller_has_no_privilege() {
    let pod = deployment();
    for wanted in [
        "runAsNonRoot: true",
        "runAsUser: 65532",
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
        "livenessProbe:",
        "replicas: 2",
    ] {
        assert!(pod.contains(wanted), "{wanted}");
    }
    for forbidden in ["hostNetwork", "hostPath", "hostPID", "hostIPC", "privileged:", "mountPropagation", "add:"] {
        assert!(!pod.contains(forbidden), "{forbidden}");
    }
    // The one sysctl is on Kubernetes' list of safe ones, which no kubelet has to be told to allow.
    assert_eq!(pod.matches("- name: net.").count(), 1);
    assert!(pod.contains("- name: net.ipv4.ip_unprivileged_port_start"));
}

#[test]
fn the_node_plugin_sees_three_directories_and_a_pool_of_its_own() {
    let pod = daemon_set();
    let driver = names::DRIVER_NAME;
    assert_eq!(
        values(&pod, "path").into_iter().filter(|path| path.contains("kubelet")).collect::<Vec<_>>(),
        [
            "/var/lib/kubelet/pods".to_owned(),
            format!("/var/lib/kubelet/{}/{driver}", names::kubelet::PLUGINS),
            format!("/var/lib/kubelet/{}", names::kubelet::REGISTRY),
        ]
    );
    assert_eq!(pod.matches("hostPath:").count(), 3);
    // The pool is in a volume of its own, from which nothing propagates to the node.
    assert_eq!(values(&pod, "mountPath")[3..], ["/run/berth/pool"], "no other directory but the node's");
    assert_eq!(values(&pod, "mountPropagation"), ["Bidirectional", "Bidirectional", "None"]);
    assert!(pod.contains("- --pool-dir=/run/berth/pool\n") && pod.contains("- name: pool\n          emptyDir: {}"));
    assert_eq!(values(&pod, "hostNetwork"), ["true"], "an NFS mount lives in the network that made it");
    for forbidden in ["hostPID", "hostIPC"] {
        assert!(!pod.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn the_driver_object_says_what_the_plugin_does() {
    let driver = object("manifests/install.yaml", "CSIDriver", names::DRIVER_NAME);
    // Without information about the pod the plugin could not tell which volumes pods define by themselves, and both cannot be told apart later.
    for wanted in [
        "attachRequired: false",
        "podInfoOnMount: true",
        "fsGroupPolicy: File",
        "volumeLifecycleModes: [\"Persistent\",\"Ephemeral\"]",
    ] {
        assert!(driver.contains(wanted), "{wanted}");
    }
    assert!(!driver.contains("seLinuxMount"), "volumes of a share have one superblock");
    assert!(!daemon_set().contains("--inline-volumes"), "and it admits none");
    assert!(!daemon_set().contains("--give-groups"), "groups are kubelet's");
}

#[test]
fn names_agree_with_the_programs() {
    let endpoint =
        format!("--endpoint=unix:///var/lib/kubelet/plugins/{}/{}", names::DRIVER_NAME, names::kubelet::CSI_SOCKET);
    assert!(daemon_set().contains(&endpoint));
    for pod in [deployment(), daemon_set()] {
        assert!(pod.contains(&format!("--driver-name={}\n", names::DRIVER_NAME)));
    }
    assert!(read("charts/berth/values.yaml").contains(&format!("\n  name: {}\n", names::DRIVER_NAME)));
    assert!(object("manifests/install.yaml", "Role", "berth-controller").contains("resourceNames: [csi-berth-dev]"));
}

#[test]
fn the_chart_offers_the_parameters_that_the_driver_knows() {
    let schema: serde_json::Value =
        serde_json::from_str(&read("charts/berth/values.schema.json")).expect("the schema is JSON");
    let class = &schema["properties"]["storageClass"]["properties"];
    let keys =
        |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let own = ["server", "share"].map(str::to_owned);
    assert!(own.iter().all(|key| keys(class).contains(key)));
    let offered: BTreeSet<String> = keys(&class["parameters"]["properties"]).into_iter().chain(own).collect();
    assert_eq!(offered, names::parameter::ALL.map(str::to_owned).into());
}

#[test]
fn the_schema_refuses_unknown_values_everywhere() {
    fn walk(at: &str, value: &serde_json::Value) {
        let Some(object) = value.as_object() else { return };
        if object.contains_key("properties") {
            assert_eq!(object.get("additionalProperties"), Some(&false.into()), "{at} accepts unknown values");
        }
        object.iter().for_each(|(key, value)| walk(&format!("{at}/{key}"), value));
    }
    walk("", &serde_json::from_str(&read("charts/berth/values.schema.json")).expect("the schema is JSON"));
}

#[test]
fn the_examples_fit_each_other() {
    let class = object("manifests/examples/storageclass.yaml", "StorageClass", "efs-sc");
    assert_eq!(values(&class, "provisioner"), [names::DRIVER_NAME]);
    let claim = object("manifests/examples/pvc.yaml", "PersistentVolumeClaim", "images");
    assert_eq!(values(&claim, "storageClassName"), ["efs-sc"]);
    assert!(claim.contains("accessModes: [ReadWriteMany]"));
    let deployment = object("manifests/examples/deployment.yaml", "Deployment", "image-server");
    assert_eq!(values(&deployment, "claimName"), ["images"]);
    assert_eq!(values(&deployment, "replicas"), ["3"]);
    object("manifests/examples/deployment.yaml", "Service", "image-server");
}

#[test]
fn versions_are_said_once() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("the workspace's manifest");
    let version = manifest["workspace"]["package"]["version"].as_str().expect("a version").to_owned();
    let chart = read("charts/berth/Chart.yaml");
    assert_eq!(
        (values(&chart, "version"), values(&chart, "appVersion")),
        (vec![version.as_str()], vec![version.as_str()])
    );
    let oldest = labkit::parts::Kubernetes::value_variants().iter().map(|release| release.minor()).min();
    let oldest = oldest.expect("a release");
    assert_eq!(values(&chart, "kubeVersion"), [format!(">={oldest}.0-0")], "what `make test-oldest` runs on");
    assert!(read("Makefile").contains(&format!("--kubernetes {oldest} ")), "make test-oldest");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().expect("the toolchain");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    let minor = channel.strip_suffix(".0").unwrap_or(channel);
    assert!(
        read("Dockerfile").contains(&format!("FROM rust:{minor}-")),
        "the Dockerfile builds with another toolchain"
    );
}
