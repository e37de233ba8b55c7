//! A list of options in one text.

/// The options of a text, which commas part; not those between quotes: `context="system_u:object_r:nfs_t:s0:c1,c2"` is one option.
pub fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

/// A value without the quotes around it; none if it holds others, or what would end it before its end.
pub(super) fn unquoted(value: &str) -> Option<&str> {
    let bare = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
    let is_plain = |character: char| character != '"' && character != '\\' && !character.is_control();
    Some(bare).filter(|bare| !bare.is_empty() && bare.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_between_quotes_part_nothing() {
        let text = r#" hard,, context="u:r:t:s0:c1,c2" ,ro,"#;
        assert_eq!(items(text).collect::<Vec<_>>(), ["hard", r#"context="u:r:t:s0:c1,c2""#, "ro"]);
        assert_eq!(items(r#"context="u:r:t:s0:c1,ro"#).count(), 1, "the quote does not end");
        assert_eq!(items("").count(), 0);
    }

    #[test]
    fn quotes_stand_at_both_ends_or_nowhere() {
        for (value, bare) in [("a:b", Some("a:b")), ("\"a,b\"", Some("a,b")), ("a,b", Some("a,b"))] {
            assert_eq!(unquoted(value), bare, "{value}");
        }
        for value in ["", "\"", "\"\"", "\"a", "a\"", "a\"b", "\"a\"b\"", "a\nb", "a\\"] {
            assert_eq!(unquoted(value), None, "{value:?}");
        }
    }
}
