//! The id of a volume.
//!
//! An id is `berth://SERVER/SHARE#KEY`, for example `berth://nfs.example.com/exports/k8s#pvc-0123`. It alone leads back
//! to the server, the share and the record of the volume, so that a volume can be deleted with nothing else at hand:
//! `DeleteVolume` is given an id and no parameters.
//!
//! Where server and share leave no room in it, there is a second form that packs them: `berth2://PACKED#KEY`.

mod packed;

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{
    key::{self, KeyError, RecordKey},
    names::ID_SCHEME,
    path::{PathError, SharePath},
    quote::Quoted,
    server::{Server, ServerError},
};

/// Longest id, in bytes: what the CSI specification lets a plugin send in a string without a limit of its own.
pub const LONGEST_ID: usize = 128;

/// Why a text is no volume id, or why no id can be made for a volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not of the form of this release: not one of ours at all, or another release's ([`VolumeId::is_ours`] tells).
    #[error("the volume id {} is not of the form {ID_SCHEME}SERVER/SHARE#KEY", Quoted(.0))]
    Foreign(String),
    /// More than [`LONGEST_ID`] bytes.
    #[error("the volume id {} is longer than {LONGEST_ID} bytes", Quoted(.0))]
    Long(String),
    /// A `%` that is not followed by two hexadecimal digits, or escapes that are no UTF-8.
    #[error("the volume id {} holds a broken %-escape", Quoted(.0))]
    Escape(String),
    /// The server's part is no server.
    #[error("the volume id {} names no server", Quoted(.id))]
    Server {
        /// The whole id.
        id: String,
        /// What is wrong with it.
        #[source]
        source: ServerError,
    },
    /// The share's part is no path.
    #[error("the volume id {} names no share", Quoted(.id))]
    Share {
        /// The whole id.
        id: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// The key's part is no record's name.
    #[error("the volume id {} names no record", Quoted(.id))]
    Key {
        /// The whole id.
        id: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// Readable, but not as this driver writes it; accepting it would give one volume two ids.
    #[error("the volume id {} is not in the form in which this driver writes it, which is {canonical:?}", Quoted(.id))]
    NotCanonical {
        /// The whole id.
        id: String,
        /// How it should look.
        canonical: String,
    },
    /// Server and share leave no room for a key.
    #[error(
        "no volume id of at most {LONGEST_ID} bytes can be made: server {server:?} takes {} bytes and share {share:?} takes \
         {share_bytes} in the id, {} together are allowed; packed they take {packed_bytes}, and {} are allowed; {}",
        .server.len(),
        room_for_place(ID_SCHEME),
        room_for_place(packed::SCHEME),
        advice(.server.len(), *.share_bytes)
    )]
    NoRoom {
        /// The server as it stands in the id.
        server: String,
        /// The share as it was given.
        share: String,
        /// Bytes that the share takes with its escapes.
        share_bytes: usize,
        /// Bytes that both take in the packed form.
        packed_bytes: usize,
    },
    /// A volume without a name.
    #[error("the volume's name is empty")]
    EmptyName,
}

fn room_for_place(scheme: &str) -> usize {
    LONGEST_ID - scheme.len() - '#'.len_utf8() - key::HASHED_BYTES
}

fn advice(server: usize, share: usize) -> &'static str {
    if server > share {
        "give the server a shorter name or its address"
    } else {
        "export a directory under a shorter path, without non-ASCII characters"
    }
}

/// Id of a volume: server, share and record key.
///
/// Guarantees: the text has at most [`LONGEST_ID`] bytes of printable ASCII; reading what was printed gives the same
/// id; printing what was read gives the same text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    server: Server,
    share: SharePath,
    key: RecordKey,
}

impl VolumeId {
    /// The id of the volume called `name` on a share. The same three always give the same id.
    pub fn new(server: &Server, share: &SharePath, name: &str) -> Result<Self, IdError> {
        if name.is_empty() {
            return Err(IdError::EmptyName);
        }
        let with = |key| Self { server: server.clone(), share: share.clone(), key };
        let keys = || RecordKey::plain(name).into_iter().chain([RecordKey::hashed(name)]).map(with);
        // The packed form only where the other has no room for any key: what it has room for has always been written so.
        let plain = keys().find(|id| id.plain().len() <= LONGEST_ID);
        plain.or_else(|| keys().find(|id| id.packed().len() <= LONGEST_ID)).ok_or_else(|| IdError::NoRoom {
            server: server.to_string(),
            share: share.to_string(),
            share_bytes: escape(share.as_str()).len(),
            packed_bytes: packed::pack(server, share).len(),
        })
    }

    fn plain(&self) -> String {
        format!("{ID_SCHEME}{}{}#{}", self.server, escape(self.share.as_str()), self.key)
    }

    fn packed(&self) -> String {
        format!("{}{}#{}", packed::SCHEME, packed::pack(&self.server, &self.share), self.key)
    }

    /// Whether some release of this driver gives ids like `text`, be it one that this release cannot read: all of them
    /// begin with `berth`, perhaps a number, and `://`.
    pub fn is_ours(text: &str) -> bool {
        let scheme = text.split_once("://").and_then(|(scheme, _)| scheme.strip_prefix("berth"));
        scheme.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Where the volume is served.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The share that holds it.
    pub fn share(&self) -> &SharePath {
        &self.share
    }

    /// The name of its record there.
    pub fn key(&self) -> &RecordKey {
        &self.key
    }
}

impl FromStr for VolumeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let foreign = || IdError::Foreign(text.to_owned());
        let broken = || IdError::Escape(text.to_owned());
        let (plain, packed) = (text.strip_prefix(ID_SCHEME), text.strip_prefix(packed::SCHEME));
        let rest = plain.or(packed).ok_or_else(foreign)?;
        if text.len() > LONGEST_ID {
            return Err(IdError::Long(text.to_owned()));
        }
        let (place, key) = rest.rsplit_once('#').ok_or_else(foreign)?;
        let (server, share) = place.find('/').map(|slash| place.split_at(slash)).ok_or_else(foreign)?;
        let (server, share) = match packed {
            None => (server.to_owned(), unescape(share).ok_or_else(broken)?),
            Some(_) => packed::unpack(place).ok_or_else(broken)?,
        };
        let server = server.parse().map_err(|source| IdError::Server { id: text.to_owned(), source })?;
        let share = share.parse().map_err(|source| IdError::Share { id: text.to_owned(), source })?;
        let key = key.parse().map_err(|source| IdError::Key { id: text.to_owned(), source })?;
        let id = Self { server, share, key };
        match id.to_string() {
            canonical if canonical == text => Ok(id),
            canonical => Err(IdError::NotCanonical { id: text.to_owned(), canonical }),
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.plain();
        f.write_str(&if plain.len() <= LONGEST_ID { plain } else { self.packed() })
    }
}

fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        escape_byte(&mut escaped, byte);
    }
    escaped
}

fn escape_byte(escaped: &mut String, byte: u8) {
    match byte {
        b'%' | b'#' | 0..=0x1f | 0x7f.. => {
            escaped.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                escaped.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        plain => escaped.push(char::from(plain)),
    }
}

fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(server: &str, share: &str, name: &str) -> Result<VolumeId, IdError> {
        VolumeId::new(&server.parse().expect("a server"), &share.parse().expect("a share"), name)
    }

    #[test]
    fn ids_of_any_release_are_ours() {
        for text in ["berth://", "berth://nfs/a#b", "berth2://x", "berth3://x", "berth17://"] {
            assert!(VolumeId::is_ours(text), "{text}");
        }
        for text in ["", "berth", "berth:/x", "berthold://x", "nfs.example#share#pvc-1", "x/berth://", "Berth://x"] {
            assert!(!VolumeId::is_ours(text), "{text}");
        }
    }

    #[test]
    fn looks_as_documented() {
        let name = "pvc-0f5b2c2e-6f0e-4a35-9d9b-0a1b2c3d4e5f";
        for (server, share, text) in [
            ("nfs.example.com", "/exports/k8s", format!("berth://nfs.example.com/exports/k8s#{name}")),
            ("10.0.0.2:20049", "/", format!("berth://10.0.0.2:20049/#{name}")),
            ("fd00::1", "/a b", format!("berth://[fd00::1]/a b#{name}")),
            ("nfs", "/50%#é", format!("berth://nfs/50%25%23%c3%a9#{name}")),
        ] {
            let made = id(server, share, name).expect(share);
            assert_eq!(made.to_string(), text);
            assert_eq!(text.parse(), Ok(made));
        }
    }

    #[test]
    fn names_that_are_no_file_names_are_hashed() {
        // The value is in records and ids of volumes that exist: it may never change.
        let upper = id("nfs", "/", "Volume/1").expect("hashable");
        assert_eq!(upper.key().as_str(), "~jlj6aqhvhykzs3fiwvcbg3yz6s");
        let long = "a".repeat(64);
        for name in ["Upper", "-a", "a-", "a/b", "..", ".berth", "a_b", "ä", long.as_str(), "a\0b", "~plain"] {
            let key = id("nfs", "/", name).expect(name).key().clone();
            assert!(key.as_str().starts_with('~') && key.as_str().len() == 27, "{name} became {key}");
            assert_eq!(key.as_str().parse(), Ok(key));
        }
    }

    #[test]
    fn a_plain_name_is_hashed_when_the_id_has_no_room_for_it() {
        let name = "pvc-0f5b2c2e-6f0e-4a35-9d9b-0a1b2c3d4e5f";
        let server = "fs-0123456789abcdef0.efs.us-gov-west-1.amazonaws.com";
        assert_eq!(id(server, "/volumes", name).expect("fits").key().as_str(), name);
        let tight = id(server, "/a/rather/long/path/in/the/fs", name).expect("fits when hashed");
        assert!(tight.key().as_str().starts_with('~'));
        assert!(tight.to_string().len() <= LONGEST_ID);
        assert_eq!(tight.to_string().parse(), Ok(tight));
    }

    #[test]
    fn names_that_leave_no_room_are_packed() {
        let name = "pvc-0f5b2c2e-6f0e-4a35-9d9b-0a1b2c3d4e5f";
        let account = "f0123456789abcdef0123456";
        let svm = "svm-0123456789abcdef0.fs-0123456789abcdef0.fsx.ap-southeast-1.amazonaws.com";
        for (server, share, key) in [
            (format!("{account}.privatelink.file.core.windows.net"), format!("/{account}/{name}"), name),
            (svm.to_owned(), format!("/{name}"), "~"),
            (svm.to_owned(), "/vol/trident_pvc_data".to_owned(), "~"),
            ("fs-0123456789abcdef0.fsx.eu-central-1.amazonaws.com".to_owned(), format!("/fsx/team/{name}"), name),
            ("10.0.0.4".to_owned(), format!("/capacity-pool/{name}/{name}"), "~"),
        ] {
            let made = id(&server, &share, name).unwrap_or_else(|error| panic!("{server}:{share}: {error}"));
            let text = made.to_string();
            assert!(text.starts_with("berth2://") && text.len() <= LONGEST_ID, "{text}");
            assert!(made.key().as_str().starts_with(key), "{text}");
            assert_eq!(text.parse(), Ok(made), "{text}");
        }
    }

    /// An id that was written before there was a packed form is written so for ever.
    #[test]
    fn what_has_room_is_not_packed() {
        let name = "pvc-0f5b2c2e-6f0e-4a35-9d9b-0a1b2c3d4e5f";
        for length in 1..=91 {
            let dotted = |at: usize| if at % 2 == 1 && at + 1 < length { '.' } else { 'a' };
            let made = id(&(0..length - 1).map(dotted).chain(['a']).collect::<String>(), "/", name).expect("room");
            assert!(made.to_string().starts_with("berth://"), "{made}");
        }
        let packed = "berth2://nfs/a#b";
        assert!(matches!(packed.parse::<VolumeId>(), Err(IdError::NotCanonical { .. })), "the other form has room");
    }

    #[test]
    fn says_which_part_is_too_long() {
        let long_share = id("nfs", &format!("/{}", "é".repeat(30)), "a").expect_err("180 bytes").to_string();
        assert!(long_share.contains("server \"nfs\" takes 3 bytes"), "{long_share}");
        assert!(long_share.contains("takes 181 in the id, 92 together are allowed"), "{long_share}");
        assert!(long_share.ends_with("shorter path, without non-ASCII characters"), "{long_share}");
        let long_server = id(&"a.".repeat(50), "/x", "A").expect_err("100 bytes").to_string();
        assert!(long_server.ends_with("give the server a shorter name or its address"), "{long_server}");
        assert!(long_server.contains("packed they take 102, and 91 are allowed"), "{long_server}");
        assert!(id(&format!("{}a", "a.".repeat(45)), "/", &"x".repeat(300)).is_ok(), "exactly 92 bytes");
    }

    #[test]
    fn refuses_every_other_spelling_of_an_id() {
        for text in ["", "vol-1", "nfs.example##pvc-1##", "berth://nfs", "berth://nfs#a", "berth://nfs/a"] {
            assert!(matches!(text.parse::<VolumeId>(), Err(IdError::Foreign(_))), "{text}");
        }
        for text in
            ["berth://NFS/a#b", "berth://nfs:2049/a#b", "berth://nfs//a#b", "berth://nfs/a/#b", "berth://nfs/%61#b"]
        {
            assert!(matches!(text.parse::<VolumeId>(), Err(IdError::NotCanonical { .. })), "{text}");
        }
        for text in ["berth://nfs/%#b", "berth://nfs/%2#b", "berth://nfs/%zz#b", "berth://nfs/%ff#b"] {
            assert!(matches!(text.parse::<VolumeId>(), Err(IdError::Escape(_))), "{text}");
        }
        for text in
            ["berth://nfs/a#", "berth://nfs/a#B", "berth://nfs/a#..", "berth://nfs/a#~short", "berth://nfs/a#a/b"]
        {
            assert!(matches!(text.parse::<VolumeId>(), Err(IdError::Key { .. })), "{text}");
        }
        assert!(matches!("berth:///a#b".parse::<VolumeId>(), Err(IdError::Server { .. })));
        assert!(matches!("berth://nfs/../b#b".parse::<VolumeId>(), Err(IdError::Share { .. })));
        let long = format!("berth://nfs/{}#b", "a".repeat(128));
        assert!(matches!(long.parse::<VolumeId>(), Err(IdError::Long(_))));
    }
}
