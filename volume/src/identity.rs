//! Which share a share is, whatever names and addresses lead to it.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::quote::Quoted;

const DIGITS: usize = 32;

/// A text that is no identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not the identity of a share, which is {DIGITS} hexadecimal digits", Quoted(.0))]
pub struct IdentityError(String);

/// 128 bits that were drawn when a share was first used, and that stay on its disk: another disk under the same path has
/// others, and one disk under two paths has them once.
///
/// Guarantees: reading what was printed gives the same identity; printing what was read gives the same text, 32 hexadecimal
/// digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareIdentity([u8; 16]);

impl ShareIdentity {
    /// The identity of these bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }
}

impl FromStr for ShareIdentity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let bits = (text.len() == DIGITS && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok());
        bits.flatten().map(Self::new).ok_or_else(|| IdentityError(text.to_owned()))
    }
}

impl fmt::Display for ShareIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_and_nothing_else_does() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let text = ShareIdentity::new(bits).to_string();
            assert_eq!((text.len(), text.parse()), (DIGITS, Ok(ShareIdentity::new(bits))));
        }
        let text = "0123456789abcdef0123456789abcdef";
        for wrong in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &format!("+{}", &text[1..])] {
            assert!(wrong.parse::<ShareIdentity>().is_err(), "{wrong}");
        }
    }
}
