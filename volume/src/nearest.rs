//! Which known name a person probably meant.

/// The candidate that takes the fewest edits to reach from `written`, or none when every one is so far away that naming
/// it would mislead. A difference of case alone counts as nothing.
pub(crate) fn nearest<'a>(written: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // Distance is quadratic; no name that resembles one of ours is this long.
    const LONGEST: usize = 64;
    if written.len() > LONGEST {
        return None;
    }
    let lower = written.to_lowercase();
    candidates
        .iter()
        .map(|&candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .min_by_key(|&(edits, _)| edits)
        .filter(|&(edits, candidate)| edits <= (candidate.chars().count() / 3).max(1))
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, substitutions, and swaps of two neighbours each count one.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before = Vec::new();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for (i, &a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in to.iter().enumerate() {
            let mut edits = (previous[j] + usize::from(a != b)).min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == to[j - 1] && from[i - 1] == b {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::parameter;

    #[test]
    fn counts_edits_and_swaps() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("shaer", "share"), 1);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn finds_what_was_meant() {
        for (written, meant) in [
            ("Server", "server"),
            ("sever", "server"),
            ("subdir", "subDir"),
            ("sub-dir", "subDir"),
            ("mountPermission", "mountPermissions"),
            ("onDelet", "onDelete"),
            ("ondelete", "onDelete"),
            ("gidd", "gid"),
        ] {
            assert_eq!(nearest(written, &parameter::ALL), Some(meant), "{written}");
        }
    }

    #[test]
    fn does_not_guess_wildly() {
        for written in ["fileSystemId", "reclaimPolicy", "", "路径"] {
            assert_eq!(nearest(written, &parameter::ALL), None, "{written}");
        }
        assert_eq!(nearest(&"server".repeat(100), &parameter::ALL), None);
    }
}
