//! Whether the ladder is whole: every test program of the workspace is built and has tests, and every test belongs to
//! exactly one rung. What a filter loses, a feature switches off or a typo in a manifest leaves out is told here.

use std::collections::{BTreeMap, BTreeSet};

use labkit::base::{LabError, Tool, cargo, checkout};
use serde_json::Value;

use super::nextest::Nextest;
use crate::report::Outcome;

/// A test by its program (`package::target`) and name.
type Test = (String, String);

/// Holds the workspace's manifests and nextest's lists against each other.
pub(super) fn run(nextest: &Nextest, rungs: &[String]) -> Result<Outcome, LabError> {
    let words = ["metadata", "--no-deps", "--locked", "--format-version=1"];
    let text = Tool::new(cargo()).args(words).dir(checkout()).output()?;
    let manifests: Value = serde_json::from_str(&text).map_err(LabError::reply("cargo metadata"))?;
    let lists: Vec<(String, Value)> =
        rungs.iter().map(|rung| Ok((rung.clone(), nextest.list(rung)?))).collect::<Result<_, LabError>>()?;
    let faults = faults(&manifests, &lists);
    Ok(faults.into_iter().map(Outcome::failure).fold(Outcome::default(), |mut sum, fault| {
        sum.add(fault);
        sum
    }))
}

/// Everything that is wrong, one sentence each.
fn faults(manifests: &Value, lists: &[(String, Value)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut homes: BTreeMap<Test, Vec<&str>> = BTreeMap::new();
    let mut programs: BTreeMap<String, usize> = BTreeMap::new();
    let mut packages: BTreeSet<(String, &str)> = BTreeSet::new();
    for (rung, list) in lists {
        for (program, suite) in list["rust-suites"].as_object().into_iter().flatten() {
            let cases = suite["testcases"].as_object();
            let most = programs.entry(program.clone()).or_default();
            *most = (*most).max(cases.map_or(0, serde_json::Map::len));
            for (name, case) in cases.into_iter().flatten() {
                let home = homes.entry((program.clone(), name.clone())).or_default();
                if case["filter-match"]["status"] == "matches" {
                    home.push(rung);
                    packages.insert((suite["package-name"].as_str().unwrap_or_default().to_owned(), rung));
                }
            }
        }
    }
    let mut fault = |what: String| faults.push(format!("ladder: {what}"));
    for ((program, name), rungs) in &homes {
        match rungs.as_slice() {
            [_] => {}
            [] => fault(format!("{program} {name} belongs to no rung: see .config/nextest.toml")),
            several => fault(format!("{program} {name} belongs to several rungs: {}", several.join(", "))),
        }
    }
    for program in expected(manifests) {
        match programs.get(&program) {
            None => fault(format!("{program} is not built: does it require a feature that no manifest has?")),
            Some(0) => fault(format!("{program} has no test")),
            Some(_) => {}
        }
    }
    for (package, feature) in features(manifests) {
        let is_rung = lists.iter().any(|(rung, _)| *rung == feature);
        if is_rung && !packages.iter().any(|(name, rung)| *name == package && *rung == feature) {
            fault(format!("package {package} has the feature {feature} and no test on that rung"));
        }
    }
    faults
}

/// Programs that must have tests, from the manifests, as nextest names them.
fn expected(manifests: &Value) -> Vec<String> {
    let mut expected = Vec::new();
    for package in manifests["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let kinds = target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let (package, name) = (text(&package["name"]), text(&target["name"]));
            if kinds.clone().any(|kind| kind == "test") {
                expected.push(format!("{package}::{name}"));
            } else if target["test"] == true && kinds.clone().any(|kind| kind == "lib") {
                expected.push(package.to_owned());
            }
        }
    }
    expected
}

fn features(manifests: &Value) -> Vec<(String, String)> {
    let packages = manifests["packages"].as_array().into_iter().flatten();
    packages
        .flat_map(|package| {
            let names = package["features"].as_object().into_iter().flatten().map(|(feature, _)| feature.clone());
            names.map(|feature| (text(&package["name"]).to_owned(), feature))
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifests() -> Value {
        json!({ "packages": [{ "name": "p", "features": { "wire": [], "other": [] }, "targets": [
            { "name": "p", "kind": ["lib"], "test": true },
            { "name": "flow", "kind": ["test"], "test": true },
            { "name": "tool", "kind": ["bin"], "test": true },
        ]}]})
    }

    /// A list in which each test of `p::flow` matches or not.
    fn list(tests: &[(&str, bool)]) -> Value {
        let cases: serde_json::Map<String, Value> = tests
            .iter()
            .map(|&(name, matches)| {
                let status = if matches { "matches" } else { "mismatch" };
                (name.to_owned(), json!({ "ignored": false, "filter-match": { "status": status } }))
            })
            .collect();
        let unit = json!({ "package-name": "p", "testcases": { "rule": { "filter-match": { "status": "matches" } } } });
        json!({ "rust-suites": { "p": unit, "p::flow": { "package-name": "p", "testcases": cases } } })
    }

    fn told(unit: &[(&str, bool)], wire: &[(&str, bool)]) -> Vec<String> {
        let mut wire = list(wire);
        wire["rust-suites"]["p"]["testcases"]["rule"]["filter-match"]["status"] = json!("mismatch");
        faults(&manifests(), &[("unit".to_owned(), list(unit)), ("wire".to_owned(), wire)])
    }

    #[test]
    fn a_whole_ladder_has_no_fault() {
        assert_eq!(told(&[("a", true), ("b", false)], &[("a", false), ("b", true)]), Vec::<String>::new());
    }

    #[test]
    fn an_ignored_test_needs_a_rung_like_any_other() {
        let mut unit = list(&[("a", true), ("b", false)]);
        unit["rust-suites"]["p::flow"]["testcases"]["b"]["ignored"] = json!(true);
        let faults = faults(&manifests(), &[("unit".to_owned(), unit)]);
        assert!(matches!(&faults[..], [fault] if fault.contains("p::flow b belongs to no rung")), "{faults:?}");
    }

    #[test]
    fn a_test_without_a_rung_and_one_with_two_are_told() {
        let faults = told(&[("a", true), ("b", true), ("c", false)], &[("a", false), ("b", true), ("c", false)]);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("p::flow b belongs to several rungs: unit, wire"), "{faults:?}");
        assert!(faults[1].contains("p::flow c belongs to no rung"), "{faults:?}");
    }

    #[test]
    fn a_program_that_is_not_built_or_empty_and_a_rung_that_lost_its_tests_are_told() {
        let faults = told(&[], &[]);
        assert!(faults.iter().any(|fault| fault.contains("p::flow has no test")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("package p has the feature wire and no test")), "{faults:?}");
        let mut without = list(&[]);
        without["rust-suites"].as_object_mut().unwrap().remove("p::flow");
        let faults = super::faults(&manifests(), &[("unit".to_owned(), without)]);
        assert!(faults.iter().any(|fault| fault.contains("p::flow is not built")), "{faults:?}");
    }
}
