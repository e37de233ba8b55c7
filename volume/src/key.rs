//! The names on a share that follow from the name and the place of a volume.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{fold::folded, path::SubPath, quote::Quoted};

/// Longest volume name that is used as its own key, in bytes (a DNS label's length: `pvc-` and a UUID take 40).
const LONGEST_PLAIN_KEY: usize = 63;
/// Before a key that is a hash. Not part of any plain key.
const HASH_MARK: char = '~';
/// Characters of a hash: 26 × 5 = 130 bits, past any accidental collision and beyond a deliberate one (2⁶⁵ tries).
const HASH_CHARACTERS: usize = 26;
/// Length of a key that is a hash.
pub(crate) const HASHED_BYTES: usize = HASH_MARK.len_utf8() + HASH_CHARACTERS;
/// RFC 4648 §6 in lower case: file names stay distinct on servers that ignore case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A text that is no [`RecordKey`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not the name of a record", Quoted(.0))]
pub struct KeyError(String);

/// File name of a volume's record, and of its directory when the class gives no `subDir`.
///
/// A name of 1 to 63 characters of `[a-z0-9.-]`, alphanumeric at both ends, is its own key when the id has room for it.
/// Any other name becomes `~` and 26 characters of its SHA-256. Deterministic for server, share and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(String);

impl RecordKey {
    /// The name itself, if it may be a key.
    pub(crate) fn plain(name: &str) -> Option<Self> {
        let good = name.len() <= LONGEST_PLAIN_KEY
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        good.then(|| Self(name.to_owned()))
    }

    /// The key that every name has.
    pub(crate) fn hashed(name: &str) -> Self {
        Self(format!("{HASH_MARK}{}", hash(name)))
    }

    /// Whether a volume of this name may have this key.
    pub fn is_of(&self, name: &str) -> bool {
        Self::plain(name).as_ref() == Some(self) || Self::hashed(name) == *self
    }

    /// The key as text: a single legal file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that is this path's name on a server that ignores case, if it is one.
    pub fn of_folded(path: &SubPath) -> Option<Self> {
        folded(path.as_str()).parse().ok()
    }

    /// Where the volume's directory is when the class gives no `subDir`: at the root of the share, under this key.
    pub fn default_place(&self) -> SubPath {
        self.0.parse().expect("keys hold no slash, no dots alone, and are no reserved name")
    }
}

impl FromStr for RecordKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_hash = |rest: &str| rest.len() == HASH_CHARACTERS && rest.bytes().all(|b| BASE32.contains(&b));
        let key = match text.strip_prefix(HASH_MARK) {
            Some(rest) => is_hash(rest).then(|| Self(text.to_owned())),
            None => Self::plain(text),
        };
        key.ok_or_else(|| KeyError(text.to_owned()))
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// File name of the hold on a custom place: 26 characters of the SHA-256 of the path below the share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey(String);

impl PlaceKey {
    /// The key of a path. Equal paths have equal keys.
    pub fn new(path: &SubPath) -> Self {
        Self(hash(path.as_str()))
    }

    /// The key of a path on a server that ignores case: paths that such a server may take for one have equal keys. A path in lower
    /// case without composed characters has the same key as on any other server.
    pub fn folded(path: &SubPath) -> Self {
        Self(hash(&folded(path.as_str())))
    }

    /// The key as text: a single legal file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let bit = |index: usize| digest[index / 8] >> (7 - index % 8) & 1;
    (0..HASH_CHARACTERS)
        .map(|character| (0..5).fold(0, |value, offset| value << 1 | bit(character * 5 + offset)))
        .map(|value| char::from(BASE32[usize::from(value)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_own_keys_alone() {
        for (name, plain) in [("pvc-1", true), ("PVC-1", false), ("", false)] {
            assert!(RecordKey::hashed(name).is_of(name), "{name}");
            assert_eq!(RecordKey::plain(name).is_some_and(|key| key.is_of(name)), plain, "{name}");
            assert!(!RecordKey::hashed(name).is_of("pvc-2"), "{name}");
        }
        assert!(!"pvc-1".parse::<RecordKey>().expect("legal").is_of("pvc-2"));
    }

    #[test]
    fn places_have_keys() {
        let path: SubPath = "team/app".parse().expect("legal");
        let key = PlaceKey::new(&path);
        assert_eq!(key.as_str().len(), 26);
        assert_eq!(key, PlaceKey::new(&path));
        assert_ne!(key, PlaceKey::new(&"team/app2".parse().expect("legal")));
        let upper: SubPath = "Team/APP".parse().expect("legal");
        assert_eq!((PlaceKey::folded(&path), PlaceKey::folded(&upper)), (key.clone(), key));
        assert_ne!(PlaceKey::new(&upper), PlaceKey::new(&path));
    }

    #[test]
    fn the_hash_is_base32_of_sha256() {
        // RFC 4648 base32 of SHA-256("") (FIPS 180-4), lower case, cut to 26 characters.
        assert_eq!(hash(""), "4oymiquy7qobjgx36tejs35zeq");
    }

    #[test]
    fn what_is_no_key_is_quoted() {
        let error = "a/b\n".parse::<RecordKey>().expect_err("a path");
        assert_eq!(error.to_string(), r#""a/b\n" is not the name of a record"#);
    }
}
