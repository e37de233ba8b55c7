//! What ginkgo says of a run: its JSON report, as `--json-report` writes it.

use labkit::base::LabError;
use serde::Deserialize;

/// One spec of a report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    /// The texts of its containers and its own.
    pub(super) name: String,
    /// `passed`, `skipped`, `pending`, or a way of failing.
    pub(super) state: String,
    /// How long it ran.
    pub(super) seconds: f64,
    /// Why it was skipped or failed; empty where ginkgo gives no reason.
    pub(super) said: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    spec_reports: Option<Vec<SpecReport>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    /// Nanoseconds.
    run_time: f64,
    #[serde(default)]
    failure: Failure,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

/// Every spec of a report; what prepares a suite and clears up after it is none.
pub(super) fn specs(report: &str) -> Result<Vec<Spec>, LabError> {
    let suites: Vec<Report> = serde_json::from_str(report).map_err(LabError::reply("ginkgo"))?;
    let reports = suites.into_iter().filter_map(|suite| suite.spec_reports).flatten();
    Ok(reports.filter(|spec| spec.leaf_node_type == "It").map(Spec::from).collect())
}

impl From<SpecReport> for Spec {
    fn from(report: SpecReport) -> Self {
        let texts = report.container_hierarchy_texts.into_iter().flatten().chain([report.leaf_node_text]);
        let name = texts.collect::<Vec<_>>().join(" ");
        Self { name, state: report.state, seconds: report.run_time / 1e9, said: report.failure.message }
    }
}

/// A report of these specs, each with its state and what was said, as ginkgo writes it.
#[cfg(test)]
pub(super) fn report(specs: &[(&str, &str, &str)]) -> String {
    let spec = |(name, state, said): &(&str, &str, &str)| {
        serde_json::json!({ "ContainerHierarchyTexts": null, "LeafNodeType": "It", "LeafNodeText": name,
            "State": state, "RunTime": 2.5e9, "Failure": { "Message": said } })
    };
    serde_json::json!([{ "SpecReports": specs.iter().map(spec).collect::<Vec<_>>() }]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_called_by_all_of_its_texts() {
        let text = r#"[
            { "SpecReports": [
                { "LeafNodeType": "BeforeSuite", "LeafNodeText": "", "State": "passed", "RunTime": 1 },
                { "ContainerHierarchyTexts": ["Controller", "CreateVolume"], "LeafNodeType": "It",
                  "LeafNodeText": "should work", "State": "passed", "RunTime": 2500000000 }
            ] },
            { "SpecReports": null }
        ]"#;
        let name = "Controller CreateVolume should work".to_owned();
        let spec = Spec { name, state: "passed".to_owned(), seconds: 2.5, said: String::new() };
        assert_eq!(specs(text).unwrap(), [spec]);
        assert_eq!(specs(&report(&[("a", "failed", "boom")])).unwrap()[0].said, "boom");
    }
}
