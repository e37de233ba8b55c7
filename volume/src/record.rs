//! What a volume leaves on its share.
//!
//! The text of a record is the target of a symlink in `.berth/records`, because a symlink is the one object that NFS makes
//! with its content in a single exclusive operation. It has to fit where servers keep such targets.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    names::DRIVER_NAME,
    parameters::OnDelete,
    path::{PathError, SubPath},
    quote::{Quoted, Repeated},
};

/// Longest text of a record, in bytes. XFS refuses symlink targets of 1,024 (`XFS_SYMLINK_MAXLEN`) and more, and so does
/// ext4 with blocks of 1 KiB; ext4 with larger blocks and Amazon EFS take about 4,000.
pub const LONGEST_TEXT: usize = 1023;

/// The version that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The claim for which a volume was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is known about a volume on its share: the key to repeating a create, and the proof that a directory is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Format of the text; [`VERSION`].
    pub version: u32,
    /// Name under which the volume was asked for.
    pub name: String,
    /// Its directory below the share.
    #[serde(with = "path_text")]
    pub path: SubPath,
    /// Its size in bytes; 0: none was asked for.
    pub size_bytes: u64,
    /// What becomes of the directory in the end.
    pub on_delete: OnDelete,
    /// For whom it was made, if the provisioner said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimRef>,
    /// CSI driver name under which it was made.
    pub made_by: String,
}

/// Why a text is no record, or a record no text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a record at all, or a damaged one.
    #[error("{} is not a record of a volume", Quoted(.text))]
    Text {
        /// What was found.
        text: String,
        /// What is wrong with it.
        #[source]
        source: Damage,
    },
    /// Written by a later release. Touching what it describes could break a promise that this program does not know.
    #[error("the record has version {0}, and this program understands versions up to {VERSION}; use a newer release")]
    Version(u64),
    /// Too much to say.
    #[error(
        "the record of volume {} takes {bytes} bytes, and {LONGEST_TEXT} fit on every server; shorten the volume's name, its \
         directory or the names of its claim",
        Quoted(.name)
    )]
    Long {
        /// The volume.
        name: String,
        /// What its record takes.
        bytes: usize,
    },
    /// Cannot be written as JSON.
    #[error("the record cannot be written")]
    Write(#[source] serde_json::Error),
}

/// What is wrong with a text that is no record. Whoever can write to a share can write such a text, and serde repeats
/// parts of it as they are: printed as it is here, it can neither forge a line of a log nor flood it.
#[derive(Debug, Error)]
#[error("{}", Repeated(&.0.to_string()))]
pub struct Damage(serde_json::Error);

impl Record {
    /// A record of the current version, without size, claim or wish for its end.
    pub fn new(name: impl Into<String>, path: SubPath) -> Self {
        Self {
            version: VERSION,
            name: name.into(),
            path,
            size_bytes: 0,
            on_delete: OnDelete::default(),
            claim: None,
            made_by: DRIVER_NAME.to_owned(),
        }
    }

    /// The record as one line of JSON of at most [`LONGEST_TEXT`] bytes, without line breaks or NUL bytes.
    pub fn to_text(&self) -> Result<String, RecordError> {
        let text = serde_json::to_string(self).map_err(RecordError::Write)?;
        if text.len() > LONGEST_TEXT {
            return Err(RecordError::Long { name: self.name.clone(), bytes: text.len() });
        }
        Ok(text)
    }

    /// Reads the text of a record. Fields that are not known are ignored, a version that is not known is an error.
    pub fn from_text(text: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            version: u64,
        }
        let wrong = |source| RecordError::Text { text: text.to_owned(), source: Damage(source) };
        // The version first: a later one may have changed the meaning of any other field.
        let head: Head = serde_json::from_str(text).map_err(wrong)?;
        if head.version == 0 || head.version > u64::from(VERSION) {
            return Err(RecordError::Version(head.version));
        }
        serde_json::from_str(text).map_err(wrong)
    }
}

mod path_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{PathError, SubPath};

    pub(super) fn serialize<S: Serializer>(path: &SubPath, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(path.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SubPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: PathError| D::Error::custom(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            size_bytes: 1 << 30,
            on_delete: OnDelete::Retain,
            claim: Some(ClaimRef { namespace: "shop".into(), name: "data".into() }),
            ..Record::new("pvc-1", "team/app".parse().expect("legal"))
        }
    }

    #[test]
    fn the_text_is_stable() {
        // Shares hold records of every release: this text must stay readable.
        let text = "{\"version\":1,\"name\":\"pvc-1\",\"path\":\"team/app\",\"sizeBytes\":1073741824,\
                    \"onDelete\":\"retain\",\"claim\":{\"namespace\":\"shop\",\"name\":\"data\"},\
                    \"madeBy\":\"csi.berth.dev\"}";
        assert_eq!(record().to_text().expect("short"), text);
        assert_eq!(Record::from_text(text).expect("ours"), record());
        let plain = Record::new("pvc-1", "pvc-1".parse().expect("legal"));
        assert_eq!(Record::from_text(&plain.to_text().expect("short")).expect("ours"), plain);
    }

    #[test]
    fn later_fields_are_ignored_and_later_versions_refused() {
        let text = record().to_text().expect("short");
        let with_field = text.replace("\"version\":1", "\"version\":1,\"quota\":{\"project\":7}");
        assert_eq!(Record::from_text(&with_field).expect("ours"), record());
        let error = Record::from_text(r#"{"version":2,"anything":true}"#).expect_err("later");
        assert_eq!(
            error.to_string(),
            "the record has version 2, and this program understands versions up to 1; use a newer release"
        );
        assert!(matches!(Record::from_text(r#"{"version":0}"#), Err(RecordError::Version(0))));
    }

    #[test]
    fn damage_is_seen() {
        let text = record().to_text().expect("short");
        for damaged in [
            String::new(),
            "../data".to_owned(),
            text[..text.len() - 1].to_owned(),
            text.replace("team/app", "../app"),
            text.replace("team/app", ".berth"),
            text.replace("retain", "keep"),
            text.replace("1073741824", "-1"),
            format!("{text}{text}"),
        ] {
            assert!(matches!(Record::from_text(&damaged), Err(RecordError::Text { .. })), "{damaged}");
        }
    }

    #[test]
    fn damage_is_told_in_one_short_line() {
        let text = record().to_text().expect("short");
        let long = "x".repeat(100_000);
        for (found, forged) in [
            ("\"retain\"", r#""keep\n{\"level\":\"ERROR\"}\u001b[31m""#.to_owned()),
            ("\"retain\"", format!("\"{long}\"")),
            ("1073741824", format!("\"{long}\"")),
        ] {
            let error = Record::from_text(&text.replace(found, &forged)).expect_err("no record");
            let said = format!("{error}: {}", std::error::Error::source(&error).expect("a reason"));
            assert!(!said.contains(char::is_control) && said.len() < 500, "{} bytes: {said:?}", said.len());
        }
    }

    #[test]
    fn a_text_that_servers_would_refuse_is_not_made() {
        let long = Record { name: "n".repeat(LONGEST_TEXT), ..record() };
        let error = long.to_text().expect_err("too long").to_string();
        assert!(error.contains("takes 1175 bytes, and 1023 fit"), "{error}");
        let names = Record {
            name: "n".repeat(200),
            claim: Some(ClaimRef { namespace: "n".repeat(63), name: "c".repeat(253) }),
            path: format!("{}/{}", "n".repeat(63), "c".repeat(253)).parse().expect("legal"),
            ..record()
        };
        assert!(names.to_text().is_ok(), "the longest names that Kubernetes allows have room");
    }
}
