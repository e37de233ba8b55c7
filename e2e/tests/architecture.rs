//! The architecture is written in the Cargo manifests; these tests read them. A crate that lists what its room must not
//! depend on (docs/design.md) fails here, and so does one that gets it through another crate.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use toml::{Table, Value};

/// A room and what it must not depend on.
struct Fence {
    package: &'static str,
    /// Whether it may depend on any crate of ours.
    ours: bool,
    forbidden: &'static [&'static str],
}

/// Our own crates.
const OURS: &[&str] = &[
    "csi-proto",
    "volume",
    "onc-rpc",
    "nfs-client",
    "nfs-testkit",
    "csi-runtime",
    "controller",
    "node-plugin",
    "labkit",
    "e2e",
];

/// What exists for tests alone: the rooms that may build on it. In every other room it is a dev-dependency.
const TEST_KIT: &str = "nfs-testkit";
const MAY_BUILD_ON_TEST_KIT: &[&str] = &["e2e"];

/// What a lab is made of: for the lab alone.
const LAB_KIT: &str = "labkit";

const FENCES: &[Fence] = &[
    Fence { package: "csi-proto", ours: false, forbidden: &[] },
    Fence { package: "onc-rpc", ours: false, forbidden: &["tokio", "tonic", "kube", "nix"] },
    Fence { package: "volume", ours: true, forbidden: &["tokio", "tonic", "kube", "nix", LAB_KIT] },
    Fence { package: "nfs-client", ours: true, forbidden: &["tonic", "kube", "nix", LAB_KIT] },
    Fence {
        package: TEST_KIT,
        ours: true,
        forbidden: &[
            "csi-proto",
            "volume",
            "csi-runtime",
            "controller",
            "node-plugin",
            LAB_KIT,
            "e2e",
            "tonic",
            "kube",
            "nix",
        ],
    },
    Fence { package: "csi-runtime", ours: true, forbidden: &["kube", "nix", LAB_KIT] },
    Fence { package: "controller", ours: true, forbidden: &["nix", LAB_KIT] },
    Fence { package: "node-plugin", ours: true, forbidden: &["kube", LAB_KIT] },
    Fence { package: LAB_KIT, ours: false, forbidden: &["tokio", "tonic", "kube", "nix"] },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder")
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every package that a manifest's dependency tables name, tests and targets included, under its real name.
fn listed(manifest: &Table) -> BTreeSet<String> {
    listed_in(manifest, &["dependencies", "dev-dependencies", "build-dependencies"])
}

/// Every package that these dependency tables of a manifest name, those of targets included, under its real name.
fn listed_in(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let mut tables: Vec<&Table> = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let entries = tables.iter().flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    entries
        .flatten()
        .map(|(name, entry)| entry.get("package").and_then(Value::as_str).unwrap_or(name).to_owned())
        .collect()
}

/// Whether a package is built on the test kit, and not only tested with it.
fn is_built_on_test_kit(manifest: &Table) -> bool {
    listed_in(manifest, &["dependencies", "build-dependencies"]).contains(TEST_KIT)
}

/// The one file that may lift the lint on unsafe code: a module of system calls.
const UNSAFE: &str = "node-plugin/src/sys.rs";

/// What a manifest lists although the fence forbids it. `kube` also means its parts (`kube-client`, …).
fn crossings(fence: &Fence, names: &BTreeSet<String>) -> Vec<String> {
    let part_of = |name: &str, whole: &str| whole == "kube" && name.starts_with("kube-");
    let of_ours = |name: &str| !fence.ours && name != fence.package && OURS.contains(&name);
    names
        .iter()
        .filter(|name| of_ours(name) || fence.forbidden.iter().any(|whole| name == whole || part_of(name, whole)))
        .map(|name| format!("{} must not depend on {name} (see the rooms in docs/design.md)", fence.package))
        .collect()
}

/// The lint tables of a member as far as they differ from what it must have.
fn lint_differences(workspace: &Table, member: &Table, package: &str) -> Vec<String> {
    let table = |manifest: &Table, path: &[&str]| -> Option<Table> {
        let mut value = Value::Table(manifest.clone());
        for key in path {
            value = value.get(key)?.clone();
        }
        value.as_table().cloned()
    };
    let Some(own) = table(member, &["lints"]) else { return vec![format!("{package} has no [lints]")] };
    if own.get("workspace") == Some(&Value::Boolean(true)) {
        return Vec::new();
    }
    if package != "node-plugin" {
        return vec![format!("{package} must take [lints] from the workspace")];
    }
    let mut expected = table(workspace, &["workspace", "lints"]).unwrap_or_default();
    if let Some(Value::Table(rust)) = expected.get_mut("rust") {
        rust.insert("unsafe_code".to_owned(), Value::String("deny".to_owned()));
    }
    if own == expected {
        return Vec::new();
    }
    vec![format!("{package} must repeat the workspace's lints with unsafe_code = \"deny\" and nothing else changed")]
}

/// Files below `folder` that lift the lint on unsafe code.
fn lifts_unsafe(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(lifts_unsafe(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            if text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn manifests_keep_to_the_fences() {
    let found: Vec<String> =
        FENCES.iter().flat_map(|fence| crossings(fence, &listed(&manifest(fence.package)))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_crosses_a_fence_through_another_crate() {
    for fence in FENCES {
        let words = [
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--all-features",
            "--package",
        ];
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let done = Command::new(cargo).args(words).arg(fence.package).current_dir(root()).output().expect("cargo tree");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout);
        let names: BTreeSet<String> =
            text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        assert!(names.contains(fence.package), "cargo tree printed something else:\n{text}");
        let found = crossings(fence, &names);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn what_is_shipped_is_not_built_on_the_test_kit() {
    let shipped = OURS.iter().filter(|package| !MAY_BUILD_ON_TEST_KIT.contains(package));
    let found: Vec<_> = shipped.filter(|package| is_built_on_test_kit(&manifest(package))).collect();
    assert!(found.is_empty(), "{TEST_KIT} must be a dev-dependency of {found:?}");
    for built_on in [
        "[dependencies]\nnfs-testkit.workspace = true",
        "[target.'cfg(unix)'.dependencies]\nkit = { package = 'nfs-testkit', path = 'nfs-testkit' }",
        "[build-dependencies]\nnfs-testkit = { path = 'nfs-testkit' }",
    ] {
        assert!(is_built_on_test_kit(&built_on.parse().expect("test manifest")), "not seen: {built_on}");
    }
    let tested: Table = "[dev-dependencies]\nnfs-testkit.workspace = true".parse().expect("test manifest");
    assert!(!is_built_on_test_kit(&tested));
}

#[test]
fn every_member_is_known_here() {
    let workspace = manifest("");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    let members: BTreeSet<&str> = members.iter().filter_map(Value::as_str).collect();
    assert_eq!(members, OURS.iter().copied().collect(), "a new crate needs a fence, or the decision that it has none");
}

#[test]
fn unsafe_code_is_forbidden_but_for_one_room() {
    let workspace = manifest("");
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for package in OURS {
        let found = lint_differences(&workspace, &manifest(package), package);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
    let lifted = lifts_unsafe(&root().join("node-plugin/src"));
    assert_eq!(lifted, [root().join(UNSAFE)], "{UNSAFE} lifts unsafe_code, and nothing else does");
}

#[test]
fn a_crossed_fence_is_seen() {
    let fence = &Fence { package: "volume", ours: false, forbidden: &["tokio", "kube"] };
    for crossed in [
        "[dependencies]\ntokio = '1'",
        "[dev-dependencies]\ntokio.workspace = true",
        "[build-dependencies.tokio]\nversion = '1'",
        "[target.'cfg(unix)'.dependencies]\ntokio = '1'",
        "[dependencies]\nrt = { package = 'tokio', version = '1' }",
        "[dependencies]\nkube-client = '5'",
        "[dependencies]\nnfs-client.workspace = true",
    ] {
        let found = crossings(fence, &listed(&crossed.parse().expect("test manifest")));
        assert_eq!(found.len(), 1, "not seen: {crossed}");
    }
    let kept: Table = "[dependencies]\nserde = '1'\n[features]\ntokio = []".parse().expect("test manifest");
    assert_eq!(crossings(fence, &listed(&kept)), Vec::<String>::new());
}

#[test]
fn a_changed_lint_table_is_seen() {
    let workspace: Table =
        "[workspace.lints.rust]\nunsafe_code = 'forbid'\nmissing_docs = 'warn'".parse().expect("toml");
    let differs = |package, text: &str| !lint_differences(&workspace, &text.parse().expect("toml"), package).is_empty();
    assert!(!differs("volume", "[lints]\nworkspace = true"));
    assert!(differs("volume", "[package]\nname = 'volume'"));
    assert!(differs("volume", "[lints.rust]\nunsafe_code = 'forbid'\nmissing_docs = 'warn'"));
    assert!(!differs("node-plugin", "[lints.rust]\nunsafe_code = 'deny'\nmissing_docs = 'warn'"));
    assert!(differs("node-plugin", "[lints.rust]\nunsafe_code = 'deny'"));
    assert!(differs("node-plugin", "[lints.rust]\nunsafe_code = 'allow'\nmissing_docs = 'warn'"));
}
