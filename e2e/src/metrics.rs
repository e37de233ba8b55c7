//! Samples of Prometheus' text format (version 0.0.4).

/// Sum of the samples called `name` that carry all of `labels`.
pub(crate) fn total(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = text.lines().filter_map(sample).filter(|sample| sample.name == name);
    let carries = |sample: &Sample<'_>, wanted: &(&str, &str)| {
        sample.labels.iter().any(|(key, value)| (*key, value.as_str()) == *wanted)
    };
    samples.filter(|sample| labels.iter().all(|wanted| carries(sample, wanted))).map(|sample| sample.value).sum()
}

struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// A line such as `name{key="value"} 1`; `None` for comments.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, rest) = rest.strip_prefix('{').map_or(Some((Vec::new(), rest)), labels)?;
    // A time may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((found, rest));
        }
        let (key, quoted) = text.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), quoted.char_indices());
        loop {
            match characters.next()? {
                (end, '"') => {
                    text = &quoted[end + 1..];
                    break;
                }
                (_, '\\') => value.push(Some(characters.next()?.1).filter(|&escaped| escaped != 'n').unwrap_or('\n')),
                (_, plain) => value.push(plain),
            }
        }
        found.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP calls_total Calls {by=\"code\"} 7\n\
        calls_total{method=\"a/Create\",code=\"OK\"} 98\n\
        calls_total{method=\"a/Create\", code=\"ABORTED\",} 2 1395066363000\n\
        calls_total{method=\"a/Delete\",code=\"OK\"} 7\n\
        calls_total_other 9\n\
        odd{path=\"C:\\\\a,}\\\"b\\n\"} 1.5e3\n\
        plain 1\n";

    fn is(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < f64::EPSILON
    }

    #[test]
    fn samples_are_summed_over_the_labels_that_nobody_asked_about() {
        assert!(is(total(TEXT, "calls_total", &[]), 107.0));
        assert!(is(total(TEXT, "calls_total", &[("method", "a/Create")]), 100.0));
        assert!(is(total(TEXT, "calls_total", &[("code", "OK"), ("method", "a/Create")]), 98.0));
        assert!(is(total(TEXT, "plain", &[]), 1.0));
    }

    #[test]
    fn what_is_not_there_counts_nothing() {
        assert!(is(total(TEXT, "calls", &[]), 0.0));
        assert!(is(total(TEXT, "calls_total", &[("code", "Create")]), 0.0));
        assert!(is(total(TEXT, "plain", &[("code", "OK")]), 0.0));
    }

    #[test]
    fn values_may_hold_what_stands_around_them() {
        assert!(is(total(TEXT, "odd", &[("path", "C:\\a,}\"b\n")]), 1500.0));
    }
}
