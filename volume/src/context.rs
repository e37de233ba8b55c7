//! What a volume's attributes tell the node plugin.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    identity::ShareIdentity,
    names::context,
    path::{PathError, SharePath, SubPath},
    quote::Quoted,
    server::{Server, ServerError},
    terms::Terms,
};

/// Why volume attributes name no volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A key that the node plugin cannot do without.
    #[error("volume attribute {0:?} is missing; a volume of this driver needs \"server\" and \"share\"")]
    Missing(&'static str),
    /// One key in two spellings, with two values.
    #[error("volume attribute {key:?} is given twice, as {} and as {}", Quoted(.one), Quoted(.other))]
    Twice {
        /// The key.
        key: &'static str,
        /// One value.
        one: String,
        /// The other.
        other: String,
    },
    /// `server` is no server.
    #[error("volume attribute \"server\" is not valid")]
    Server(#[source] ServerError),
    /// `share` is no path.
    #[error("volume attribute \"share\" is not valid")]
    Share(#[source] PathError),
    /// `subDir` is no path below a share.
    #[error("volume attribute \"subDir\" is not valid")]
    SubDir(#[source] PathError),
    /// `accessModes` lists something that is no mode.
    #[error(
        "volume attribute \"accessModes\" is {}; write modes as Kubernetes spells them, separated by commas, such as \"ReadOnlyMany,ReadWriteMany\"",
        Quoted(.0)
    )]
    AccessModes(String),
    /// `readOnly` is neither.
    #[error("volume attribute \"readOnly\" is {}; write \"true\" or \"false\"", Quoted(.0))]
    ReadOnly(String),
    /// `fsGroupChange` is nothing we know.
    #[error("volume attribute \"fsGroupChange\" is {}; write \"root\", \"always\" or \"none\"", Quoted(.0))]
    FsGroupChange(String),
}

/// Where the node plugin finds a volume. It is written into the PersistentVolume once and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumeContext {
    /// Who serves it.
    pub server: Server,
    /// The share that holds it.
    pub share: SharePath,
    /// Its directory below the share; none (also written as nothing, or `/`): the share itself, for volumes that people
    /// define by hand.
    pub sub_dir: Option<SubPath>,
    /// Which share that is, if the controller said. Nothing is mounted or refused by it, so a text that is none counts as none.
    pub identity: Option<ShareIdentity>,
    /// How it may be used.
    pub terms: Terms,
}

impl VolumeContext {
    /// The attributes as they are written into a PersistentVolume.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([
            (context::SERVER.to_owned(), self.server.to_string()),
            (context::SHARE.to_owned(), self.share.to_string()),
        ]);
        if let Some(sub_dir) = &self.sub_dir {
            map.insert(context::SUB_DIR.to_owned(), sub_dir.to_string());
        }
        if let Some(identity) = &self.identity {
            map.insert(context::SHARE_IDENTITY.to_owned(), identity.to_string());
        }
        self.terms.write(&mut map);
        map
    }

    /// Reads attributes, whoever wrote them: keys in any case, unknown keys tolerated.
    ///
    /// Returns the unknown keys, sorted, so that the caller can warn about them; a mount that would work must not fail for
    /// them. Keys of Kubernetes itself are left out of that list.
    pub fn from_map<K: AsRef<str>, V: AsRef<str>>(
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(Self, Vec<String>), ContextError> {
        let mut known: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (key, value) in attributes {
            let (key, value) = (key.as_ref(), value.as_ref());
            match context::ALL.into_iter().find(|name| name.eq_ignore_ascii_case(key)) {
                Some(name) => {
                    known.entry(name).or_default().insert(value.to_owned());
                }
                None if context::FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {}
                None => unknown.push(key.to_owned()),
            }
        }
        unknown.sort();
        // Attributes come in the order of a hash table, and an event with another text is another event: what is said of
        // several values, or of several such keys, depends on nothing but them.
        let mut single = BTreeMap::new();
        for (key, values) in known {
            let mut values = values.into_iter();
            match (values.next(), values.next()) {
                (Some(one), Some(other)) => return Err(ContextError::Twice { key, one, other }),
                (value, _) => single.extend(value.map(|value| (key, value))),
            }
        }
        let required = |key| single.get(key).ok_or(ContextError::Missing(key));
        let volume = Self {
            server: required(context::SERVER)?.parse().map_err(ContextError::Server)?,
            share: required(context::SHARE)?.parse().map_err(ContextError::Share)?,
            sub_dir: single
                .get(context::SUB_DIR)
                .filter(|value| !value.bytes().all(|byte| byte == b'/'))
                .map(|value| value.parse())
                .transpose()
                .map_err(ContextError::SubDir)?,
            identity: single.get(context::SHARE_IDENTITY).and_then(|text| text.parse().ok()),
            terms: Terms::read(|key| single.get(key).map_or("", String::as_str))?,
        };
        Ok((volume, unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessMode, FsGroupChange};

    fn read(entries: &[(&str, &str)]) -> Result<(VolumeContext, Vec<String>), ContextError> {
        VolumeContext::from_map(entries.iter().copied())
    }

    #[test]
    fn what_is_written_reads_back() {
        let terms = Terms {
            modes: vec![AccessMode::MultiNodeReaderOnly],
            read_only: Some(true),
            mount_options: "ro".into(),
            fs_group_change: FsGroupChange::Always,
        };
        for (sub_dir, identity, terms) in [
            (None, None, Terms::default()),
            (Some("pvc-1"), Some(ShareIdentity::new(7)), terms),
            (Some("team/app"), None, Terms::default()),
        ] {
            let context = VolumeContext {
                server: "nfs:20049".parse().expect("legal"),
                share: "/exports".parse().expect("legal"),
                sub_dir: sub_dir.map(|path| path.parse().expect("legal")),
                identity,
                terms,
            };
            assert_eq!(VolumeContext::from_map(&context.to_map()), Ok((context, Vec::new())));
        }
    }

    #[test]
    fn keys_are_read_in_any_case_and_strangers_are_reported() {
        let (context, unknown) = read(&[
            ("Server", "nfs"),
            ("SHARE", "/"),
            ("subdir", "a"),
            ("READONLY", "true"),
            ("mountoptions", "nfsvers=4.1,ro"),
            ("AccessModes", "ReadOnlyMany"),
            ("fsgroupchange", "none"),
            ("mountPermissions", "0"),
            ("archive", "x"),
            ("storage.kubernetes.io/csiProvisionerIdentity", "1-2-csi"),
            ("csi.storage.k8s.io/ephemeral", "false"),
        ])
        .expect("complete");
        assert_eq!(context.sub_dir.expect("given").as_str(), "a");
        let terms = Terms {
            modes: vec![AccessMode::MultiNodeReaderOnly],
            read_only: Some(true),
            mount_options: "nfsvers=4.1,ro".into(),
            fs_group_change: FsGroupChange::None,
        };
        assert_eq!(context.terms, terms);
        assert_eq!(unknown, ["archive", "mountPermissions"]);
    }

    #[test]
    fn an_empty_directory_is_the_share_itself() {
        for text in ["", "/", "//"] {
            assert_eq!(read(&[("server", "nfs"), ("share", "/"), ("subDir", text)]).expect(text).0.sub_dir, None);
        }
    }

    #[test]
    fn the_same_key_twice_must_agree() {
        assert!(read(&[("server", "nfs"), ("Server", "nfs"), ("share", "/")]).is_ok());
        let one = read(&[("server", "a"), ("Server", "b"), ("share", "/")]).expect_err("two servers");
        let other = read(&[("Server", "b"), ("server", "a"), ("share", "/")]).expect_err("two servers");
        assert_eq!(one, other);
        assert_eq!(one.to_string(), r#"volume attribute "server" is given twice, as "a" and as "b""#);
    }

    #[test]
    fn what_is_said_of_many_spellings_does_not_depend_on_their_order() {
        let mut entries = [("server", "a"), ("Server", "b"), ("SERVER", "c"), ("share", "/"), ("Share", "/x")];
        let said = read(&entries).expect_err("three servers and two shares");
        for _ in 0..entries.len() {
            entries.rotate_left(1);
            assert_eq!(read(&entries).expect_err("three servers"), said, "{entries:?}");
        }
        entries.reverse();
        assert_eq!(read(&entries).expect_err("three servers"), said);
        assert_eq!(said.to_string(), r#"volume attribute "server" is given twice, as "a" and as "b""#);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(read(&[]), Err(ContextError::Missing("server")));
        assert_eq!(read(&[("server", "nfs")]), Err(ContextError::Missing("share")));
        assert!(matches!(read(&[("server", "a/b"), ("share", "/")]), Err(ContextError::Server(_))));
        assert!(matches!(read(&[("server", "a"), ("share", "b")]), Err(ContextError::Share(_))));
        let escape = read(&[("server", "a"), ("share", "/"), ("subDir", "../x")]);
        assert!(matches!(escape, Err(ContextError::SubDir(PathError::Dots { .. }))));
        for (key, value) in [
            ("accessModes", "ReadOnlyMany;ReadWriteMany"),
            ("accessModes", "ReadOnly"),
            ("readOnly", "yes"),
            ("fsGroupChange", "Always"),
        ] {
            let error = read(&[("server", "a"), ("share", "/"), (key, value)]).expect_err(value).to_string();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
    }
}
