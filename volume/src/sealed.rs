//! A short text as a small file holds it, so that a whole one is told from one that was begun.
//!
//! A server may die, or find no room, between the making of a file and the writing of its text, and a disk may keep only some
//! of its blocks. So a line follows the text by which it is known to be all of it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::record::LONGEST_TEXT;

/// Digits of the seal.
const DIGITS: usize = 16;

/// Longest file that holds a text, in bytes; a longer one holds none.
pub const LONGEST_FILE: usize = LONGEST_TEXT + DIGITS + 2;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed<'a> {
    /// A whole text.
    Whole(&'a str),
    /// What is left of a text whose writing did not come to its end, or is under way.
    Begun,
    /// Something else: a text that was changed afterwards, or never one.
    Foreign,
}

/// What a file holds whose text this is: the text, and in a line of its own the first 16 hexadecimal digits of its SHA-256. So
/// `printf '%s\n%.16s\n' TEXT "$(printf %s TEXT | sha256sum)"` writes one.
pub fn seal(text: &str) -> String {
    format!("{text}\n{}\n", digits(text))
}

/// Reads what a file holds.
///
/// Guarantees: what was sealed is whole, and nothing else is: not what lacks something at its end, nor what has zeros in it, as a
/// disk leaves blocks that were not written.
pub fn unseal(bytes: &[u8]) -> Sealed<'_> {
    let parts = std::str::from_utf8(bytes).ok().and_then(|all| all.strip_suffix('\n')?.rsplit_once('\n'));
    match parts {
        Some((text, seal)) if seal == digits(text) => Sealed::Whole(text),
        _ if bytes.len() > LONGEST_FILE => Sealed::Foreign,
        _ if bytes.contains(&0) => Sealed::Begun,
        Some((_, seal)) if seal.len() == DIGITS && seal.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            Sealed::Foreign
        }
        _ => Sealed::Begun,
    }
}

fn digits(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(DIGITS / 2).fold(String::new(), |mut digits, byte| {
        let _infallible = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_can_write_a_seal() {
        // printf %s 0123456789abcdef | sha256sum
        assert_eq!(seal("0123456789abcdef"), "0123456789abcdef\n9f9f5111f7b27a78\n");
    }

    #[test]
    fn what_was_changed_by_hand_is_not_taken_for_what_was_begun() {
        let file = seal("pvc-1");
        assert_eq!(unseal(file.replace("pvc-1", "pvc-2").as_bytes()), Sealed::Foreign);
        assert_eq!(unseal(&[b'x'; LONGEST_FILE + 1]), Sealed::Foreign);
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_whole_and_nothing_less_is(text in "[^\0]{0,1023}", end: prop::sample::Index, zeroed: prop::sample::Index) {
            prop_assume!(text.len() <= LONGEST_TEXT);
            let file = seal(&text);
            prop_assert!(file.len() <= LONGEST_FILE);
            prop_assert_eq!(unseal(file.as_bytes()), Sealed::Whole(text.as_str()));
            let part = &file.as_bytes()[..end.index(file.len())];
            prop_assert!(!matches!(unseal(part), Sealed::Whole(_)));
            // A sector of the disk was not written.
            let mut torn = file.clone().into_bytes();
            let from = zeroed.index(torn.len());
            torn[from..].iter_mut().take(512).for_each(|byte| *byte = 0);
            prop_assert_eq!(unseal(&torn), Sealed::Begun);
        }
    }
}
