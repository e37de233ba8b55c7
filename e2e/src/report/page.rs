//! Pages of the documentation that end in what a run has found out.

use std::{fmt::Write, fs, path::Path};

use labkit::base::LabError;

/// Rewrites a page from the line `line` on: what stands above it is written by hand.
pub(crate) fn rewrite(page: &Path, line: &str, text: &str) -> Result<(), LabError> {
    let old = fs::read_to_string(page).map_err(LabError::file(page))?;
    let Some((head, _)) = old.split_once(line) else {
        let page = page.display();
        return Err(LabError::Unmet(format!("{page} has no line that says where its table begins: {}", line.trim())));
    };
    fs::write(page, format!("{head}{line}\n{text}")).map_err(LabError::file(page))
}

/// Adds a row to a table in Markdown.
pub(crate) fn row(text: &mut String, cells: &[&str]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | ").replace('\n', " "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_by_hand_stays() {
        let home = tempfile::tempdir().unwrap();
        let page = home.path().join("page.md");
        let line = "<!-- below: written -->\n";
        fs::write(&page, format!("# Title\n\n{line}\nold\n")).unwrap();
        rewrite(&page, line, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), format!("# Title\n\n{line}\nnew\n"));
        fs::write(&page, "# Title\n").unwrap();
        assert!(rewrite(&page, line, "new\n").unwrap_err().to_string().contains("below: written"));
        assert_eq!(fs::read_to_string(&page).unwrap(), "# Title\n");
    }
}
