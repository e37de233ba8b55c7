//! What a run prints at its end, and the same as JSON for scripts: `target/report/NAME.json`.

mod ledger;
mod outcome;
mod page;
mod timeline;

use std::{fs, path::PathBuf};

use labkit::base::{LabError, checkout};
use serde::{Deserialize, Serialize};

pub(crate) use ledger::Ledger;
pub use outcome::Outcome;
pub(crate) use page::{rewrite, row};
pub use timeline::Timeline;

/// One printed line. The JSON file holds one object for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What was measured or counted.
    pub name: String,
    /// The figure, or a word where there is none to count.
    pub value: serde_json::Value,
    /// Unit of the figure; empty for words and counts.
    pub unit: String,
    /// What it should be, as text; empty when the line only informs.
    pub goal: String,
    /// Whether the goal holds; `None` without a goal.
    pub holds: Option<bool>,
}

impl Line {
    /// A line that only informs.
    pub fn fact(name: &str, value: impl Into<serde_json::Value>, unit: &str) -> Self {
        Self { name: name.into(), value: value.into(), unit: unit.into(), goal: String::new(), holds: None }
    }

    /// A figure that must be at least `goal`.
    pub fn at_least(name: &str, value: f64, unit: &str, goal: f64) -> Self {
        Self::against(name, value, unit, format!(">= {goal} {unit}"), value >= goal)
    }

    /// A figure that must be at most `goal`.
    pub fn at_most(name: &str, value: f64, unit: &str, goal: f64) -> Self {
        Self::against(name, value, unit, format!("<= {goal} {unit}"), value <= goal)
    }

    /// A value with a goal in words.
    pub fn against(
        name: &str,
        value: impl Into<serde_json::Value>,
        unit: &str,
        goal: impl Into<String>,
        holds: bool,
    ) -> Self {
        let goal = goal.into().trim().to_owned();
        Self { name: name.into(), value: value.into(), unit: unit.into(), goal, holds: Some(holds) }
    }

    /// Name, value with its unit, goal, and whether that holds, as people read them.
    pub(crate) fn columns(&self) -> [String; 4] {
        let value = match &self.value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), figure),
            other => other.to_string(),
        };
        let holds = match self.holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "",
        };
        [self.name.clone(), format!("{value} {}", self.unit).trim().to_owned(), self.goal.clone(), holds.to_owned()]
    }
}

/// Prints the lines as a table and writes them to `target/report/NAME.json`. Returns the file's path.
pub fn publish(name: &str, lines: &[Line]) -> Result<PathBuf, LabError> {
    print!("{}", table(lines));
    let dir = directory()?;
    let path = dir.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(lines).map_err(LabError::reply(format!("report {name}")))?;
    fs::write(&path, text + "\n").map_err(LabError::file(&path))?;
    Ok(path)
}

/// `target/report`, made when missing.
pub fn directory() -> Result<PathBuf, LabError> {
    let dir = checkout().join("target/report");
    fs::create_dir_all(&dir).map_err(LabError::file(&dir))?;
    Ok(dir)
}

/// Characters that a column may take.
const WIDEST: usize = 72;

/// The lines in columns: name, value, goal, whether it holds.
pub fn table(lines: &[Line]) -> String {
    let rows: Vec<[String; 4]> = lines.iter().map(Line::columns).collect();
    // A value that is a sentence must not push every other line apart.
    let widths = |column: usize| rows.iter().map(move |row| row[column].chars().count());
    let width = |column: usize| widths(column).filter(|&width| width <= WIDEST).max().unwrap_or(0);
    let (name, value, goal) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [first, second, third, fourth] in &rows {
        let row = format!("  {first:<name$}  {second:>value$}  {third:<goal$}  {fourth}");
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A figure with as many digits as it carries meaning.
fn figure(value: f64) -> String {
    if value.fract().abs() < 1e-9 || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged() {
        assert_eq!(Line::at_least("rate", 1000.0, "/s", 1000.0).holds, Some(true));
        assert_eq!(Line::at_most("size", 20.1, "MB", 20.0).holds, Some(false));
        assert_eq!(Line::fact("load", 1.5, "").holds, None);
    }

    #[test]
    fn table_lines_up_and_names_misses() {
        let text = table(&[Line::at_least("a", 12.34, "x", 50.0), Line::fact("longer name", "word", "")]);
        assert_eq!(text, "  a            12.3 x  >= 50 x  DOES NOT HOLD\n  longer name    word\n");
    }

    #[test]
    fn json_has_the_five_keys() {
        let text = serde_json::to_value(Line::at_most("n", 1.0, "ms", 2.0)).unwrap();
        let keys: Vec<&String> = text.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["goal", "holds", "name", "unit", "value"]);
    }
}
