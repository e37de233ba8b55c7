//! How a value that came from outside is shown in a message.

use std::fmt;

/// More characters than this say nothing more to a reader, and an event holds 1,024 bytes.
const SHOWN_CHARACTERS: usize = 80;

/// A foreign value between quotes: control characters escaped, cut when long.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match beginning(self.0, SHOWN_CHARACTERS) {
            None => write!(f, "{:?}", self.0),
            Some(shown) => write!(f, "{shown:?}… ({} bytes)", self.0.len()),
        }
    }
}

/// A message that may repeat a foreign value as it was found: control characters escaped, cut when long.
pub(crate) struct Repeated<'a>(pub(crate) &'a str);

impl fmt::Display for Repeated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As much as a value, and as much again for what is said about it.
        let (shown, cut) = beginning(self.0, 2 * SHOWN_CHARACTERS).map_or((self.0, ""), |shown| (shown, "…"));
        for character in shown.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_debug())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        f.write_str(cut)
    }
}

/// The first so many characters of a text that has more.
fn beginning(text: &str, characters: usize) -> Option<&str> {
    text.char_indices().nth(characters).map(|(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_words_and_nothing_else() {
        assert_eq!(Repeated("unknown \"é\"\u{85}\n").to_string(), r#"unknown "é"\u{85}\n"#);
        assert_eq!(Repeated(&"é".repeat(300)).to_string(), format!("{}…", "é".repeat(160)));
    }

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
