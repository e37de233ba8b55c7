//! The table as people read it: the end of docs/reliability.md.

use std::collections::BTreeMap;

use labkit::base::{LabError, checkout};

use super::{
    Verdict,
    table::{ROWS, Row},
};
use crate::report::{rewrite, row};

/// The page with the table.
const PAGE: &str = "docs/reliability.md";
/// What stands above the line is written by hand, what stands below by [`publish`].
const LINE: &str = "<!-- Below this line: written by `make reliability`. -->\n";
/// What is said of a row that no run knows.
const NOT_RUN: &str = "not run";
/// What is said of a row of which there is no scenario.
const NOT_BUILT: &str = "not run: there is no scenario yet";

/// Rewrites the page's end.
pub(super) fn publish(about: &str, verdicts: &BTreeMap<String, Verdict>) -> Result<(), LabError> {
    rewrite(&checkout().join(PAGE), LINE, &markdown(about, verdicts))
}

/// The rows with what came of each, and the figures.
fn markdown(about: &str, verdicts: &BTreeMap<String, Verdict>) -> String {
    let known = |row: &Row| row.scenario.and_then(|name| verdicts.get(name));
    let ran: Vec<&Verdict> = ROWS.iter().filter_map(known).collect();
    let passed = ran.iter().filter(|verdict| verdict.passed()).count();
    let (failed, rest) = (ran.len() - passed, ROWS.len() - ran.len());
    let mut text = format!("{about}: {} rows, {passed} passed, {failed} failed, {rest} not run.\n\n", ROWS.len());
    row(&mut text, &["fault", "what has to hold", "scenario", "result", "s"]);
    row(&mut text, &["---", "---", "---", "---", "--:"]);
    for found in ROWS {
        let name = found.scenario.map_or_else(String::new, |name| format!("`{name}`"));
        let (result, seconds) = match known(found) {
            Some(verdict) => {
                let result = verdict.trouble().unwrap_or_else(|| "passed".to_owned());
                (result.replace('|', "\\|"), format!("{:.0}", verdict.seconds))
            }
            None if found.scenario.is_some() => (NOT_RUN.to_owned(), String::new()),
            None => (NOT_BUILT.to_owned(), String::new()),
        };
        row(&mut text, &[found.fault, found.holds, &name, &result, &seconds]);
    }
    text.push_str("\n## Figures\n\n");
    row(&mut text, &["scenario", "figure", "value", "goal", ""]);
    row(&mut text, &["---", "---", "--:", "---", "---"]);
    for found in ROWS {
        let figures = known(found).into_iter().flat_map(|verdict| &verdict.figures);
        for figure in figures {
            let [name, value, goal, holds] = figure.columns();
            row(&mut text, &[found.scenario.unwrap_or_default(), &name, &value, &goal, &holds]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::tests::verdict, *};
    use crate::{report::Line, scenarios};

    /// Fault, what has to hold and scenario of each row of a page.
    fn rows(page: &str) -> Vec<[String; 3]> {
        let table = page.split_once("| fault |").map(|(_, rest)| rest).unwrap_or_default();
        let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = |line: &str| line.split('|').skip(1).take(3).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        lines.map(|line| cells(line).try_into().unwrap()).collect()
    }

    #[test]
    fn the_rows_of_the_page_are_those_of_the_table() {
        let page = fs::read_to_string(checkout().join(PAGE)).unwrap();
        assert_eq!(page.matches(LINE).count(), 1);
        let wanted = rows(&markdown("", &BTreeMap::new()));
        assert_eq!(wanted.len(), ROWS.len());
        assert_eq!(rows(&page), wanted, "run `make reliability`, or `lab reliability --known`, and commit {PAGE}");
    }

    #[test]
    fn the_page_tells_which_rows_the_ladder_has() {
        let page = fs::read_to_string(checkout().join(PAGE)).unwrap();
        let told = page.split_once("`make test` runs short forms of ").and_then(|(_, rest)| rest.split_once(';'));
        let told: Vec<&str> = told.unwrap().0.split(',').map(|name| name.trim().trim_matches('`')).collect();
        let of_ladder = |name: &&str| scenarios::ALL.iter().any(|scenario| scenario.name == *name);
        let wanted: Vec<&str> = ROWS.iter().filter_map(|row| row.scenario).filter(of_ladder).collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_came_of_a_row_is_told_and_nothing_of_one_that_was_not_run() {
        let gap = |value: f64| vec![Line::at_most("gap", value, "ms", 100.0)];
        let (name, passed) = verdict("", gap(90.0));
        let text = markdown("Kubernetes", &[(name.clone(), passed)].into());
        let (all, rest) = (ROWS.len(), ROWS.len() - 1);
        assert!(text.starts_with(&format!("Kubernetes: {all} rows, 1 passed, 0 failed, {rest} not run.\n")), "{text}");
        assert!(text.contains(&format!("| `{name}` | passed | 62 |")), "{text}");
        assert_eq!(text.matches(&format!("| {NOT_RUN}")).count(), rest, "{text}");
        let missed = markdown("Kubernetes", &[verdict("", gap(130.0))].into());
        assert!(missed.contains(&format!("| `{name}` | gap does not hold | 62 |")), "{missed}");
        assert!(missed.contains(&format!("| {name} | gap | 130 ms | <= 100 ms | DOES NOT HOLD |")), "{missed}");
        assert!(missed.contains("0 passed, 1 failed"), "{missed}");
        let broken = markdown("Kubernetes", &[verdict("it\nbroke | there", gap(90.0))].into());
        assert!(broken.contains(&format!("| `{name}` | it broke \\| there | 62 |")), "{broken}");
    }
}
