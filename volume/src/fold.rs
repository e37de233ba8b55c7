//! What names have in common that a server may take for one.

use unicode_normalization::UnicodeNormalization;

/// A text without what servers that ignore case may ignore: case itself, and how a character is composed (ext4 with `casefold` and
/// ZFS compare names so). Two names that such a server takes for one have the same folded form; names that it tells apart may
/// have it as well.
pub(crate) fn folded(text: &str) -> String {
    let plain: String = text.nfkd().collect();
    // By way of both: some characters have an upper-case form without a way back (ſ), others a lower-case one (ẞ).
    plain.to_lowercase().to_uppercase().to_lowercase().nfkd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_or_composition_alone_are_one() {
        for [one, other] in [
            ["Apps/x", "apps/X"],
            ["\u{c4}rger", "a\u{308}RGER"],
            ["stra\u{df}e", "STRASSE"],
            ["\u{3c3}\u{3b1}\u{3c2}", "\u{3a3}\u{391}\u{3a3}"],
            ["\u{212a}elvin", "kelvin"],
            ["\u{1e9e}", "ss"],
            ["\u{17f}et", "SET"],
        ] {
            assert_eq!(folded(one), folded(other), "{one} and {other}");
            assert_eq!(folded(&folded(one)), folded(one), "{one}");
        }
        assert_ne!(folded("apps/x"), folded("apps/y"));
        assert_eq!(folded("pvc-0123/team.a_b~c"), "pvc-0123/team.a_b~c", "plain names stay as they are");
    }
}
