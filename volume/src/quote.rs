//! How a value that came from outside is shown in a message.

use std::fmt;

/// More characters than this say nothing more to a reader, and an event holds 1,024 bytes.
const SHOWN_CHARACTERS: usize = 80;

/// A foreign value between quotes: control characters escaped, cut when long.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN_CHARACTERS) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}… ({} bytes)", &self.0[..end], self.0.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(Quoted("a\nb\u{1b}").to_string(), r#""a\nb\u{1b}""#);
    }

    #[test]
    fn long_values_are_cut_on_a_character() {
        let shown = Quoted(&"é".repeat(300)).to_string();
        assert_eq!(shown, format!("\"{}\"… (600 bytes)", "é".repeat(80)));
    }
}
